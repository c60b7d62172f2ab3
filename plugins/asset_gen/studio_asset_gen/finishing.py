"""From a vendor's file to a take: copied to our storage, through the chain `finalize_asset`, then stored once.

The chain is durable: between two steps the take is stored as "pending", with the names of the plugins that have had
their turn, so that a restart goes on behind them. `finalizing.seq` fences: who was overtaken cannot write.
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import (
    ConflictError,
    ProviderError,
    ProviderRejectedError,
    StorageFullError,
    StudioError,
    UnavailableError,
    contained,
    now_ms,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import Doc, MediaFile, PluginContext, Repository

COLLECTION = "assets"
PENDING, READY, REJECTED, QUARANTINED = "pending", "ready", "rejected", "quarantined"
"""States of a take. Rejected: a step refused it. Quarantined: a step could not tell. Only ready ones are shown."""
BROKEN = "finalize_failed"
FIXED = ("_id", "created_at", "updated_at")
TAKE_TRIES = 60
DOWNLOAD_S = 120
LARGEST = {"image": 50_000_000, "audio": 100_000_000, "video": 500_000_000, "document": 50_000_000}
"""Bytes of a vendor's file; the kernel has refused one that is on none of the vendor's hosts."""
SUFFIX = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
}


@dataclass(slots=True)
class _Progress:
    """How far the chain of one take is: who has had a turn, and how often it was stored."""

    done: list[str] = field(default_factory=list)
    seq: int = 0

    def told(self, state: str) -> Doc:
        """Return what the next write says of it; `state` is what the take is to become."""
        return {"done": self.done, "seq": self.seq + 1, "state": state}


class Finisher:
    """Keeps files as takes."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self._downloads: Any = None

    @property
    def _assets(self) -> Repository:
        return self._ctx.database[COLLECTION]

    async def keep(self, draft: Doc, file: MediaFile, *, patient: bool = False) -> tuple[Doc, bool]:
        """Return the take of one file, and whether it was finished only now.

        Raises what a step of the chain raised, also on a repetition: then the take is kept and never shown. While
        something is away for now (503, or a full disk) nothing is decided, and the job comes again; `patient` counts
        the vendor's file server among it.
        """
        found = await self._assets.get(draft["_id"])
        if found is not None and found["state"] != PENDING:
            if "withheld" in found:
                raise _error_of(found)
            return found, False
        if found is None:
            blob = await self._stored(file, draft["provider"], patient=patient)
            return await self._finish(draft | {"blob": blob}, _Progress())
        return await self._resume(found)

    async def again(self, asset: Doc) -> Doc:
        """Run what is left of the chain of a take that was kept back undecided, or whose job gave up on the way.

        Raises what a step raises now, ConflictError when somebody else is at it.
        """
        return (await self._resume(asset))[0]

    async def _resume(self, asset: Doc) -> tuple[Doc, bool]:
        """Go on behind the steps that are done; whoever was at it before cannot write any more."""
        begun = asset.pop("finalizing")
        progress = _Progress(begun["done"], begun["seq"] + 1)
        mine = {"_id": asset["_id"], "state": asset["state"], "finalizing.seq": begun["seq"]}
        change: Doc = {"$set": {"state": PENDING, "finalizing.seq": progress.seq}, "$unset": {"withheld": ""}}
        if not await self._assets.update(mine, change):
            raise _overtaken()
        asset.pop("withheld", None)
        return await self._finish(asset | {"state": begun["state"]}, progress)

    async def _stored(self, file: MediaFile, provider: str, *, patient: bool) -> Doc:
        try:
            async with self._local(file, provider) as path:
                blob = await self._ctx.providers.get("storage").put(path, file.mime)
                kept: Doc = blob.model_dump()
                return kept
        except ProviderError as error:
            if not (patient and error.retryable):
                raise
            raise UnavailableError(f"The file of {provider} cannot be stored yet: {error.detail}") from error

    async def _finish(self, asset: Doc, progress: _Progress) -> tuple[Doc, bool]:
        """Run what is left of the chain and store how it ended."""

        async def kept(plugin: str, payload: Doc) -> None:
            progress.done.append(plugin)
            begun = {"finalizing": progress.told(payload["state"])}
            stored, _ = await self._store(payload | {"state": PENDING} | begun, progress)
            payload["take"] = stored["take"]

        asset_id = asset["_id"]
        try:
            with contained(self._broken):  # a plugin's step: what it raises keeps the take back
                asset = await self._ctx.finalize(asset, done=frozenset(progress.done), kept=kept) | {
                    "_id": asset_id
                }
        except (UnavailableError, StorageFullError):
            raise
        except StudioError as error:
            kept_back = _kept_back(error)
            await self._store(asset | kept_back | {"finalizing": progress.told(asset["state"])}, progress)
            if isinstance(error, ProviderError):
                raise
            raise _error_of(kept_back) from error  # as after a restart: the other files are kept all the same
        if (
            asset["state"] == PENDING
        ):  # a step's word for "not now"; here it means that the chain is not through
            asset["state"] = QUARANTINED
        asset["selected"] = asset["selected"] and asset["state"] == READY
        asset["selected_at"] = now_ms() if asset["selected"] else 0
        return await self._store(asset, progress)

    def _broken(self, error: Exception) -> StudioError:
        """Return what a step's own fault means: nobody could tell, so the take is kept back, and not lost."""
        if isinstance(error, StudioError):
            return error
        self._ctx.log.error("finalize_step_failed", exc_info=error)
        detail = f"A step that finishes takes failed ({type(error).__name__}): have it released once that is mended."
        return ProviderError(detail, code=BROKEN)

    async def _store(self, asset: Doc, progress: _Progress) -> tuple[Doc, bool]:
        """Insert or replace; False when an equal take is there already. Raises ConflictError when overtaken."""
        if progress.seq == 0:
            stored, new = await self._insert(asset)
            if not new and stored["state"] == PENDING:
                raise _overtaken()
            if not new and "withheld" in stored:  # whoever was faster has decided
                raise _error_of(stored)
        else:
            change: Doc = {"$set": {name: value for name, value in asset.items() if name not in FIXED}}
            if "finalizing" not in asset:
                change["$unset"] = {"finalizing": ""}
            mine = {"_id": asset["_id"], "state": PENDING, "finalizing.seq": progress.seq}
            if not await self._assets.update(mine, change):
                raise _overtaken()
            stored, new = asset, True
        progress.seq += 1
        return stored, new

    async def _insert(self, asset: Doc) -> tuple[Doc, bool]:
        """Insert under the next free take number; False when the asset turns out to be there already."""
        where = {"owner.id": asset["owner"]["id"], "slot": asset["slot"]}
        for _ in range(TAKE_TRIES):
            last = await self._assets.find_one(where, sort=[("take", -1)])
            asset["take"] = last["take"] + 1 if last else 1
            try:
                return await self._assets.insert(asset), True
            except ConflictError:  # the same result twice, or another take was faster
                if found := await self._assets.get(asset["_id"]):
                    return found, False
        raise ConflictError("Too many takes arrive for this slot at once; try again.", code="take_conflict")

    @asynccontextmanager
    async def _local(self, file: MediaFile, provider: str) -> AsyncIterator[Path]:
        """Yield a local path; a vendor's address is copied first, because it dies within hours."""
        if file.path is not None:
            yield file.path
            return
        with tempfile.TemporaryDirectory(prefix="studio-asset-") as folder:
            target = Path(folder) / f"result{SUFFIX.get(file.mime, '')}"
            if self._downloads is None:
                self._downloads = self._ctx.http.client("asset_gen.results", deadline_s=DOWNLOAD_S)
            cap = LARGEST.get(media_of(file.mime), LARGEST["document"])
            hosts = self._ctx.providers.file_hosts(provider)
            if not hosts:
                raise ProviderError(f"{provider} is off, and nobody else knows where its files lie.")
            await self._downloads.download(file.url or "", target, hosts=hosts, max_bytes=cap)
            yield target


def media_of(mime: str) -> str:
    """Return the kind of media of a type: image, video, audio, subtitle or document."""
    main = mime.partition("/")[0]
    if mime in ("application/x-subrip", "text/vtt", "text/x-ass", "text/x-ssa"):
        return "subtitle"
    return main if main in ("image", "video", "audio") else "document"


def _overtaken() -> ConflictError:
    return ConflictError("Another worker finishes this take.", code="finished_elsewhere")


def _kept_back(error: StudioError) -> Doc:
    """Return the fields of a take that is not shown because of `error`."""
    state = REJECTED if isinstance(error, ProviderRejectedError) else QUARANTINED
    told = {name: error.extra.get(name) for name in ("input", "labels")}
    withheld = {"code": error.code, "message": error.detail, **told}
    return {"selected": False, "selected_at": 0, "state": state, "withheld": withheld}


def _error_of(asset: Doc) -> ProviderError:
    """Return the error that once kept a take back."""
    why, kind = asset["withheld"], ProviderRejectedError if asset["state"] == REJECTED else ProviderError
    return kind(why["message"], code=why["code"], input=why["input"])
