"""Takes: immutable files with an owner and a slot. Kept once per job attempt, chosen in one atomic step.

The `_id` of a generated take is `<job>-<attempt>-<file>`: the primary key keeps a result from being stored
twice.
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import (
    Actor,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProviderRejectedError,
    now_ms,
)
from studio_stories.api import Stories

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from studio import Doc, Generation, MediaFile, Page, PluginContext, Repository
    from studio_asset_gen.api import AssetKind
    from studio_asset_gen.models import AssetQuery, AssetUpdate

COLLECTION = "assets"
SLICE = 100
"""$in takes at most 100 values."""
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


def with_url(asset: Doc) -> Doc:
    """Return the asset with the address of its file; the fingerprint in it makes the answer immutable."""
    fingerprint = asset["blob"]["sha256"][:16]
    return asset | {"url": f"/api/assetGen/assets/{asset['_id']}/file?v={fingerprint}"}


class AssetStore:
    """Keeps, finds and chooses takes; implements `studio_asset_gen.api.Assets`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self.kinds: dict[str, AssetKind] = {}
        self._downloads: Any = None

    @property
    def _assets(self) -> Repository:
        return self._ctx.database[COLLECTION]

    @property
    def _stories(self) -> Stories:
        return self._ctx.service(Stories)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    def join(self, kind: AssetKind) -> None:
        """Add a kind of asset; raises ValueError when its name or job is taken."""
        taken = {name for other in self.kinds.values() for name in (other.name, other.job)}
        if {kind.name, kind.job} & taken:
            raise ValueError(f"the asset kind {kind.name!r} ({kind.job}) is declared already")
        self.kinds[kind.name] = kind

    def kind_of(self, job: str) -> AssetKind | None:
        """Return the asset kind of a job kind."""
        return next((kind for kind in self.kinds.values() if kind.job == job), None)

    # ------------------------------------------------------------ find

    async def asset(self, asset_id: str) -> Doc:
        """Return one asset; raises NotFoundError."""
        found = await self._assets.get(asset_id)
        if found is None:
            raise NotFoundError("There is no such asset.")
        return found

    async def assets(self, asset_ids: Iterable[str]) -> dict[str, Doc]:
        """Return the assets that exist, by id."""
        ids = [one for one in dict.fromkeys(asset_ids) if one]
        slices = [ids[start : start + SLICE] for start in range(0, len(ids), SLICE)]
        found = [await self._assets.find({"_id": {"$in": part}}) for part in slices]
        return {asset["_id"]: asset for part in found for asset in part}

    async def current(self, owner_type: str, owner_id: str, slot: str) -> Doc | None:
        """Return the chosen take of an owner that is no shot."""
        where = {
            "owner.id": owner_id,
            "slot": slot,
            "owner.type": owner_type,
            "selected": True,
            "state": "ready",
        }
        return await self._assets.find_one(where, sort=[("selected_at", -1), ("_id", -1)])

    async def page(self, query: AssetQuery) -> Page:
        """Return one page of a project's takes, newest first."""
        where: Doc = {"project_id": query.project_id, "state": {"$ne": "deleted"}}
        filters = {"owner.id": query.owner_id, "slot": query.slot, "kind": query.kind}
        where |= {path: value for path, value in filters.items() if value is not None}
        return await self._assets.page(where, cursor=query.cursor, limit=query.limit, newest_first=True)

    async def count_takes(self, owner_id: str, slot: str) -> int:
        """Count the takes of a slot."""
        return await self._assets.count({"owner.id": owner_id, "slot": slot})

    async def path(self, asset: Doc) -> Path:
        """Return a local readable path of the asset's file."""
        path: Path = await self._ctx.providers.get("storage").path(asset["blob"]["key"])
        return path

    # ------------------------------------------------------------ keep

    async def accept(
        self,
        job: Doc,
        generation: Generation,
        late: bool,  # noqa: FBT001 - the shape of JobKind.accept
        *,
        slots: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Keep the files of a finished job; the first becomes the current take unless it came late."""
        if not generation.files:
            raise ProviderRejectedError(
                f"{job['provider']} reports success without a file.", code="no_output"
            )
        kept = []
        for number in range(len(generation.files)):
            draft = self._draft(job, generation, number, slots)
            draft["selected"] = not late and (number == 0 or bool(slots))
            kept.append(await self._keep(draft, generation.files[number]))
        first = kept[0][0]
        if first["selected"] and not slots:
            await self._point(first, alone=first["take"] == 1)
        for asset, new in kept:
            if new:
                self._tell(job, asset, late=late)
        return {"result_asset_ids": [asset["_id"] for asset, _ in kept]}

    async def _keep(self, draft: Doc, file: MediaFile) -> tuple[Doc, bool]:
        """Return the asset of one file, and whether it was stored only now."""
        found = await self._assets.get(draft["_id"])
        if found is not None:
            return found, False
        async with self._local(file) as path:
            blob = await self._ctx.providers.get("storage").put(path, file.mime)
        kept = {"_id": draft["_id"], "blob": blob.model_dump()}
        asset = await self._ctx.finalize(draft | kept) | kept
        asset["selected"] = draft["selected"] and asset["state"] == "ready"
        asset["selected_at"] = now_ms() if asset["selected"] else 0
        return await self._insert(asset)

    @asynccontextmanager
    async def _local(self, file: MediaFile) -> AsyncIterator[Path]:
        """Yield a local path; a vendor's address is copied first, because it dies within hours."""
        if file.path is not None:
            yield file.path
            return
        with tempfile.TemporaryDirectory(prefix="studio-asset-") as folder:
            target = Path(folder) / f"result{SUFFIX.get(file.mime, '')}"
            if self._downloads is None:
                self._downloads = self._ctx.http.client("asset_gen.results", deadline_s=DOWNLOAD_S)
            cap = LARGEST.get(media_of(file.mime), LARGEST["document"])
            await self._downloads.download(file.url or "", target, max_bytes=cap)
            yield target

    def _draft(self, job: Doc, generation: Generation, number: int, slots: Sequence[str]) -> Doc:
        kind, given, target = self.kind_of(job["kind"]), job["input"], job["target"]
        file = generation.files[number]
        media = file.model_dump(include={"width", "height", "duration_ms"})
        media |= {"text": given.get("text"), "words": [word.model_dump() for word in file.words]}
        cost = generation.cost_uusd if generation.cost_uusd is not None else job.get("estimate_uusd")
        cost = cost if number == 0 else 0  # one bill per job: the first file carries it
        basis = {key: given[key] for key in ("prompt", "seed", "voice", "panel_id") if key in given}
        return {
            "_id": f"{job['_id']}-{job['attempt']}-{number}",
            "project_id": job["project_id"],
            "story_id": given.get("story_id"),
            "kind": kind.media if kind and not slots else media_of(file.mime),
            "role": kind.role if kind else str(job["kind"]).split(".")[0],
            "owner": {"type": target["type"], "id": target["id"]},
            "slot": slots[number] if slots else target["slot"],
            "media": media,
            "basis": basis | {"hash": given.get("basis"), "shot": given.get("shot_basis")},
            "provider": job["provider"],
            "model": job.get("model"),
            "job_id": job["_id"],
            "user_id": job["user_id"],
            "cost_uusd": cost,
            "scores": [],
            "favourite_by": [],
            "rating": None,
            "tags": [],
            "provenance": {"source": "ai"},
            "state": "ready",
        }

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

    # ------------------------------------------------------------ choose

    async def select(self, actor: Actor, asset: Doc) -> Doc:
        """Make a take the current one of its slot; of simultaneous calls one has the effect."""
        if asset["state"] != "ready":
            raise ConflictError(f"This take is {asset['state']} and cannot be used.", code="asset_not_ready")
        won = await self._assets.find_and_update(
            {"_id": asset["_id"], "selected": {"$ne": True}},
            {"$set": {"selected": True, "selected_at": now_ms()}},
        )
        chosen = won or await self.asset(asset["_id"])
        if won or await self._pointer_lost(chosen):
            await self._point(chosen, alone=False)
        if won:
            self._log(actor, chosen, "asset.selected")
            self._publish(chosen, "asset.ready")
        return chosen

    async def _pointer_lost(self, asset: Doc) -> bool:
        """Say whether a shot does not point at its chosen take: the chooser died in between."""
        if asset["owner"]["type"] != "shot":
            return False
        shot = await self._stories.shot(asset["owner"]["id"])
        return bool((shot.get("current") or {}).get(asset["slot"]) != asset["_id"])

    async def _point(self, asset: Doc, *, alone: bool) -> None:
        """Make the owner point at the take and forget the one before; `alone` has none before it."""
        owner, slot = asset["owner"], asset["slot"]
        if owner["type"] == "shot" and not await self._point_shot(asset):
            await self._assets.update(asset["_id"], {"$set": {"selected": False}})
            asset["selected"] = False
        elif not alone:
            older = {"selected": True, "selected_at": {"$lt": asset["selected_at"]}}
            where = {"owner.id": owner["id"], "slot": slot, **older}
            await self._assets.update(where, {"$set": {"selected": False}}, many=True)

    async def _point_shot(self, asset: Doc) -> bool:
        """Set the shot's slot; False when the shot or the line is gone meanwhile."""
        shot_id, slot = asset["owner"]["id"], asset["slot"]
        try:
            shot = await self._stories.set_current(
                shot_id, slot, asset["_id"], basis=asset.get("basis", {}).get("shot")
            )
        except (NotFoundError, InvalidInputError):
            return False
        clip_id = (shot.get("current") or {}).get("clip")
        if slot == "panel" and clip_id and "clip" not in (shot.get("stale") or {}):
            await self._mark_clip(shot_id, clip_id, asset["_id"])
        return True

    async def _mark_clip(self, shot_id: str, clip_id: str, panel_id: str) -> None:
        """Mark a clip that was made from another panel."""
        made_from = (await self.assets([clip_id])).get(clip_id, {}).get("basis", {}).get("panel_id")
        if made_from and made_from != panel_id:
            await self._stories.set_current(shot_id, "clip", clip_id, basis="panel_changed")

    async def update(self, actor: Actor, asset: Doc, body: AssetUpdate) -> Doc:
        """Set rating and tags, and the caller's favourite."""
        fields = body.model_dump(exclude_unset=True, exclude={"favourite"})
        if "tags" in fields:
            fields["tags"] = fields["tags"] or []  # null clears them, as it clears the rating
        change: Doc = {"$set": fields} if fields else {}
        if body.favourite is not None:
            change["$addToSet" if body.favourite else "$pull"] = {"favourite_by": actor.user_id}
        if not change:
            raise InvalidInputError("Name at least one of favourite, rating and tags.")
        return await self._assets.find_and_update(asset["_id"], change) or asset

    async def set_scores(self, asset: Doc, scores: list[Doc]) -> Doc:
        """Replace the scores of a take."""
        return await self._assets.find_and_update(asset["_id"], {"$set": {"scores": scores}}) or asset

    # ------------------------------------------------------------ tell

    def _tell(self, job: Doc, asset: Doc, *, late: bool) -> None:
        self._publish(asset, "asset.ready")
        self._log(Actor(job["user_id"]), asset, "asset.late" if late else "asset.generated", job["_id"])

    def _publish(self, asset: Doc, event: str) -> None:
        data = {
            "id": asset["_id"],
            "owner": asset["owner"],
            "slot": asset["slot"],
            "take": asset["take"],
            "kind": asset["kind"],
            "selected": asset["selected"],
            "url": with_url(asset)["url"],
        }
        self._ctx.realtime.publish_room(f"project:{asset['project_id']}", event, data)

    def _log(self, actor: Actor, asset: Doc, action: str, job_id: str | None = None) -> None:
        about = {"type": "asset", "id": asset["_id"], "name": asset["slot"]}
        params = {"role": asset["role"], "slot": asset["slot"], "take": asset["take"]}
        self._ctx.activity.log_activity(asset["project_id"], actor, action, about, params, job_id)


def media_of(mime: str) -> str:
    """Return the kind of media of a type: image, video, audio, subtitle or document."""
    main = mime.partition("/")[0]
    if mime in ("application/x-subrip", "text/vtt", "text/x-ass", "text/x-ssa"):
        return "subtitle"
    return main if main in ("image", "video", "audio") else "document"
