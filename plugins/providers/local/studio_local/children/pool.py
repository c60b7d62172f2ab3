"""Warm worker processes, seen from the server: started at first use, killed at a deadline or a cancel."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from studio import (
    DeadlineExceededError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StorageFullError,
)
from studio_local.files import NO_ROOM

_ANSWER_LIMIT = 32 * 1024 * 1024
_ROOT = Path(__file__).resolve().parents[2]


def child_environment() -> dict[str, str]:
    """Return what a child may know: no keys and no settings of the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    paths = [str(_ROOT), *(entry for entry in sys.path if entry)]
    return kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1", "OPENBLAS_NUM_THREADS": "1"}


class _Worker:
    """One child process; `knows` are the tasks whose libraries it has loaded."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.knows: set[str] = set()
        self._errors = bytearray()
        self._drain = asyncio.create_task(self._read_errors(), name="local:child-errors")

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def ask(self, line: bytes) -> dict[str, Any]:
        """Send one task and return the answer; raises ProviderError with a dying child's last words."""
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise ProviderError("The worker has no pipes.")
        with suppress(ConnectionError):
            stdin.write(line)
            await stdin.drain()
        answer = await stdout.readline()
        if not answer:
            raise ProviderError(await self._last_words())
        return dict(json.loads(answer))

    async def close(self) -> None:
        """Kill the child and wait until it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._drain
        # The transport of a killed child stays open until its pipes are closed, and then warns.
        self.process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no public way

    async def _last_words(self) -> str:
        code = await self.process.wait()
        await self._drain
        lines = self._errors.decode(errors="replace").strip().splitlines()
        return f"A local worker process ended with code {code}: {lines[-1] if lines else 'it said nothing'}"

    async def _read_errors(self) -> None:
        while self.process.stderr and (chunk := await self.process.stderr.read(4096)):
            self._errors = (self._errors + chunk)[-8192:]


class ChildPool:
    """At most `size` children of the program `module`, each doing one task at a time; `fresh` ones do just one."""

    def __init__(self, module: str, size: int, *, memory_mb: int, fresh: bool = False) -> None:
        self._module = module
        self._memory_mb = memory_mb
        self._fresh = fresh
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._slots = asyncio.Semaphore(size)

    async def call(self, task: str, payload: dict[str, Any], *, deadline_s: float) -> dict[str, Any]:
        """Return what `task` answers.

        Raises ProviderRejectedError, ProviderUnavailableError (a package is missing), StorageFullError,
        DeadlineExceededError, or ProviderError when the child died. A cancelled call kills its child.
        """
        line = json.dumps({"task": task, "payload": payload}).encode() + b"\n"
        async with self._slots:
            worker = await self._take(task)
            try:
                answer = await asyncio.wait_for(worker.ask(line), deadline_s)
            except TimeoutError as error:
                message = f"The local {task} did not end within {deadline_s:g} s."
                raise DeadlineExceededError(message) from error
            else:
                worker.knows.add(task)
                if not self._fresh:
                    self._idle.append(worker)
            finally:
                self._busy.discard(worker)
                if worker not in self._idle:
                    await worker.close()
        return _unwrap(answer)

    async def close(self) -> None:
        """Kill all children; the pool may be used again afterwards."""
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(worker.close() for worker in workers))

    async def _take(self, task: str) -> _Worker:
        """Return an idle worker, best one that has done such a task and few others, else a new one."""
        while self._idle:
            able = [idle for idle in self._idle if task in idle.knows]
            worker = min(able, key=lambda idle: len(idle.knows), default=self._idle[-1])
            self._idle.remove(worker)
            if worker.alive:
                break
            await worker.close()
        else:
            worker = await self._start()
        self._busy.add(worker)
        return worker

    async def _start(self) -> _Worker:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", self._module, str(os.getpid()), str(self._memory_mb))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=child_environment(), limit=_ANSWER_LIMIT
        )
        return _Worker(process)


def _unwrap(answer: dict[str, Any]) -> dict[str, Any]:
    if "ok" in answer:
        return dict(answer["ok"])
    message = str(answer["message"])
    if answer["error"] == "rejected":
        raise ProviderRejectedError(message, input=answer.get("input"))
    if answer["error"] == "missing":
        raise ProviderUnavailableError(message)
    if answer.get("errno") in NO_ROOM:
        raise StorageFullError("There is no room left on the disk: free some space, then retry.")
    raise ProviderError(message)
