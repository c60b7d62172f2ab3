"""`studio demo`: a film from a story, made by a client that knows nothing but the public API."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession, ClientTimeout
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from studio.cli.server import Api, DemoError, own_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = Path("examples/the-lighthouse-keeper.fountain")
MAX_BYTES = 20_000_000
DONE = ("succeeded", "failed", "cancelled")
FORMATS = ("mp4", "srt", "otio")
STAGE_S = 1800.0
BURST_S = 0.03


async def run_demo(story: Path | None, out: Path, scenes: str, url: str | None) -> int:
    """Go the whole way and return the exit code; what is wrong is said in one message."""
    console = Console(stderr=False)
    try:
        path, data = _read(story)
        _check_writable(out)
        async with AsyncExitStack() as stack:
            base = url.rstrip("/") if url else await stack.enter_async_context(own_server())
            session = await stack.enter_async_context(ClientSession(timeout=ClientTimeout(120)))
            progress = Progress(*_columns(), console=console, refresh_per_second=8)
            stack.enter_context(progress)
            files = await Demo(Api(session, base), progress).make(path, data, out, scenes)
    except DemoError as error:
        sys.stderr.write(f"studio demo: {error}\n")
        return 1
    except (ClientError, TimeoutError) as error:
        sys.stderr.write(f"studio demo: the server cannot be reached: {error or type(error).__name__}\n")
        return 1
    for file in files:
        console.print(f"{file.suffix[1:].upper():5} {file}", highlight=False, soft_wrap=True)
    console.print("Look at it in the console: make run, then http://localhost:8081", highlight=False)
    return 0


def _columns() -> tuple[Any, ...]:
    counts = (MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
    return SpinnerColumn(finished_text="✓"), TextColumn("{task.description:<10}"), BarColumn(), *counts


def _read(story: Path | None) -> tuple[Path, bytes]:
    path = story or EXAMPLE
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DemoError(
                f"{path} has more than {MAX_BYTES // 1_000_000} MB; a script has a few hundred KB."
            )
        return path, path.read_bytes()
    except OSError as error:
        hint = "" if story else " Run it in the project's folder, or name a file: studio demo --story FILE"
        raise DemoError(f"{path} cannot be read: {error.strerror}.{hint}") from None


def _check_writable(out: Path) -> None:
    """Write into the folder, or into what it will be made in: a film that cannot be kept is not begun."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    try:
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DemoError(_unwritable(out, error)) from None


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {error.strerror}. Name another folder with --out."


