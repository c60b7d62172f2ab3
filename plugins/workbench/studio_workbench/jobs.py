"""The film of a timeline: an asset kind that joins asset_gen's, and the job "animatic.render"."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING, Any

from studio import ConflictError, Doc, Generation, InvalidInputError, MediaFile, WordTiming, now_ms
from studio_asset_gen.api import Assets, Plan, Slot, StoryView, Wish
from studio_workbench.api import FilmLine, FilmRequest, FilmShot
from studio_workbench.cutting import cut, hash_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from studio import PluginContext, Repository
    from studio_asset_gen.api import Media
    from studio_workbench.cutting import Cut

TIMELINES = "timelines"
JOB = "animatic.render"
FORMATS = {
    "video/mp4": "mp4",
    "application/x-subrip": "srt",
    "text/vtt": "vtt",
    "text/x-ass": "ass",
    "text/x-ssa": "ass",
    "application/otio+json": "otio",
    "text/x-edl": "edl",
    "application/fcpxml+xml": "fcpxml",
}
"""Media type of an output → the format that the export calls it."""


class FilmKind:
    """Films of timelines; as an asset kind they take part in "what would re-render" and in estimates."""

    job, name, capability, role = JOB, "film", "film", "animatic"
    media: Media = "video"
    overrides: frozenset[str] = frozenset()

    def __init__(self, ctx: PluginContext, work_dir: Path, keep_h: float) -> None:
        self._ctx, self._work_dir, self._keep_s = ctx, work_dir.absolute(), keep_h * 3600

    @property
    def _assets(self) -> Assets:
        return self._ctx.service(Assets)  # type: ignore[type-abstract]  # a protocol is the key it is asked by

    @property
    def _timelines(self) -> Repository:
        return self._ctx.database[TIMELINES]

    # ------------------------------------------------------------ the asset kind

    async def cut(self, view: StoryView, timeline: Doc) -> Cut:
        """Cut a timeline from the story as it stands now."""
        music = await self._assets.current("story", view.story["_id"], "music")
        return cut(view, timeline.get("scenes"), music["_id"] if music else None)

    async def slots(self, view: StoryView) -> list[Slot]:
        """Return one slot per timeline of the story that was ever rendered."""
        found = await self._timelines.find(
            {"story_id": view.story["_id"], "render_asset_id": {"$ne": None}}, sort=[("_id", 1)]
        )
        return [await self._slot(view, timeline) for timeline in found]

    async def _slot(self, view: StoryView, timeline: Doc) -> Slot:
        try:
            basis = (await self.cut(view, timeline)).basis
        except InvalidInputError:  # the scenes it names are gone: it cannot be made again
            basis = timeline["render_content"]
        stale = None if basis == timeline["render_content"] else "story_changed"
        label = f"Film {timeline['name']}"
        return Slot("timeline", timeline["_id"], "mp4", label, timeline["render_asset_id"], stale)

    async def plan(self, view: StoryView, slot: Slot, wish: Wish) -> Plan:
        """Make an order of a film: asset ids, which never change their content, and times."""
        timeline = await self._timelines.get(slot.id) or {}
        made = await self.cut(view, timeline)
        burn = wish.overrides.get("burn_subtitles", True)
        return Plan(slot, self.order_input(view, timeline, made, burn=burn))

    def order_input(self, view: StoryView, timeline: Doc, made: Cut, *, burn: bool) -> Doc:
        """Return the input of a render job; raises ConflictError naming what must be made first."""
        _check(made)
        kept = {"title": view.story["title"], "timeline_id": timeline["_id"], "burn_subtitles": burn}
        return {**kept, **made.fields, "content": made.basis, "basis": hash_of([made.basis, burn])}

    # ------------------------------------------------------------ the job

    async def request(self, job: Doc) -> FilmRequest:
        """Build the renderer's request: local paths of all takes, and folders to work in."""
        given = job["input"]
        takes = await self._assets.assets(_asset_ids(given))
        paths = {asset_id: await self._assets.path(take) for asset_id, take in takes.items()}
        music = paths.get(given["music_asset_id"] or "")
        return FilmRequest(
            job_id=job["_id"],
            model=job["model"],
            title=given["title"],
            shots=tuple(_film_shots(given["shots"], takes, paths)),
            music=music,
            width=given["width"],
            height=given["height"],
            fps=given["fps"],
            burn_subtitles=given["burn_subtitles"],
            cache_dir=self._work_dir / "cache",
            out_dir=self._out_dir(job),
        )

    def _out_dir(self, job: Doc) -> Path:
        return self._work_dir / "out" / f"{job['_id']}-{job['attempt']}"

    async def accept(self, job: Doc, generation: Generation, late: bool) -> dict[str, Any]:  # noqa: FBT001 - the shape of JobKind.accept
        """Keep every file of the film as a take of the timeline, and point the timeline at them."""
        formats = [_format_of(file) for file in generation.files]
        fields = await self._assets.accept(job, generation, late, slots=formats)
        outputs = dict(zip(formats, fields["result_asset_ids"], strict=True))
        if not late and "mp4" in outputs:
            await self._point(job, outputs, generation.data.get("skipped", {}))
        await asyncio.to_thread(self._tidy, self._out_dir(job))
        return fields

    async def _point(self, job: Doc, outputs: dict[str, str], skipped: dict[str, str]) -> None:
        """Point the timeline at a render, unless one that was ordered later is there already.

        `skipped` says of a format why the film has none, e.g. an EDL at 12 frames per second.
        """
        given = job["input"]
        kept = {key: given[key] for key in ("width", "height", "fps", "music_asset_id", "shots")}
        change = {
            "render_asset_id": outputs["mp4"],
            "outputs": outputs,
            "skipped": skipped,
            "render_basis": given["basis"],
            "render_content": given["content"],
            "render_job_id": job["_id"],
            "rendered": kept,
            "rendered_at": now_ms(),
        }
        older = [{"render_job_id": None}, {"render_job_id": {"$lte": job["_id"]}}]
        await self._timelines.update({"_id": given["timeline_id"], "$or": older}, {"$set": change})

    def _tidy(self, done: Path) -> None:
        """Remove the folder of a finished render, and those of renders that broke off long ago."""
        limit = time.time() - self._keep_s
        for folder in done.parent.iterdir() if done.parent.is_dir() else ():
            if folder == done or folder.stat().st_mtime < limit:
                shutil.rmtree(folder, ignore_errors=True)


