"""Takes: immutable files with an owner and a slot. Kept once per job attempt, chosen in one atomic step.

The `_id` of a generated take is `<job>-<attempt>-<file>`: the primary key keeps a result from being stored
twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import (
    TERMINAL,
    Actor,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    ProviderError,
    ProviderRejectedError,
    now_ms,
)
from studio_asset_gen.finishing import COLLECTION, PENDING, QUARANTINED, READY, Finisher, media_of
from studio_stories.api import Stories

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from studio import Doc, Generation, Page, PluginContext, Repository
    from studio_asset_gen.api import AssetKind
    from studio_asset_gen.models import AssetQuery, AssetUpdate

FETCHED_MS = 3_600_000
"""So long after the work began a file that does not come is asked for again: vendors keep them for an hour at least."""
SLICE = 100
"""$in takes at most 100 values."""


def with_url(asset: Doc) -> Doc:
    """Return the asset with the addresses of its files; the fingerprint in each makes the answer immutable."""
    base, small = f"/api/assetGen/assets/{asset['_id']}", asset.get("thumbnail")
    found = {"url": f"{base}/file?v={asset['blob']['sha256'][:16]}"}
    if small:
        found["thumbnail_url"] = f"{base}/thumbnail?v={small['sha256'][:16]}"
    return asset | found


class AssetStore:
    """Keeps, finds and chooses takes; implements `studio_asset_gen.api.Assets`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx
        self.kinds: dict[str, AssetKind] = {}
        self._finisher = Finisher(ctx)

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

    async def shown(self, asset_id: str) -> Doc:
        """Return one asset that may be seen; raises NotFoundError for one that was not released."""
        found = await self.asset(asset_id)
        if found["state"] != READY:
            raise NotFoundError("There is no such asset.")
        return found

    async def assets(self, asset_ids: Iterable[str]) -> dict[str, Doc]:
        """Return the released assets, by id: what was kept back is nobody's panel, voice or reference."""
        ids = [one for one in dict.fromkeys(asset_ids) if one]
        slices = [ids[start : start + SLICE] for start in range(0, len(ids), SLICE)]
        found = [await self._assets.find({"_id": {"$in": part}, "state": READY}) for part in slices]
        return {asset["_id"]: asset for part in found for asset in part}

    async def current(self, owner_type: str, owner_id: str, slot: str) -> Doc | None:
        """Return the chosen take of an owner that is no shot."""
        where = {
            "owner.id": owner_id,
            "slot": slot,
            "owner.type": owner_type,
            "selected": True,
            "state": READY,
        }
        return await self._assets.find_one(where, sort=[("selected_at", -1), ("_id", -1)])

    async def page(self, query: AssetQuery) -> Page:
        """Return one page of a project's takes, newest first; what is not released is not shown."""
        where: Doc = {"project_id": query.project_id, "state": READY}
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
        kept, withheld = await self._keep(job, generation, late, slots)
        if withheld is not None:
            await self._unselect([asset for asset, _ in kept])
        elif kept[0][0]["selected"] and not slots:
            await self._point(kept[0][0], alone=kept[0][0]["take"] == 1)
        for asset, new in kept:
            if new and asset["state"] == READY:
                self._tell(job, asset, late=late)
        if withheld is not None:
            self._log_withheld(job, withheld)
            raise withheld
        return {"result_asset_ids": [asset["_id"] for asset, _ in kept]}

    async def _keep(
        self,
        job: Doc,
        generation: Generation,
        late: bool,  # noqa: FBT001 - as above
        slots: Sequence[str],
    ) -> tuple[list[tuple[Doc, bool]], ProviderError | None]:
        """Return each take with whether it is new, and why the first that was kept back was: all are paid for."""
        kept, withheld = [], None
        patient = now_ms() - job.get("started_at", 0) < FETCHED_MS
        for number, file in enumerate(generation.files):
            draft = self._draft(job, generation, number, slots)
            draft["selected"] = not late and (number == 0 or bool(slots))
            try:
                kept.append(await self._finisher.keep(draft, file, patient=patient))
            except ProviderError as error:
                withheld = withheld or error
        return kept, withheld

    async def _unselect(self, assets: list[Doc]) -> None:
        """Choose none of them: another file of their job was kept back."""
        for asset in assets:
            asset["selected"] = False
            await self._assets.update(asset["_id"], {"$set": {"selected": False}})

    async def release(self, actor: Actor, job: Doc) -> list[Doc]:
        """Have what a job left undecided go through the rest of the chain now; returns the takes that are ready.

        Nothing is generated, and none of them is chosen. Raises ConflictError while the job runs or when it
        left nothing, and what a step raises; those before it are released all the same.
        """
        if job["state"] not in TERMINAL:
            raise ConflictError(f"The job is {job['state']}: it still finishes its takes itself.")
        where = {"job_id": job["_id"], "state": {"$in": [QUARANTINED, PENDING]}}
        where |= {"project_id": job["project_id"], "finalizing": {"$exists": True}}
        found = await self._assets.find(where, sort=[("_id", 1)])
        if not found:
            raise ConflictError("This job left no take that is undecided.", code="nothing_to_release")
        released = []
        for taken in found:
            asset = await self._finisher.again(taken)
            if asset["state"] == READY:
                self._publish(asset, "asset.ready")
                self._log(actor, asset, "asset.released", job["_id"])
                released.append(asset)
        return released

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
            "state": READY,
        }

    # ------------------------------------------------------------ choose

    async def select(self, actor: Actor, asset: Doc) -> Doc:
        """Make a take the current one of its slot; of simultaneous calls one has the effect."""
        if asset["state"] != READY:
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
            "blurhash": asset.get("blurhash"),
            "url": (urls := with_url(asset))["url"],
            "thumbnailUrl": urls.get("thumbnail_url"),
        }
        self._ctx.realtime.publish_room(f"project:{asset['project_id']}", event, data)

    def _log(self, actor: Actor, asset: Doc, action: str, job_id: str | None = None) -> None:
        about = {"type": "asset", "id": asset["_id"], "name": asset["slot"]}
        params = {"role": asset["role"], "slot": asset["slot"], "take": asset["take"]}
        self._ctx.activity.log_activity(asset["project_id"], actor, action, about, params, job_id)

    def _log_withheld(self, job: Doc, error: ProviderError) -> None:
        params = {"slot": job["target"]["slot"], "code": error.code, "input": error.extra.get("input")}
        actor, target = Actor(job["user_id"]), job["target"]
        self._ctx.activity.log_activity(
            job["project_id"], actor, "asset.withheld", target, params, job["_id"]
        )
