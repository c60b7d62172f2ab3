"""`LocalFilmRenderer`: a FilmRequest becomes MP4, subtitles and files for editing programs."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio import MediaFile, ProviderRejectedError
from studio_local.files import file_digest, joined, link, replacing_later, write_whole
from studio_local.film.cache import content_key, prune
from studio_local.film.letters import shown
from studio_local.film.segments import (
    Frame,
    make_segment,
    segment_path,
    segment_recipe,
    segment_subtitles,
    timescale,
)
from studio_local.film.sound import levelled_music, levelled_voice, mix
from studio_local.film.subtitles import film_cues, line_characters, to_ass, to_srt, to_vtt
from studio_local.film.timing import TimedShot, global_lines, lay_out, total_ms
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import LocalRuntime, runtime_of
from studio_workbench.api import FilmRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

MIMES = {
    "mp4": "video/mp4", "srt": "application/x-subrip", "vtt": "text/vtt", "ass": "text/x-ass",
    "otio": "application/otio+json", "edl": "text/x-edl", "fcpxml": "application/fcpxml+xml",
}  # fmt: skip
_FULL_PERCENT = 100
_LARGEST_SIDE = 4096


@dataclass(slots=True)
class _Render:
    """One run: the laid-out film, its folders, and what has been done so far."""

    request: FilmRequest
    timed: list[TimedShot]
    frame: Frame
    scratch: Path
    report: Callable[[int], None]
    rendered: int = 0
    steps: int = 0
    done: int = 0
    segments: dict[str, asyncio.Task[tuple[Path, bool]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def step(self) -> None:
        """Count one finished step; 100 % belongs to the finished job."""
        self.done += 1
        self.report(min(99, _FULL_PERCENT * self.done // max(1, self.steps)))

    def cache(self, name: str) -> Path:
        """Return a folder of the cache, there already."""
        folder = self.request.cache_dir.absolute() / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class LocalFilmRenderer(LocalGenerator[FilmRequest]):
    """Cuts films: pictures and sound apart, each piece kept by its content, then joined by copying."""

    kind = "film"
    request_type = FilmRequest

    def __init__(self, ctx: Any) -> None:
        self._runtime: LocalRuntime = runtime_of(ctx)
        super().__init__(self._runtime.jobs)

    async def check(self, request: FilmRequest) -> None:
        """Refuse a film without shots, of a size that H.264 cannot have, or with missing files."""
        self._runtime.ffmpeg.find()
        if not request.shots:
            raise ProviderRejectedError("A film needs at least one shot.", input="shots")
        sides = (request.width, request.height)
        if any(side % 2 or not 16 <= side <= _LARGEST_SIDE for side in sides) or not 1 <= request.fps <= 120:  # noqa: PLR2004 - bounds of the format
            message = (
                f"{request.width}x{request.height} at {request.fps} fps: sides must be even, 16 to 4096."
            )
            raise ProviderRejectedError(message, input="size")
        for part, path in _inputs(request):
            if not path.is_file():
                raise ProviderRejectedError(f"The {part} {path.name} cannot be read.", input=part)

    async def produce(self, request: FilmRequest, job: Job) -> Outcome:
        """Render what changed, mix, join, write; nothing appears in `out_dir` before it is whole."""
        out = request.out_dir.absolute()
        out.mkdir(parents=True, exist_ok=True)
        scratch = out / f".{job.id}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        timed = lay_out(request.shots, request.fps)
        frame = Frame(request.width, request.height, request.fps)
        render = _Render(request, timed, frame, scratch, job.progress)
        try:
            return await self._render(render)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    async def _render(self, render: _Render) -> Outcome:
        request = render.request
        render.steps = len(render.timed) + len({line.audio for _, line in global_lines(render.timed)}) + 3
        async with asyncio.TaskGroup() as group:
            pictures = group.create_task(self._pictures(render, group))
            sound = group.create_task(self._sound(render))
            papers = group.create_task(self._papers(render))
        film = request.out_dir.absolute() / f"{_file_name(request.title)}.mp4"
        await self._join(render, pictures.result(), sound.result().name, film)
        written = [film, *await asyncio.to_thread(_publish, papers.result(), film)]
        keep_s = self._runtime.settings.keep_segments_d * 86400
        caches = [render.cache(name) for name in ("segments", "sound")]
        await asyncio.to_thread(prune, caches, keep_s)
        names = media_names(render.timed, request.music)
        data = {"rendered_segments": render.rendered, "segments": len(render.timed), "media": names}
        data["skipped"] = render.skipped
        return Outcome(tuple(_media(path, render) for path in written), data)

    async def _pictures(self, render: _Render, group: asyncio.TaskGroup) -> list[Path]:
        """Return every shot's segment; equal shots share one."""
        cache = render.cache("segments")
        burnt = await shown(await asyncio.to_thread(_burnt, render), render.scratch, self._runtime.ffmpeg)
        recipes = await asyncio.to_thread(_recipes, render, burnt)
        missing = {path for recipe in recipes if not (path := segment_path(cache, recipe)).exists()}
        threads = max(1, self._runtime.ffmpeg.processes // max(1, len(missing)))
        slots = asyncio.Semaphore(self._runtime.settings.processes)
        keyed = [
            (content_key(recipe), shot, recipe) for shot, recipe in zip(render.timed, recipes, strict=True)
        ]
        for key, shot, recipe in sorted(
            keyed, key=lambda item: -item[1].frames
        ):  # so that none is left alone
            if key not in render.segments:
                making = self._segment(render, shot, recipe, slots, threads)
                render.segments[key] = group.create_task(making)
        return [(await render.segments[key])[0] for key, _, _ in keyed]

    async def _segment(
        self, render: _Render, shot: TimedShot, recipe: dict[str, Any], slots: asyncio.Semaphore, threads: int
    ) -> tuple[Path, bool]:
        """Make one segment; no more wait for a worker than work, so that the sound gets one between them."""
        cache = render.cache("segments")
        async with slots:
            made = await make_segment(
                shot, render.frame, recipe, cache, render.scratch, self._runtime, threads=threads
            )
        render.rendered += made[1]
        render.step()
        return made

    async def _sound(self, render: _Render) -> Path:
        """Return the mixed sound; voices and music are normalised side by side."""
        cache, ffmpeg, music = render.cache("sound"), self._runtime.ffmpeg, render.request.music
        lines = [(start, line.audio) for start, line in global_lines(render.timed) if line.audio]

        async def level(how: Callable[..., Awaitable[Path]], source: Path) -> Path:
            path = await how(source, cache, render.scratch, ffmpeg)
            render.step()
            return path

        sources = dict.fromkeys(path for _, path in lines)
        async with asyncio.TaskGroup() as group:
            bed = group.create_task(level(levelled_music, music)) if music else None
            ready = {path: group.create_task(level(levelled_voice, path)) for path in sources}
        voices = [(start, ready[path].result()) for start, path in lines]
        length, work = total_ms(render.timed), self._runtime.work
        return await mix(voices, bed.result() if bed else None, length, cache, render.scratch, ffmpeg, work)

    async def _papers(self, render: _Render) -> list[Path]:
        """Write subtitles and time lines into the scratch folder; return their paths."""
        frame = render.frame
        characters = line_characters(frame.width, frame.height)
        cues = film_cues(global_lines(render.timed), total_ms(render.timed), characters)
        texts = {"srt": to_srt(cues), "vtt": to_vtt(cues), "ass": to_ass(cues, frame.width, frame.height)}
        for suffix, text in texts.items():
            (render.scratch / f"film.{suffix}").write_text(text, encoding="utf-8")
        drafts = {suffix: str(render.scratch / f"film.{suffix}") for suffix in ("otio", "edl", "fcpxml")}
        answer = await self._runtime.work("export", _plan(render) | {"out": drafts})
        render.skipped = answer["skipped"]
        render.step()
        written = (suffix for suffix in (*texts, *drafts) if suffix not in render.skipped)
        return [render.scratch / f"film.{suffix}" for suffix in written]

    async def _join(self, render: _Render, segments: list[Path], sound: str, film: Path) -> None:
        """Join pictures and sound without encoding anything again."""
        await asyncio.to_thread(joined, segments, render.scratch / "film.h264")
        pictures = ["-f", "h264", "-framerate", str(render.frame.fps), "-i", "film.h264"]
        async with replacing_later(film) as part:
            link(render.scratch / "film.mp4", part)
            await self._runtime.ffmpeg.run(
                [*pictures, "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy", *timescale(render.frame),
                 "-movflags", "+faststart", "film.mp4"], cwd=render.scratch,
            )  # fmt: skip
        render.step()


def media_names(timed: Iterable[TimedShot], music: Path | None) -> dict[str, str]:
    """Return source path by the name that the time lines use: `media/001_3A.jpg`, `media/001_3A_1.wav`."""
    names: dict[str, str] = {}
    for number, item in enumerate(timed, 1):
        stem, shot = f"media/{number:03}_{_file_name(item.shot.code)}", item.shot
        picture = shot.clip or shot.panel
        names[f"{stem}{picture.suffix}"] = str(picture)
        for index, line in enumerate((line for line in shot.lines if line.audio), 1):
            names[f"{stem}_{index}{line.audio.suffix if line.audio else ''}"] = str(line.audio)
    if music:
        names[f"media/music{music.suffix}"] = str(music)
    return names


def _plan(render: _Render) -> dict[str, Any]:
    """Return the time line in frames, as the exporter wants it."""
    request = render.request
    last = render.timed[-1]
    return {
        "title": request.title or "Film",
            "fps": request.fps, "width": request.width, "height": request.height,
        "frames": last.start + last.frames,
        "music": f"media/music{request.music.suffix}" if request.music else None,
        "shots": [_planned(number, item) for number, item in enumerate(render.timed, 1)],
    }  # fmt: skip


def _planned(number: int, item: TimedShot) -> dict[str, Any]:
    shot = item.shot
    names = list(media_names([item], None))
    own = [name.replace("media/001_", f"media/{number:03}_", 1) for name in names]
    spoken = [line for line in shot.lines if line.audio]
    voices = [
        {
            "offset": round(line.start_ms * item.fps / 1000),
            "frames": max(1, round(line.duration_ms * item.fps / 1000)),
            "media": name, "text": line.text, "speaker": line.speaker,
        }
        for line, name in zip(spoken, own[1:], strict=True)
    ]  # fmt: skip
    return {
        "id": shot.id, "code": shot.code, "start": item.start, "frames": item.frames, "media": own[0],
        "moving": shot.clip is not None, "voices": voices,
    }  # fmt: skip


def _inputs(request: FilmRequest) -> Iterable[tuple[str, Path]]:
    for shot in request.shots:
        yield ("clip", shot.clip) if shot.clip else ("panel", shot.panel)
        yield from (("voice", line.audio) for line in shot.lines if line.audio)
    if request.music:
        yield "music", request.music


def _publish(papers: Iterable[Path], film: Path) -> list[Path]:
    """Put the finished papers beside the film."""
    targets = {film.with_suffix(paper.suffix): paper for paper in papers}
    for target, paper in targets.items():
        write_whole(target, paper.read_bytes())
    return list(targets)


def _burnt(render: _Render) -> list[str]:
    burn = render.request.burn_subtitles
    return [segment_subtitles(shot, render.frame) if burn else "" for shot in render.timed]


def _recipes(render: _Render, burnt: list[str]) -> list[dict[str, Any]]:
    return [
        segment_recipe(shot, render.frame, file_digest(shot.shot.clip or shot.shot.panel), subtitles)
        for shot, subtitles in zip(render.timed, burnt, strict=True)
    ]


def _media(path: Path, render: _Render) -> MediaFile:
    mime = MIMES[path.suffix[1:]]
    if mime != "video/mp4":
        return MediaFile(mime=mime, path=path)
    frame, length = render.frame, total_ms(render.timed)
    return MediaFile(mime=mime, path=path, width=frame.width, height=frame.height, duration_ms=length)


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "_", title).strip("_")[:60] or "film"
