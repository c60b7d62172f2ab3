"""Cold start: CPU and memory of `studio serve` until its first 200, against importing its libraries.

A: `python -m studio serve --port N`, read when GET /healthz first answers 200. B: a bare interpreter that
imports the third-party modules A had loaded by then. What A costs above B is ours. User + system CPU and
resident memory are of that one process, without children: the embedded database and cache are up before and
stay. A first, unmeasured start lists the modules (`--libs` names them instead), warms the byte code and makes
the indexes; byte code is written whatever the shell says (PYTHONDONTWRITEBYTECODE), else either side would compile
what was edited or newly installed at every start. Rounds A B A B, medians.
`python bench/cold_start.py [--rounds 7] [-- studio serve --port {port}]`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from load import cpu_seconds
from run import HERE, BenchError, free_port, stop, wait_ready

from studio_embedded.api import embedded_cache, embedded_database

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVE = ["studio", "serve", "--port", "{port}"]
IMPORT_DEADLINE_S = 60
CPU_TARGET, RSS_TARGET_MIB = 1.3, 20
"""At most this multiple of the CPU, and this much more memory, than importing the libraries."""
CHILD = Path(__file__).with_name("cold_child.py")


@dataclass(frozen=True)
class Cost:
    """CPU in ms, resident memory in MiB."""

    cpu_ms: float
    rss_mib: float

    @classmethod
    def of(cls, pid: int) -> Cost:
        status = Path(f"/proc/{pid}/status").read_text()
        return cls(cpu_seconds(pid) * 1000, int(status.partition("VmRSS:")[2].split()[0]) / 1024)


def warm() -> dict[str, str]:
    """Return the environment of both sides, in which byte code is kept."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextlib.contextmanager
def serving(arguments: list[str], folder: Path) -> Iterator[int]:
    """The pid of a ready server; `{port}` in the arguments becomes a free one."""
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, *(part.replace("{port}", str(port)) for part in arguments)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, start_new_session=True, cwd=folder, env=warm()
        )
    try:
        wait_ready(process, port, log)
        yield process.pid
    finally:
        stop(process)


def find_modules(command: list[str], folder: Path) -> list[str]:
    """Third-party modules of the ready server, parents before children."""
    out = folder / "modules.txt"
    with serving([str(CHILD), "serve", str(out), *command], folder):
        out.with_suffix(".go").touch()
        deadline = time.monotonic() + 10
        while not out.exists():
            if time.monotonic() > deadline:
                raise BenchError(
                    "the server wrote no module list within 10 s: name the libraries with --libs"
                )
            time.sleep(0.02)
        return out.read_text().split()


def measure_serve(command: list[str], folder: Path) -> Cost:
    with serving(["-m", *command], folder) as pid:
        return Cost.of(pid)


def measure_imports(path: Path) -> tuple[Cost, int]:
    """Cost of side B, and how many modules could not be imported by name."""
    command = [sys.executable, str(CHILD), "import", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=warm())
    guard = threading.Timer(IMPORT_DEADLINE_S, process.kill)
    guard.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise BenchError(f"the importing process ended or took longer than {IMPORT_DEADLINE_S} s")
        return Cost.of(process.pid), int(line)
    finally:
        guard.cancel()
        process.communicate()


def show(name: str, costs: list[Cost]) -> Cost:
    """Print one side with its range; its medians are the result."""
    cpu, rss = [one.cpu_ms for one in costs], [one.rss_mib for one in costs]
    middle = Cost(statistics.median(cpu), statistics.median(rss))
    print(
        f"{name:8} CPU {middle.cpu_ms:7.0f} ms ({min(cpu):.0f}-{max(cpu):.0f})"
        f"   RSS {middle.rss_mib:6.1f} MiB ({min(rss):.1f}-{max(rss):.1f})"
    )
    return middle


def compare(command: list[str], libs: list[str], rounds: int, folder: Path) -> None:
    modules = libs or find_modules(command, folder)
    path = folder / "libs.txt"
    path.write_text("\n".join(modules))
    serve, imports, failed = list[Cost](), list[Cost](), 0
    for _ in range(rounds):
        serve.append(measure_serve(command, folder))
        cost, failed = measure_imports(path)
        imports.append(cost)
    print(f"{len(modules)} third-party modules, {failed} of them not importable by name; {rounds} rounds")
    mine, base = show("serve", serve), show("imports", imports)
    ratio, more = mine.cpu_ms / base.cpu_ms, mine.rss_mib - base.rss_mib
    reached = "reached" if ratio <= CPU_TARGET and more <= RSS_TARGET_MIB else "MISSED"
    print(f"ratio    CPU {ratio:.2f} x, RSS {more:+.1f} MiB")
    print(f"target   CPU {CPU_TARGET} x, RSS +{RSS_TARGET_MIB} MiB: {reached}")


async def with_servers(command: list[str], libs: list[str], rounds: int) -> None:
    """Compare while the embedded servers run, in a folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        async with embedded_database(folder / "data") as database, embedded_cache(folder / "data") as cache:
            os.environ |= {
                "STUDIO_DATABASE__URL": database,
                "STUDIO_CACHE__URL": cache,
                "STUDIO_CONFIG_DIR": str(HERE.parent / "config"),
            }
            await asyncio.to_thread(compare, command, libs, rounds, folder)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds A B (default 7)")
    parser.add_argument("--libs", default="", help="comma-separated modules for B (default: as found in A)")
    parser.add_argument(
        "command", nargs="*", default=SERVE, help="module and arguments (default: studio serve)"
    )
    return parser.parse_args()


def main() -> None:
    options = parse()
    try:
        libs = [lib for lib in options.libs.split(",") if lib]
        asyncio.run(with_servers(options.command, libs, options.rounds))
    except BenchError as error:
        sys.exit(f"cold_start: {error}")


if __name__ == "__main__":
    main()