class Demo:
    """One film, stage by stage."""

    def __init__(self, api: Api, progress: Progress) -> None:
        self._api, self._progress = api, progress
        self._wake = asyncio.Event()

    async def make(self, path: Path, data: bytes, out: Path, scenes: str) -> list[Path]:
        """Import, break down, draw, speak, cut; return the files under `out`."""
        api = self._api
        with self._stage("sign in", 1) as stage:
            await api.sign_in(os.environ.get("STUDIO_DEMO_EMAIL", "demo@studio.example"))
            stage.set(1)
        with self._stage("import", 1) as stage:
            story = await self._import(path, data, scenes)
            stage.set(1, story["title"])
        for warning in story["warnings"]:
            self._progress.console.print(f"  {warning}", highlight=False, markup=False)
        project_id = story["projectId"]
        listening = asyncio.create_task(self._listen(project_id))
        try:
            await self._breakdown(story, project_id)
            for kind in ("panels", "voices", "music"):
                await self._batch(story, project_id, kind, scenes)
            timeline = await self._film(story, project_id, scenes)
        except (asyncio.CancelledError, DemoError):
            await self._give_up(project_id)
            raise
        finally:
            listening.cancel()
        return await self._save(timeline, path, out)

    async def _import(self, path: Path, data: bytes, scenes: str) -> dict[str, Any]:
        """Make a project of the story; a file or scenes that the server refuses leave nothing behind."""
        async with self._project(path.stem[:80]) as project_id:
            story: dict[str, Any] = await self._api.call(
                "POST", "/api/stories/upload", data=data, projectId=project_id, filename=path.name
            )
            if scenes:
                await self._api.call(
                    "POST", "/api/assetGen/estimate", {"storyId": story["id"], "scenes": scenes}
                )
        return story

    @asynccontextmanager
    async def _project(self, name: str) -> AsyncIterator[str]:
        """Yield the id of a new project, which is deleted again when the block fails."""
        project_id = (await self._api.call("POST", "/api/workbench/projects", {"name": name}))["id"]
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._delete, project_id)
            yield project_id
            undo.pop_all()

    async def _delete(self, project_id: str) -> None:
        with suppress(DemoError, ClientError, TimeoutError):  # the first failure is the one to tell
            await self._api.call("DELETE", f"/api/workbench/projects/{project_id}")

    async def _give_up(self, project_id: str) -> None:
        """Cancel what has not ended: the next command's server would go on with it before its own work."""
        with suppress(DemoError, ClientError, TimeoutError):  # what stopped us is the thing to tell
            cancelled = await self._api.call("POST", "/api/assetGen/jobs/cancel", {"projectId": project_id})
            jobs = await self._jobs(project_id)
            under_way = [job["id"] for job in jobs if job["state"] not in DONE]
            for job_id in under_way:
                with suppress(DemoError):  # it has just ended
                    await self._api.call("POST", f"/api/assetGen/jobs/{job_id}/cancel")
            if count := cancelled["cancelled"] + len(under_way):
                self._progress.console.print(f"Stopped: {count} jobs are cancelled.", highlight=False)

    async def _listen(self, project_id: str) -> None:
        async for event, _ in self._api.events(project_id):
            if event in ("job.updated", "asset.ready", "resync"):
                self._wake.set()

    async def _breakdown(self, story: dict[str, Any], project_id: str) -> None:
        with self._stage("breakdown", 1) as stage:
            started = await self._api.call("POST", f"/api/stories/{story['id']}/breakdown")
            await self._finish(stage, project_id, [{"id": started["jobId"], "state": "queued"}])
            tree = await self._api.call("GET", f"/api/stories/{story['id']}/tree")
            counts = (f"{len(tree[kind])} {kind}" for kind in ("scenes", "shots", "characters"))
            stage.set(1, ", ".join(counts))

    async def _batch(self, story: dict[str, Any], project_id: str, kind: str, scenes: str) -> None:
        with self._stage(kind, None) as stage:
            order = {"storyId": story["id"], "kinds": [kind]} | ({"scenes": scenes} if scenes else {})
            batch = await self._api.call("POST", "/api/assetGen/batch", order)
            stage.total(batch["total"])
            await self._finish(stage, project_id, batch["jobs"], batch["batchId"])

    async def _film(self, story: dict[str, Any], project_id: str, scenes: str) -> dict[str, Any]:
        with self._stage("film", 100) as stage:
            order = {"storyId": story["id"]} | ({"scenes": scenes} if scenes else {})
            timeline: dict[str, Any] = await self._api.call("POST", "/api/workbench/timelines", order)
            started = await self._api.call("POST", f"/api/workbench/timelines/{timeline['id']}/render")
            await self._finish(stage, project_id, [started["job"]])
            stage.set(100, f"{timeline['durationMs'] / 1000:.1f} s")
        return timeline

    async def _save(self, timeline: dict[str, Any], path: Path, out: Path) -> list[Path]:
        name = re.sub(r"[^\w.-]+", "-", path.stem) or "film"
        files = [out / f"{name}.{kind}" for kind in FORMATS]
        at = out
        try:
            out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a client with nothing else to do
            for kind, at in zip(FORMATS, files, strict=True):
                await self._api.download(f"/api/workbench/timelines/{timeline['id']}/export", at, format=kind)
        except ClientError:  # some of them are OSErrors too
            raise
        except OSError as error:
            raise DemoError(_unwritable(at, error)) from None
        return files

    async def _finish(
        self, stage: Stage, project_id: str, jobs: list[dict[str, Any]], batch_id: str | None = None
    ) -> None:
        """Wait until every job has ended. Events wake us at once; without them REST is asked every second."""
        known = {job["id"]: job for job in jobs}
        deadline = time.monotonic() + STAGE_S
        while open_jobs := [job for job in known.values() if job["state"] not in DONE]:
            stage.show(list(known.values()))
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), 1.0)
                await asyncio.sleep(BURST_S)  # a burst of events is one look
            except TimeoutError:
                pass
            if time.monotonic() > deadline:
                raise DemoError(f"{len(open_jobs)} jobs have not ended within {STAGE_S / 60:.0f} minutes.")
            await self._refresh(known, project_id, batch_id)
        if failed := [job for job in known.values() if job["state"] != "succeeded"]:
            error = failed[0].get("error") or {}
            raise DemoError(
                f"{len(failed)} of {len(known)} jobs failed. The first: {error.get('message', 'cancelled')}"
            )
        stage.show(list(known.values()))

    async def _refresh(self, known: dict[str, Any], project_id: str, batch_id: str | None) -> None:
        if batch_id is None or len(known) == 1:
            for job_id in known:
                known[job_id] = await self._api.call("GET", f"/api/assetGen/jobs/{job_id}")
            return
        known |= {job["id"]: job for job in await self._jobs(project_id, batchId=batch_id)}

    async def _jobs(self, project_id: str, **more: str) -> list[dict[str, Any]]:
        """Return all jobs of a project, page by page."""
        found: list[dict[str, Any]] = []
        query = {"projectId": project_id, "limit": "200", **more}
        while True:
            page = await self._api.call("GET", "/api/assetGen/jobs?" + urlencode(query))
            found += page["items"]
            if not page["nextCursor"]:
                return found
            query["cursor"] = page["nextCursor"]

    def _stage(self, name: str, total: int | None) -> Stage:
        return Stage(self._progress, name, total)


class Stage:
    """One progress bar."""

    def __init__(self, progress: Progress, name: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=total, note="")
        self._total = total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.refresh()

    def total(self, total: int) -> None:
        """Say how much there is to do."""
        self._total = total
        self._progress.update(
            self._task, total=max(total, 1), completed=0 if total else 1, note="" if total else "up to date"
        )

    def set(self, completed: int, note: str = "") -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=completed, note=note)

    def show(self, jobs: list[dict[str, Any]]) -> None:
        """Move the bar by what the jobs say: their number, or the percent of a single one."""
        if len(jobs) == 1 and self._total == 100:  # noqa: PLR2004 - percent
            done = 100 if jobs[0]["state"] in DONE else (jobs[0].get("progress") or {}).get("pct", 0)
            self._progress.update(self._task, completed=done)
        elif jobs:
            self._progress.update(self._task, completed=sum(job["state"] in DONE for job in jobs))
