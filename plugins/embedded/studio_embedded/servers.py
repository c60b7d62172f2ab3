"""What both embedded servers have in common: start, adopt, watch, restart, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import structlog

from studio_embedded.errors import EmbeddedServerError, PortTakenError
from studio_embedded.folder import DataFolder
from studio_embedded.ports import choose_port, is_free, is_listening
from studio_embedded.process import Child, find_servers, process_identity, spawn

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger("studio_embedded")
RESTART_DELAYS_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first, second, … restart; the last one is repeated."""
_STABLE_AFTER_S = 30.0
_READY_POLL_S = 0.02
_WATCH_POLL_S = 0.1
_KILL_DEADLINE_S = 5.0
_PORT_TRIES = 3


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What the state file says of one server, checked against the process table."""

    name: str
    running: bool
    owned: bool
    pid: int | None
    port: int | None
    parent_pid: int | None
    restarts: int


class EmbeddedServer:
    """One server process, its data under `data_dir`; `async with server as url` starts and stops it.

    `start_deadline_s` covers everything up to the first answer, `stop_deadline_s` the time from SIGTERM to
    SIGKILL. A start raises FolderInUseError, EmbeddedServerError, or ConfigError for a missing program.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    subfolder: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]

    def __init__(
        self, data_dir: Path, *, start_deadline_s: float = 30.0, stop_deadline_s: float = 10.0
    ) -> None:
        self.folder = DataFolder(data_dir)
        self.start_deadline_s = start_deadline_s
        self.stop_deadline_s = stop_deadline_s
        self.restarts = 0
        self.adopted = False
        self.started_ms = 0
        self._port: int | None = None
        self._child: Child | None = None
        self._since = 0.0
        self._problem = ""
        self._credentials: dict[str, Any] = {}
        self._cleanup: contextlib.AsyncExitStack | None = None

    # ------------------------------------------------------------ what a server fills in

    @property
    def url(self) -> str:
        """The address with credentials, the same for the life of this object; known once started."""
        raise NotImplementedError

    def locate(self) -> list[str]:
        """Return the program and its fixed arguments; raises ConfigError when it is not installed."""
        raise NotImplementedError

    def configure(self, port: int) -> list[str]:
        """Write the configuration for `port` and return the arguments that name it."""
        raise NotImplementedError

    def config_path(self) -> Path:
        """Return the configuration file, by which a forgotten process is found again."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Log in and ask for a sign of life; raises WrongCredentialsError or EmbeddedServerError."""
        raise NotImplementedError

    # ------------------------------------------------------------ life

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start the server, or adopt the one that a killed parent left behind; return its URL."""
        begun = time.monotonic()
        self.locate()
        self.folder.prepare(self.subfolder)
        async with contextlib.AsyncExitStack() as undo:
            undo.callback(os.close, self.folder.lock(self.name))
            undo.push_async_callback(self._end)
            self._credentials = self.folder.credentials(self.name)
            await self._within_deadline()
            watcher = asyncio.create_task(self._supervise(), name=f"embedded:{self.name}")
            undo.push_async_callback(_cancel, watcher)
            self._cleanup = undo.pop_all()
        self.started_ms = round((time.monotonic() - begun) * 1000)
        log.info(
            "embedded_server_started",
            server=self.name,
            port=self._port,
            adopted=self.adopted,
            ms=self.started_ms,
        )
        return self.url

    async def stop(self) -> None:
        """End the server by SIGTERM, after the deadline by SIGKILL, and free the folder; idempotent."""
        cleanup, self._cleanup = self._cleanup, None
        if cleanup:
            await cleanup.aclose()

    async def _within_deadline(self) -> None:
        try:
            async with asyncio.timeout(self.start_deadline_s):
                if not await self._adopt():
                    await self._launch()
        except TimeoutError as error:
            raise self._failure(f"did not answer within {self.start_deadline_s:g} s") from error

    async def _launch(self) -> None:
        """Start on the remembered port or, unless its URL is out already, on another one."""
        for _ in range(_PORT_TRIES):
            try:
                return await self._run(choose_port(self.folder.read_state(self.name).get("port")))
            except PortTakenError:
                await self._end()
        raise self._failure("found its port taken three times in a row")

    async def _run(self, port: int) -> None:
        """Start the process on `port` and wait for its answer; raises EmbeddedServerError when it ends."""
        self._port, self._since = port, 0.0
        self._child = child = self._spawn([*self.locate(), *self.configure(port)])
        self._remember()
        while not await is_listening(port):
            if not child.alive():
                raise self._died_at_start(port)
            await asyncio.sleep(_READY_POLL_S)
        await self._wait_for_ping(child, port)
        self._since, self._problem = time.monotonic(), ""

    async def _wait_for_ping(self, child: Child, port: int) -> None:
        while child.alive():
            try:
                return await self.ping()
            except EmbeddedServerError as error:
                if type(error) is not EmbeddedServerError:
                    raise
                self._problem = str(error)
            await asyncio.sleep(_READY_POLL_S)
        raise self._died_at_start(port)

    def _died_at_start(self, port: int) -> EmbeddedServerError:
        return self._failure("ended at once") if is_free(port) else PortTakenError(f"port {port} is taken")

    def _spawn(self, command: list[str]) -> Child:
        with os.fdopen(self.folder.open_log(self.name), "ab") as output:
            return spawn(command, output, self.folder.path / self.subfolder)

    def _failure(self, what: str) -> EmbeddedServerError:
        tail = self.folder.log_tail(self.name)
        why = f" ({self._problem})" if self._problem else ""
        return EmbeddedServerError(
            f"{self.title} {what}{why}. Its log is {self.folder.logs / self.name}.log, and ends with:\n{tail}"
        )

    def _remember(self) -> None:
        child = self._child
        self.folder.write_state(
            self.name,
            {
                "pid": child.pid if child else None,
                "started": child.identity if child else None,
                "port": self._port,
                "parent_pid": os.getpid() if child else None,
                "credentials": f"{self.name}.secret.json",
                "restarts": self.restarts,
            },
        )

    # ------------------------------------------------------------ orphans

    async def _adopt(self) -> bool:
        """Take over a running server of this folder if it answers to our password, else end it."""
        orphans = self._running()
        port = self.folder.read_state(self.name).get("port")
        for child in orphans:
            if self._child is None and isinstance(port, int) and await self._is_healthy(child, port):
                self._child, self.adopted, self._since = child, True, time.monotonic()
            else:
                log.warning("embedded_orphan_stopped", server=self.name, pid=child.pid)
                await self._terminate(child)
        if self._child:
            self._remember()
        return self._child is not None

    def _running(self) -> list[Child]:
        """Return this folder's living server: the one in the state file, else those with our config."""
        entry = self.folder.read_state(self.name)
        pid, identity = entry.get("pid"), entry.get("started")
        if isinstance(pid, int) and identity and process_identity(pid) == identity:
            return [Child(pid, identity)]
        pids = find_servers(self.programs, str(self.config_path()))
        return [Child(pid, identity) for pid in pids if (identity := process_identity(pid))]

    async def _is_healthy(self, child: Child, port: int) -> bool:
        self._port = port
        try:
            await self.ping()
        except EmbeddedServerError:
            return False
        return child.alive()

    # ------------------------------------------------------------ watching and ending

    async def _supervise(self) -> None:
        failures = 0
        while self._child is not None:
            await self._child.ended(poll_s=_WATCH_POLL_S)
            failures = 0 if time.monotonic() - self._since > _STABLE_AFTER_S else failures
            log.error("embedded_server_died", server=self.name, pid=self._child.pid, restarts=self.restarts)
            failures = await self._restart(failures)

    async def _restart(self, failures: int) -> int:
        """Start again on the same port until it works; return the failures in a row, for the next pause."""
        while True:
            await asyncio.sleep(RESTART_DELAYS_S[min(failures, len(RESTART_DELAYS_S) - 1)])
            failures += 1
            self.restarts += 1
            try:
                async with asyncio.timeout(self.start_deadline_s):
                    await self._run(self._port or choose_port(None))
            except (EmbeddedServerError, OSError) as error:  # TimeoutError is an OSError
                self._problem = str(error) or f"no answer within {self.start_deadline_s:g} s"
                log.warning(
                    "embedded_restart_failed", server=self.name, attempt=failures, error=self._problem
                )
                if self._child:
                    await self._terminate(self._child)
            else:
                return failures

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child:
            await self._terminate(child)
            self._remember()

    async def _terminate(self, child: Child) -> None:
        await terminate(child, self._port, self.stop_deadline_s)

    # ------------------------------------------------------------ what others may know

    def health(self) -> str:
        """Return a note with process id, age and restarts; raises EmbeddedServerError when it is down."""
        child = self._child
        if child is None or not self._since or not child.alive():
            note = f"{self.title} is down, {self.restarts} restarts so far. {self._problem}"
            raise EmbeddedServerError(note.strip())
        age = round(time.monotonic() - self._since)
        return f"pid {child.pid}, port {self._port}, up {age} s, restarts {self.restarts}"

    def status(self) -> ServerStatus:
        """Return what the state file says, whoever owns the server."""
        entry = self.folder.read_state(self.name)
        orphans = self._running()
        return ServerStatus(
            name=self.name,
            running=bool(orphans),
            owned=self.folder.locked(self.name),
            pid=orphans[0].pid if orphans else None,
            port=entry.get("port"),
            parent_pid=entry.get("parent_pid"),
            restarts=entry.get("restarts", 0),
        )

    async def stop_orphan(self) -> bool:
        """End a server that nobody owns; False when none runs, FolderInUseError when it has an owner."""
        if not self.folder.path.is_dir():
            return False
        lock = self.folder.lock(self.name)
        try:
            orphans = self._running()
            self._port = self.folder.read_state(self.name).get("port")
            for child in orphans:
                await self._terminate(child)
            if orphans:
                self._remember()
            return bool(orphans)
        finally:
            os.close(lock)

    def attach(self) -> str:
        """Return the URL of the server that runs here already; raises EmbeddedServerError if none does."""
        status = self.status()
        if not status.running or status.port is None:
            raise EmbeddedServerError(
                f"{self.title} does not run in {self.folder.path}: `studio serve` first."
            )
        self._port, self._credentials = status.port, self.folder.credentials(self.name)
        return self.url


async def terminate(child: Child, port: int | None, deadline_s: float) -> None:
    """End a server: SIGTERM, after `deadline_s` SIGKILL; returns when the process is gone and reaped."""
    child.signal(signal.SIGTERM)
    if not await child.ended(within_s=0.05) and port:
        # SecantusDB's stop waits 2 s for a thread in accept(): one connection wakes it, 0.1 s instead.
        await is_listening(port)
    if not await child.ended(within_s=deadline_s):
        child.signal(signal.SIGKILL)
        await child.ended(within_s=_KILL_DEADLINE_S)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
