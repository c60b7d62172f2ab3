"""`C2paSigner`: signs with the operator's key, in a child process that has the library."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import (
    DeadlineExceededError,
    Estimate,
    Generation,
    MediaFile,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from studio_provenance.api import ProvenanceRequest, Signed
from studio_provenance.settings import ProvenanceSettings

if TYPE_CHECKING:
    from studio import Doc, PluginContext

PROGRAM = [sys.executable, "-I", str(Path(__file__).with_name("signing.py"))]
KEPT_S = 60.0
"""How long a signed file may wait for whoever asked for it."""


class C2paSigner:
    """Signs at once."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx, self._settings = ctx, ctx.settings(ProvenanceSettings)

    async def submit(self, request: ProvenanceRequest) -> Generation:
        """Sign a copy; the file itself is left as it is when it carries a manifest already."""
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="studio-provenance-"))
        self._ctx.spawn(_removed(folder), "remove-signed")
        answer = await self._signed(request, folder / "signed")
        if "signed_already" in answer:
            return _done(request, Signed(c2pa="vendor", manifest=answer["signed_already"]))
        file = MediaFile(mime=request.mime, path=folder / "signed")
        return _done(request, Signed(c2pa="signed", manifest=answer["manifest"]), file)

    async def poll(self, provider_job_id: str) -> Generation:
        """Refuse: signatures come at once."""
        raise ProviderRejectedError(f"{provider_job_id[:40]!r} came at once: there is nothing to ask for.")

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: what came at once cannot be stopped."""
        return False

    def estimate(self, request: ProvenanceRequest) -> Estimate:  # noqa: ARG002 - as above
        """Return nothing to pay."""
        return Estimate(cost_uusd=0, note="done on this machine")

    async def _signed(self, request: ProvenanceRequest, out: Path) -> Doc:
        settings = self._settings
        chain, key = await asyncio.to_thread(_credentials, settings)
        order = {
            "file": str(request.file), "mime": request.mime, "out": str(out), "manifest": request.manifest,
            "alg": settings.algorithm, "certificate": chain, "private_key": key, "memory_mb": settings.memory_mb,
        }  # fmt: skip
        answer = await _ask(json.dumps(order).encode(), settings.deadline_s)
        if "error" in answer:  # of this file or of the key: no reason to leave the next file alone
            raise ProviderRejectedError(f"The file could not be signed: {str(answer['error'])[:300]}")
        return answer


def _credentials(settings: ProvenanceSettings) -> tuple[str, str]:
    """Return the chain and the key, read anew: they may have been renewed."""
    if settings.certificate is None or settings.private_key is None:
        raise ProviderUnavailableError(settings.missing or "There is no key to sign with.")
    try:
        return settings.certificate.read_text(), settings.private_key.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderUnavailableError("The certificate or its key cannot be read.") from error


async def _ask(order: bytes, deadline_s: float) -> dict[str, Any]:
    """Give the order to a child process and return its answer; a cancelled call kills it."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*PROGRAM, stdin=pipe, stdout=pipe, stderr=pipe, env=environ)
    try:
        said, complaint = await asyncio.wait_for(child.communicate(order), deadline_s)
    except TimeoutError as error:
        raise DeadlineExceededError(f"Signing did not end within {deadline_s:g} s.") from error
    finally:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()
            await child.communicate()
    try:
        return dict(json.loads(said))
    except ValueError as error:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ProviderError(
            f"The process that signs ended with code {child.returncode}: {last[0][:300]}"
        ) from error


async def _removed(folder: Path) -> None:
    """Remove a folder once its file was taken, and at the latest when the server stops."""
    try:
        await asyncio.sleep(KEPT_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _done(request: ProvenanceRequest, signed: Signed, *files: MediaFile) -> Generation:
    return Generation(
        provider_job_id=request.job_id, state="succeeded", percent=100, cost_uusd=0,
        files=files, data=signed.model_dump(),
    )  # fmt: skip
