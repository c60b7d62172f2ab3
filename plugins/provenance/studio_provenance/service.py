"""The step of the chain: the signed file takes the place of the file, or the reason why there is none is kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import ValidationError

from studio import Actor, ProviderError, ProviderUnavailableError, StudioError, new_id
from studio_provenance.api import CAPABILITY, ProvenanceRequest, Signed
from studio_provenance.settings import ProvenanceSettings

if TYPE_CHECKING:
    from studio import Doc, Generation, PluginContext

SIGNABLE = frozenset(
    {
        "audio/mpeg",
        "audio/wav",
        "image/jpeg",
        "image/png",
        "image/webp",
        "video/mp4",
        "video/quicktime",
    }
)
KINDS = ("image", "video", "audio", "music")
"""What a signature can be required of; subtitles and exchange formats say nothing that could be taken for real."""
UNAVAILABLE = "provenance_unavailable"
SOURCES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""Source: IPTC NewsCodes, Digital Source Type; C2PA 2.2, actions."""
FILM = "animatic"
"""The role of a film that was cut from takes."""


class Provenance:
    """Has new files signed."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx, self._settings = ctx, ctx.settings(ProvenanceSettings)

    async def check(self) -> str:
        """Say who signs; raises when signatures are required and nobody does."""
        if self._settings.required:
            self._ctx.providers.get(CAPABILITY)
        return "signs what is new" if self._on() else "off"

    async def finalize(self, asset: Doc) -> Doc | None:
        """Return the signed file and its manifest's label; the reason why there is none, unless one is required.

        Raises ProviderError (provenance_unavailable) where it is.
        """
        if (mime := asset["blob"]["mime"]) not in SIGNABLE:
            if self._settings.required and asset["kind"] in KINDS:
                raise _unsigned(f"{mime} cannot be signed.")
            return None
        if not (self._settings.required or self._on()):
            return None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                return await self._sign(asset)
        except TimeoutError:
            reason = f"It took longer than {self._settings.deadline_s:g} s."
        except StudioError as error:
            reason = error.detail
        if self._settings.required:
            raise _unsigned(reason)
        self._ctx.log.warning("provenance_failed", asset=asset["_id"], reason=reason)
        return {"provenance": asset["provenance"] | {"error": reason}}

    def _on(self) -> bool:
        """Say whether somebody is set up to sign, for nothing: nobody ordered a signature."""
        try:
            signer = self._ctx.providers.get(CAPABILITY)
        except ProviderUnavailableError:
            return False
        return all(model.price_kind == "free" for model in signer.spec.models)

    async def _sign(self, asset: Doc) -> Doc:
        storage = self._ctx.providers.get("storage")
        request = ProvenanceRequest(
            job_id=f"provenance-{new_id()}",
            file=await storage.path(asset["blob"]["key"]),
            mime=asset["blob"]["mime"],
            manifest=manifest_of(asset, self._settings),
        )
        actor = Actor(asset["user_id"])
        done = await self._ctx.providers.generate_now(CAPABILITY, request, actor, asset["project_id"])
        signed = _signed(done)
        added: Doc = {"provenance": asset["provenance"] | signed.model_dump()}
        if signed.c2pa == "signed":
            added["blob"] = (await storage.put(done.files[0].path, request.mime)).model_dump()
        return added


def _unsigned(reason: str) -> ProviderError:
    return ProviderError(f"It is not signed, so it is not shown: {reason}", code=UNAVAILABLE)


def manifest_of(asset: Doc, settings: ProvenanceSettings) -> Doc:
    """Return the manifest definition of a take: that it was created, from what, and by which provider and model."""
    agent = " ".join(filter(None, (asset["provider"], asset.get("model"))))
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCES + source_of(asset, settings),
        "softwareAgent": {"name": agent},
    }
    return {
        "claim_generator_info": [{"name": settings.generator}],
        "title": f"{asset['role']}-{asset['_id']}",
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}],
    }


def source_of(asset: Doc, settings: ProvenanceSettings) -> str:
    """Return the IPTC term for what a take is made of."""
    if asset["role"] == FILM:
        return "compositeSynthetic"
    return "algorithmicMedia" if asset["provider"] in settings.algorithmic else "trainedAlgorithmicMedia"


def _signed(done: Generation) -> Signed:
    try:
        signed = Signed.model_validate(done.data)
    except ValidationError as error:
        raise ProviderError("The provider does not say what it has signed.") from error
    if signed.c2pa == "signed" and not (done.files and done.files[0].path):
        raise ProviderError("The provider answered without a signed file.")
    return signed