def _check(made: Cut) -> None:
    if not made.shots:
        raise ConflictError(
            "There is no shot to film: break the story down first.",
            code="no_shots",
            retry_with=[{"action": "breakdown"}],
        )
    if len(made.missing_panels) == len(made.shots):
        raise ConflictError(
            f"None of the {len(made.shots)} shots has a panel: generate the panels first.",
            code="no_panels",
            retry_with=[{"action": "generate", "kinds": ["panels"], "path": "/api/assetGen/batch"}],
        )


def _asset_ids(given: Doc) -> Iterable[str]:
    yield given["music_asset_id"] or ""
    for shot in given["shots"]:
        yield from (shot["panel_asset_id"] or "", shot["clip_asset_id"] or "")
        yield from (line["voice_asset_id"] or "" for line in shot["lines"])


def _film_shots(shots: list[Doc], takes: dict[str, Doc], paths: dict[str, Path]) -> Iterable[FilmShot]:
    """Yield the shots; one without a panel shows the one before it, or the first there is."""
    panels = [paths.get(shot["panel_asset_id"] or "") for shot in shots]
    shown = next((panel for panel in panels if panel), None)
    for shot, panel in zip(shots, panels, strict=True):
        shown = panel or shown
        if shown is None:
            raise ConflictError("The panels of this film are gone: generate them again.", code="no_panels")
        yield FilmShot(
            id=shot["shot_id"],
            code=shot["code"],
            panel=shown,
            clip=paths.get(shot["clip_asset_id"] or ""),
            movement=shot["movement"],
            duration_ms=shot["duration_ms"],
            lines=tuple(_film_line(line, takes, paths) for line in shot["lines"]),
        )


def _film_line(line: Doc, takes: dict[str, Doc], paths: dict[str, Path]) -> FilmLine:
    voice = line["voice_asset_id"] or ""
    words = takes[voice]["media"].get("words", []) if voice in takes else []
    return FilmLine(
        audio=paths.get(voice),
        start_ms=line["start_ms"],
        duration_ms=line["duration_ms"],
        text=line["text"],
        speaker=line["speaker"],
        words=tuple(WordTiming.model_validate(word) for word in words),
    )


def _format_of(file: MediaFile) -> str:
    ending = file.path.suffix.lstrip(".").lower() if file.path else ""
    return FORMATS.get(file.mime) or ending or "file"
