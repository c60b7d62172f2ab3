"""What the providers of one plugin context share: children, ffmpeg, job folders."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from studio_local.children.pool import ChildPool
from studio_local.ffmpeg import Ffmpeg
from studio_local.jobs import LocalJobs
from studio_local.settings import LocalSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class LocalRuntime:
    """Everything here starts at first use; nothing is started by constructing it."""

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings

    @cached_property
    def workers(self) -> ChildPool:
        """Processes that draw, compose, judge and export."""
        settings = self.settings
        return ChildPool("studio_local.work_child", settings.processes, memory_mb=settings.child_memory_mb)

    @cached_property
    def espeak(self) -> ChildPool:
        """Processes that hold one espeak-ng each, for one line: who has spoken says the same again a bit otherwise.

        Equal lines give equal files this way, and a film finds its pictures and sound as it left them.
        """
        program, settings = "studio_local.espeak_child", self.settings
        return ChildPool(program, settings.processes, memory_mb=settings.child_memory_mb, fresh=True)

    @cached_property
    def ffmpeg(self) -> Ffmpeg:
        """The runner of ffmpeg."""
        settings = self.settings
        return Ffmpeg(settings.ffmpeg, processes=settings.processes, deadline_s=settings.ffmpeg_deadline_s)

    @cached_property
    def jobs(self) -> LocalJobs:
        """The jobs on disk and their tasks."""
        return LocalJobs(self.settings.work_dir / "jobs", keep_h=self.settings.keep_jobs_h)

    async def work(self, task: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Run one task in a worker within `child_deadline_s`."""
        return await self.workers.call(task, payload, deadline_s=self.settings.child_deadline_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the job folders tidy while the server runs; end tasks and children at the end."""
        async with self.jobs.janitor():
            try:
                yield
            finally:
                await self.close()

    async def close(self) -> None:
        """Stop all work; what was unfinished resumes at its next poll."""
        await self.jobs.close()
        for name in ("workers", "espeak"):
            if name in self.__dict__:
                await getattr(self, name).close()


_runtimes: WeakKeyDictionary[Any, LocalRuntime] = WeakKeyDictionary()


def runtime_of(ctx: Any) -> LocalRuntime:
    """Return the runtime of a plugin context, the same for each of its providers."""
    if ctx not in _runtimes:
        _runtimes[ctx] = LocalRuntime(ctx.settings(LocalSettings))
    return _runtimes[ctx]
