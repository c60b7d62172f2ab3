"""The step of the chain: a thumbnail and a blurhash, or the reason why there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import ValidationError

from studio import Actor, ProviderError, ProviderUnavailableError, StudioError, new_id
from studio_previews.api import CAPABILITY, ThumbnailData, ThumbnailRequest
from studio_previews.settings import PreviewsSettings

if TYPE_CHECKING:
    from studio import Doc, Generation, PluginContext, StoredBlob

KINDS = ("image", "video")
POSTER_MS = 1_000
"""Films begin in black: the poster is a frame of the first second, or of the middle of what is shorter."""


class Previews:
    """Asks for thumbnails and keeps them."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx, self._settings = ctx, ctx.settings(PreviewsSettings)

    async def finalize(self, asset: Doc) -> Doc | None:
        """Return thumbnail, blurhash and size of a picture or video; `preview_error` when there can be none.

        Fails open: the asset was paid for, and is worth having without a thumbnail.
        """
        if not self._settings.enabled or asset["kind"] not in KINDS:
            return None
        try:
            async with asyncio.timeout(self._settings.deadline_s):
                return await self._preview(asset)
        except TimeoutError:
            reason = f"It took longer than {self._settings.deadline_s:g} s."
        except StudioError as error:
            reason = error.detail
        self._ctx.log.warning("preview_failed", asset=asset["_id"], reason=reason)
        return {"preview_error": reason}

    def _check_price(self) -> None:
        """Raise ProviderUnavailableError when who would be asked wants money: nobody ordered a thumbnail."""
        rows = self._ctx.providers.describe()
        on = [row for row in rows if row["capability"] == CAPABILITY and row["available"]]
        if on and any(model["price_kind"] != "free" for model in on[0]["models"]):
            raise ProviderUnavailableError(f"{on[0]['provider']} does not make thumbnails for nothing.")

    async def _preview(self, asset: Doc) -> Doc:
        self._check_price()
        storage = self._ctx.providers.get("storage")
        request = ThumbnailRequest(
            job_id=f"thumbnail-{new_id()}",
            file=await storage.path(asset["blob"]["key"]),
            mime=asset["blob"]["mime"],
            long_side=self._settings.long_side,
            format=self._settings.format,
            at_ms=poster_ms(asset) if asset["kind"] == "video" else 0,
        )
        actor = Actor(asset["user_id"])
        done = await self._ctx.providers.generate_now(CAPABILITY, request, actor, asset["project_id"])
        file, data = done.files[0], _data(done)
        blob: StoredBlob = await storage.put(file.path, file.mime)
        size = {"width": file.width, "height": file.height}
        known = {name: value for name, value in asset["media"].items() if value is not None}
        return {
            "thumbnail": blob.model_dump() | size,
            "blurhash": data.blurhash,
            "media": asset["media"] | {"width": data.width, "height": data.height} | known,
        }


def poster_ms(asset: Doc) -> int:
    """Return which frame of a video stands for it."""
    return min(POSTER_MS, int(asset["media"].get("duration_ms") or 0) // 2)


def _data(done: Generation) -> ThumbnailData:
    """Return what the provider says of the picture; raises ProviderError when it says something else."""
    try:
        if len(done.files) == 1 and done.files[0].path is not None:
            return ThumbnailData.model_validate(done.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ProviderError(f"The thumbnail's {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    raise ProviderError("The provider answered without a thumbnail.")
