"""Load generator: a closed loop of keep-alive connections without pipelining, in a process of its own.

Reads one job as JSON on stdin, writes one result as JSON on stdout. Every response is checked for its
status and its exact body length; the first deviation ends the run with an error. The server's CPU is read
from /proc at both ends of the measured window, so that start, probe and warm-up are not in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
TICKS = os.sysconf("SC_CLK_TCK")


class LoadError(Exception):
    """A response that is not what the work definition says."""


def cpu_seconds(pid: int) -> float:
    """User + system CPU of one process, without its children (Source: proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass(frozen=True)
class Job:
    port: int
    server_pid: int
    scenario: str
    tokens: list[str]
    body_length: int
    warmup_s: float
    duration_s: float
    cores: list[int]
    secret: str = work.SECRET


class Window:
    """What happens between the end of the warm-up and the end of the run. Latencies in ns."""

    def __init__(self, job: Job, done: asyncio.Future[None]) -> None:
        self.job, self.done, self.latencies = job, done, list[int]()
        self.open_at = self.wall_s = self.server_s = self.own_s = 0.0

    def open(self) -> None:
        self.latencies.clear()
        self.server_s, self.own_s = cpu_seconds(self.job.server_pid), time.process_time()
        self.open_at = time.perf_counter()

    def close(self) -> None:
        self.wall_s = time.perf_counter() - self.open_at
        self.server_s = cpu_seconds(self.job.server_pid) - self.server_s
        self.own_s = time.process_time() - self.own_s
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(LoadError(f"{self.job.scenario}: {reason}"))

    def result(self) -> dict[str, float | int]:
        ordered = sorted(self.latencies)
        count = len(ordered)
        if not count:
            raise LoadError(f"{self.job.scenario}: no response within {self.wall_s:.1f} s")
        return {
            "requests": count,
            "rps": count / self.wall_s,
            "cpu_us": self.server_s / count * 1e6,
            "server_busy": self.server_s / self.wall_s,
            "load_busy": self.own_s / self.wall_s,
            "p50_ms": ordered[count // 2] / 1e6,
            "p99_ms": ordered[min(count - 1, count * 99 // 100)] / 1e6,
        }


class Connection(asyncio.Protocol):
    """One signed-in user: sends the next request when the last response is complete."""

    def __init__(self, window: Window, requests: Iterator[bytes], status: int) -> None:
        self.window, self.requests = window, requests
        self.status, self.length = f"HTTP/1.1 {status} ".encode(), window.job.body_length
        self.head, self.missing, self.sent = b"", 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.window.fail(f"connection lost: {exc}")

    def send(self) -> None:
        self.sent = time.perf_counter_ns()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            self.missing = end + 4 + self.length - len(self.head)
            if not self.accept(self.head[:end]):
                return
            self.head = b""
        if self.missing == 0:
            self.window.latencies.append(time.perf_counter_ns() - self.sent)
            self.send()
        elif self.missing < 0:
            self.window.fail(f"{-self.missing} bytes more than announced")

    def accept(self, head: bytes) -> bool:
        match = LENGTH.search(head)
        if head.startswith(self.status) and match and int(match[1]) == self.length:
            return True
        self.window.fail(f"expected {self.status!r} and {self.length} bytes of body, got {head[:300]!r}")
        self.transport.abort()
        return False


async def measure(job: Job) -> dict[str, float | int]:
    """One scenario under load. Raises `LoadError` on a wrong response, `TimeoutError` on a stuck server."""
    scenario = next(one for one in work.SCENARIOS if one.key == job.scenario)
    loop = asyncio.get_running_loop()
    window = Window(job, loop.create_future())
    connections = [
        Connection(window, scenario.requests(job.port, token, job.secret), scenario.status)
        for token in job.tokens
    ]
    async with asyncio.timeout(job.warmup_s + job.duration_s + 10):
        for one in connections:
            await loop.create_connection(lambda one=one: one, "127.0.0.1", job.port)  # type: ignore[misc]
        loop.call_later(job.warmup_s, window.open)
        loop.call_later(job.warmup_s + job.duration_s, window.close)
        await window.done
    for one in connections:
        one.transport.abort()
    return window.result()


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop leaves more of the core to the load; it is optional."""
    try:
        import uvloop  # noqa: PLC0415 - an optional library
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def main() -> None:
    job = Job(**json.loads(sys.stdin.read()))
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    try:
        with asyncio.Runner(loop_factory=fastest_loop()) as runner:
            print(json.dumps(runner.run(measure(job))))
    except (LoadError, OSError) as error:
        sys.exit(f"load: {error!r}")


if __name__ == "__main__":
    main()
