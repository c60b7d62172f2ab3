"""Child processes that may outlive us: found again by number and start time, ended for certain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PROC = Path("/proc")
_STATE, _START_TIME = 0, 19
_PASSED_ON = {"HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR", "TZ"}
_PS_TIMEOUT_S = 2.0


def process_identity(pid: int) -> str | None:
    """Return what tells this process from a later one with the same number; None when it is gone or a zombie.

    Source: proc_pid_stat(5), fields 3 (state) and 22 (start time, clock ticks since boot).
    """
    if not _PROC.is_dir():
        return _identity_by_ps(pid)
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[_STATE] in "ZX" else f"{boot}/{fields[_START_TIME]}"


def _identity_by_ps(pid: int) -> str | None:
    answer = _ps("-o", "stat=,lstart=", "-p", str(pid)).split(maxsplit=1)
    return None if not answer or answer[0].startswith("Z") else answer[1].strip()


def find_servers(programs: tuple[str, ...], config: str) -> list[int]:
    """Return the processes started as one of `programs` with the argument `config`, an absolute path."""
    if not _PROC.is_dir():
        lines = (line.split() for line in _ps("-axww", "-o", "pid=,command=").splitlines())
        return [int(pid) for pid, *command in lines if _is_server(command, programs, config)]
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _is_server(_command(pid), programs, config)]


def _is_server(command: list[str], programs: tuple[str, ...], config: str) -> bool:
    return config in command and any(Path(argument).name in programs for argument in command)


def _command(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _ps(*arguments: str) -> str:
    command = ["ps", *arguments]
    return subprocess.run(  # noqa: S603 - a fixed program with numbers as arguments
        command, capture_output=True, text=True, check=False, timeout=_PS_TIMEOUT_S
    ).stdout


@dataclass(frozen=True, slots=True)
class Child:
    """A server process: one that we spawned (`popen` set), or one adopted from a parent that was killed."""

    pid: int
    identity: str
    popen: subprocess.Popen[bytes] | None = None

    def alive(self) -> bool:
        """Return whether it runs; a child of ours that has ended is reaped here."""
        if self.popen is not None:
            return self.popen.poll() is None
        return process_identity(self.pid) == self.identity

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to it, or to its whole group if it is SIGKILL; never to a later namesake."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if number == signal.SIGKILL else os.kill)(self.pid, number)

    async def ended(self, within_s: float | None = None, poll_s: float = 0.02) -> bool:
        """Wait for its end, at most `within_s` seconds; return whether it has ended."""
        give_up = None if within_s is None else time.monotonic() + within_s
        while self.alive():
            if give_up is not None and time.monotonic() > give_up:
                return False
            await asyncio.sleep(poll_s)
        return True


def spawn(command: list[str], log: IO[bytes], cwd: Path) -> Child:
    """Start `command` in a session of its own (a Ctrl-C in the terminal is ours), output to `log`.

    Only a few variables are handed on: the server's environment holds no key of ours.
    """
    environment = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    popen = subprocess.Popen(  # noqa: S603 - the program is found by us, the arguments are our own paths
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
    return Child(popen.pid, process_identity(popen.pid) or "", popen)


def describe_self() -> str:
    """Return this process' command line, shortened, for the one who finds our lock."""
    return " ".join([Path(sys.argv[0] or sys.executable).name, *sys.argv[1:]])[:200]
