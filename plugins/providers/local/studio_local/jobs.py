"""Local jobs on disk: a request, later a result; both survive a kill of the server.

`jobs/<id>/request.json` is written before `submit` answers, `result.json` once and atomically at the end. A
lock file, which the system releases when its process dies, tells a job that runs elsewhere from one that
must resume.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from studio import (
    Estimate,
    Generation,
    GenerationError,
    GenerationRequest,
    MediaFile,
    ProviderRejectedError,
    StudioError,
)
from studio_local.files import NO_ROOM, write_once

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
    from pathlib import Path

R = TypeVar("R", bound=GenerationRequest)

QUICK_S = 0.25
"""`submit` waits so long for the result: quick work needs no poll. So do the polls of a few jobs."""
FEW = 4
"""As many polls are under way at a time (jobs.concurrency, its default): those of more jobs do not wait."""
POLL_S, POLL_FEW_S = 0.3, 0.05
"""When to ask again. A poll that waits hears of the end at once."""
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST_PLAIN_ID = 80
_RETRYABLE = frozenset({"provider_failed", "deadline_exceeded", "storage_full", "unavailable"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What finished work hands over: files, or data that are no file."""

    files: tuple[MediaFile, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of running work: its folder, and how to report progress (0 to 100)."""

    id: str
    folder: Path
    progress: Callable[[int], None]


class LocalJobs:
    """Runs jobs as background tasks of this process and keeps their folders."""

    def __init__(self, root: Path, *, keep_h: float) -> None:
        self._root = root.absolute()
        self._keep_s = keep_h * 3600
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._percent: dict[str, int] = {}

    async def start(
        self, job_id: str, request: GenerationRequest, work: Callable[[Job], Awaitable[Outcome]]
    ) -> Generation:
        """Persist `request`, start `work`, and answer; the same id twice is the same job."""
        path = self._folder(job_id) / "request.json"
        await asyncio.to_thread(write_once, path, request.model_dump_json().encode())
        return await self.resume(job_id, work, wait_s=QUICK_S)

    async def resume(
        self, job_id: str, work: Callable[[Job], Awaitable[Outcome]], *, wait_s: float = 0.0
    ) -> Generation:
        """Return the result, or start the work again if no process is at it."""
        if (done := self._result(job_id)) is not None:
            return done
        if job_id not in self._tasks:
            task = asyncio.create_task(self._run(job_id, work), name=f"local:{job_id}")
            self._tasks[job_id] = task
            task.add_done_callback(lambda task: self._settle(job_id, task))
        if wait_s:
            await asyncio.wait({self._tasks[job_id]}, timeout=wait_s)
        again_s = POLL_FEW_S if job_id in self._tasks and self._few() else POLL_S
        done = self._result(job_id)
        return done or Generation(
            provider_job_id=job_id, percent=self._progress(job_id), retry_after_s=again_s
        )

    async def poll(self, job_id: str, work: Callable[[Job], Awaitable[Outcome]]) -> Generation:
        """Return the state as `resume` does; that of one of a few jobs as soon as it has ended."""
        return await self.resume(job_id, work, wait_s=QUICK_S if self._few() else 0.0)

    def _few(self) -> bool:
        return len(self._tasks) <= FEW

    def request_json(self, job_id: str) -> bytes:
        """Return the stored request; raises ProviderRejectedError for an id that was never submitted here."""
        try:
            return (self._folder(job_id) / "request.json").read_bytes()
        except FileNotFoundError:
            message = f"There is no local job {job_id!r}: it was never submitted here, or it was cleaned up."
            raise ProviderRejectedError(message, input="provider_job_id") from None

    async def cancel(self, job_id: str) -> bool:
        """Stop a job for good; False when it has its result already."""
        self.request_json(job_id)
        if self._result(job_id) is not None:
            return False
        cancelled = Generation(provider_job_id=job_id, state="cancelled")
        if not await asyncio.to_thread(self._finish, job_id, cancelled):
            return False
        if (task := self._tasks.get(job_id)) is not None:
            task.cancel()
            await asyncio.wait({task})
        return True

    async def close(self) -> None:
        """Cancel all tasks; their jobs have no result and resume later."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def janitor(self) -> AsyncIterator[None]:
        """Remove folders older than the limit, now and every hour."""
        task = asyncio.create_task(self._clean_hourly(), name="local:janitor")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def clean(self, now: float) -> int:
        """Remove job folders last written more than `keep_h` before `now` (seconds since the epoch)."""
        old = [folder for folder in self._folders() if now - folder.stat().st_mtime > self._keep_s]
        for folder in old:
            if folder.name not in self._tasks:
                shutil.rmtree(folder, ignore_errors=True)
        return len(old)

    async def _clean_hourly(self) -> None:
        while True:
            await asyncio.to_thread(self.clean, time.time())
            await asyncio.sleep(3600)

    def _folders(self) -> list[Path]:
        return [path for path in self._root.iterdir() if path.is_dir()] if self._root.is_dir() else []

    def _folder(self, job_id: str) -> Path:
        if not _SAFE_ID.fullmatch(job_id):
            raise ProviderRejectedError(f"{job_id!r} is no id of a local job.", input="provider_job_id")
        return self._root / job_id

    def _result(self, job_id: str) -> Generation | None:
        with suppress(FileNotFoundError):
            return Generation.model_validate_json((self._folder(job_id) / "result.json").read_bytes())
        return None

    def _finish(self, job_id: str, generation: Generation) -> bool:
        """Write the result unless there is one: a cancel and a success exclude each other, in all processes."""
        return write_once(self._folder(job_id) / "result.json", generation.model_dump_json().encode())

    async def _run(self, job_id: str, work: Callable[[Job], Awaitable[Outcome]]) -> None:
        with _exclusive(self._folder(job_id) / "lock") as mine:
            if not mine or self._result(job_id) is not None:
                return
            outcome = await work(Job(job_id, self._folder(job_id), self._reporter(job_id)))
            done = Generation(
                provider_job_id=job_id, state="succeeded", percent=100, cost_uusd=0,
                files=outcome.files, data=outcome.data,
            )  # fmt: skip
            await asyncio.to_thread(self._finish, job_id, done)

    def _reporter(self, job_id: str) -> Callable[[int], None]:
        def report(percent: int) -> None:
            self._percent[job_id] = percent
            with suppress(OSError):  # a lost percentage is no reason to lose the work
                (self._folder(job_id) / "percent").write_text(str(percent))

        return report

    def _progress(self, job_id: str) -> int | None:
        if job_id in self._percent:
            return self._percent[job_id]
        with suppress(OSError, ValueError):
            return int((self._folder(job_id) / "percent").read_text())
        return None

    def _settle(self, job_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(job_id, None)
        self._percent.pop(job_id, None)
        if task.cancelled() or (error := task.exception()) is None:
            return
        failed = Generation(provider_job_id=job_id, state="failed", error=describe(error), cost_uusd=0)
        with suppress(StudioError, OSError):  # on a full disk the next poll tries again
            self._finish(job_id, failed)


@contextmanager
def _exclusive(path: Path) -> Iterator[bool]:
    """Hold `path` as a lock between processes; yields False when another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def describe(error: BaseException) -> GenerationError:
    """Return what a client is told of `error`; of several at once, the first."""
    if isinstance(error, BaseExceptionGroup):
        return describe(error.exceptions[0])
    if isinstance(error, StudioError):
        named = error.extra.get("input")
        return GenerationError(
            code=error.code, message=error.detail, retryable=error.code in _RETRYABLE, input=named
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return GenerationError(
            code="storage_full", message="There is no room left on the disk.", retryable=True
        )
    return GenerationError(code="internal_error", message=f"The local work failed: {error!r}")


class LocalGenerator(ABC, Generic[R]):
    """Submit, poll and cancel for every local medium; a subclass says how one request is worked off."""

    kind: ClassVar[str]
    request_type: type[R]

    def __init__(self, jobs: LocalJobs) -> None:
        self._jobs = jobs

    async def submit(self, request: R) -> Generation:
        """Check the request, persist it and start; answers at once when the work is quick.

        Raises ProviderRejectedError for input that can never work, ProviderUnavailableError for a missing
        package.
        """
        await self.check(request)
        return await self._jobs.start(self._job_id(request.job_id), request, self._bind(request))

    async def poll(self, provider_job_id: str) -> Generation:
        """Return the state; work that a dead process left behind starts again."""
        request = self.request_type.model_validate_json(self._jobs.request_json(provider_job_id))
        return await self._jobs.poll(provider_job_id, self._bind(request))

    async def cancel(self, provider_job_id: str) -> bool:
        """Stop the task and its child process; False when the result is there already."""
        return await self._jobs.cancel(provider_job_id)

    def estimate(self, request: R) -> Estimate:  # noqa: ARG002 - the protocol's signature
        """Return nothing to pay: the work is done on this machine."""
        return Estimate(cost_uusd=0, note="done on this machine")

    async def check(self, request: R) -> None:
        """Raise ProviderRejectedError or ProviderUnavailableError for what cannot work."""

    @abstractmethod
    async def produce(self, request: R, job: Job) -> Outcome:
        """Do the work; may be repeated after a restart, so it must be idempotent."""

    def _bind(self, request: R) -> Callable[[Job], Coroutine[Any, Any, Outcome]]:
        async def work(job: Job) -> Outcome:
            return await self.produce(request, job)

        return work

    def _job_id(self, job_id: str) -> str:
        plain = len(job_id) <= _LONGEST_PLAIN_ID and _SAFE_ID.fullmatch(job_id)
        return f"{self.kind}-{job_id if plain else hashlib.sha256(job_id.encode()).hexdigest()}"
