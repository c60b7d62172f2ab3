"""`make bench`: the platform with all plugins on against bare aiohttp and FastAPI, A B C A B C, medians.

Each round starts each server anew as one process on a free loopback port, alone on core 0, verifies that it
does the work, and loads it from core 1. Ratios are taken within a round (so that drift of the machine
cancels out); the table shows their median and their range. A server whose file is missing is skipped.
Results go to `bench/results/<date>.json`, one file a day (the last run of it), `<date>-quick.json` for
`--quick`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import work
from verify import Server, VerifyError, ask, verify_server

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
START_DEADLINE_S, STOP_DEADLINE_S = 60, 10
SATURATED = 0.9
BASELINE = "aiohttp"
SERVERS = (
    Server(BASELINE, "baseline_aiohttp.py", validates=False),
    Server("fastapi", "baseline_fastapi.py"),
    Server("studio", "platform_server.py"),
    Server("embedded", "platform_server.py", stored=True, arguments=("--stored",)),
)
PACKAGES = (
    "aiohttp",
    "fastapi",
    "httptools",
    "orjson",
    "pydantic",
    "PyJWT",
    "starlette",
    "uvicorn",
    "uvloop",
)

Result = dict[str, float]


class BenchError(Exception):
    """The run cannot go on; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    rounds: int
    warmup_s: float
    duration_s: float
    servers: tuple[Server, ...]
    cores: tuple[int, ...]

    def core(self, index: int) -> list[int]:
        """The core of the server (0) or of the load (1); none when the machine has a single one."""
        return [self.cores[index]] if len(self.cores) > 1 else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if ask(port, "GET", "/healthz", None)[0] == 200:  # noqa: PLR2004 - the status that means ready
                return
        time.sleep(0.05)
    state = f"ended with {process.returncode}" if process.poll() is not None else "is not ready"
    raise BenchError(f"server {state} (deadline {START_DEADLINE_S} s):\n{log.read_text()[-2000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM; after the deadline SIGKILL to its own process group, so that no child survives it."""
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        print(f"  pid {process.pid} ignored SIGTERM for {STOP_DEADLINE_S} s and is killed")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def running(server: Server, plan: Plan, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A ready server and its port; ended on leaving. Its output is shown only when it does not start."""
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, str(HERE / server.file), "--port", str(port), *server.arguments]
    environment = os.environ | {"BENCH_TOKENS": str(folder / "tokens.json")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=HERE.parent, start_new_session=True
        )
    try:
        if plan.core(0):
            os.sched_setaffinity(process.pid, plan.core(0))
        wait_ready(process, port, log)
        yield process, port
    finally:
        stop(process)


def read_tokens(folder: Path) -> tuple[list[str], str, str]:
    """Tokens of the connections and of the user without the permission, and what signs them.

    A server whose tokens are its own writes {"tokens": [...], "outsider": "...", "secret": "..."} to the file
    that BENCH_TOKENS names before it answers /healthz; the others accept those of `work.py`.
    """
    path = folder / "tokens.json"
    if not path.exists():
        return [work.make_token(user) for user in work.USERS], work.make_token(work.OUTSIDER), work.SECRET
    own = json.loads(path.read_text())
    if len(set(own["tokens"])) != work.CONNECTIONS:
        raise BenchError(f"{path.name} of the server must hold {work.CONNECTIONS} different tokens")
    return own["tokens"], own["outsider"], own["secret"]


def load(plan: Plan, job: dict[str, Any]) -> Result:
    job |= {"warmup_s": plan.warmup_s, "duration_s": plan.duration_s, "cores": plan.core(1)}
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=plan.warmup_s + plan.duration_s + 30,
        check=False,
    )
    if done.returncode:
        raise BenchError(done.stderr[-2000:])
    result: Result = json.loads(done.stdout)
    return result


def measure_server(server: Server, plan: Plan) -> dict[str, Result]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with running(server, plan, folder) as (process, port):
            tokens, outsider, secret = read_tokens(folder)
            lengths = verify_server(port, server, tokens, outsider)
            job = {"port": port, "server_pid": process.pid, "tokens": tokens, "secret": secret}
            return {
                key: load(plan, job | {"scenario": key, "body_length": length})
                for key, length in lengths.items()
            }


def run_rounds(plan: Plan) -> dict[str, dict[str, list[Result]]]:
    """Results by server and scenario, one per round."""
    found: dict[str, dict[str, list[Result]]] = {}
    for number in range(1, plan.rounds + 1):
        for server in plan.servers:
            print(f"round {number}/{plan.rounds}  {server.name}", flush=True)
            for key, result in measure_server(server, plan).items():
                found.setdefault(server.name, {}).setdefault(key, []).append(result)
    return found


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def show(self, digits: int) -> str:
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


@dataclass(frozen=True)
class Row:
    """One server in one scenario; `rps_ratio` and `cpu_ratio`: multiples of bare aiohttp, more is better."""

    server: str
    rps: Spread
    cpu_us: Spread
    p50_ms: Spread
    p99_ms: Spread
    requests: Spread
    rps_ratio: Spread | None
    cpu_ratio: Spread | None
    load_bound: bool


def make_row(server: str, mine: list[Result], base: list[Result] | None) -> Row:
    def spread(field: str) -> Spread:
        return Spread.of([one[field] for one in mine])

    pairs = list(zip(mine, base, strict=True)) if base else []
    return Row(
        server=server,
        rps=spread("rps"),
        cpu_us=spread("cpu_us"),
        p50_ms=spread("p50_ms"),
        p99_ms=spread("p99_ms"),
        requests=spread("requests"),
        rps_ratio=Spread.of([one["rps"] / other["rps"] for one, other in pairs]) if pairs else None,
        cpu_ratio=Spread.of([other["cpu_us"] / one["cpu_us"] for one, other in pairs]) if pairs else None,
        load_bound=spread("load_busy").median > SATURATED,
    )


def make_rows(scenario: work.Scenario, found: dict[str, dict[str, list[Result]]]) -> list[Row]:
    base = found.get(BASELINE, {}).get(scenario.key) if scenario.compared else None
    return [
        make_row(name, cells[scenario.key], base) for name, cells in found.items() if scenario.key in cells
    ]


def verdict(scenario: work.Scenario, rows: list[Row]) -> str:
    """Target reached and FastAPI left behind, by requests per second; empty without both sides."""
    ratios = {row.server: row.rps_ratio for row in rows}
    mine, other = ratios.get("studio"), ratios.get("fastapi")
    if mine is None or scenario.target is None:
        return ""
    reached = "reached" if mine.median >= scenario.target else "MISSED"
    behind = "" if other is None else f", FastAPI {'left behind' if mine.median > other.median else 'AHEAD'}"
    return f"  studio {mine.median:.2f} x, target {scenario.target} x: {reached}{behind}"


def tokens_line(scenario: work.Scenario, rows: list[Row]) -> str:
    """How many requests showed a token that the platform had verified before."""
    mine = next((row for row in rows if row.server in ("studio", "embedded")), None)
    if mine is None or not scenario.authenticated:
        return ""
    seen = 0.0 if scenario.renews else 100 * (1 - work.CONNECTIONS / mine.requests.median)
    return f"  {seen:.2f} % of the requests showed a token that had been verified before"


def print_rows(scenario: work.Scenario, rows: list[Row]) -> None:
    print(f"\n{scenario.title}")
    print(
        f"  {'':8} {'requests/s':>24} {'CPU us/request':>20} {'x rps':>18} {'x CPU':>18} {'p50 / p99 ms':>14}"
    )
    for row in rows:
        ratios = [ratio.show(2) if ratio else "-" for ratio in (row.rps_ratio, row.cpu_ratio)]
        tail = f"{row.p50_ms.median:.1f} / {row.p99_ms.median:.1f}"
        note = "  load-bound: requests/s is a lower limit" if row.load_bound else ""
        print(
            f"  {row.server:8} {row.rps.show(0):>24} {row.cpu_us.show(0):>20} {ratios[0]:>18} {ratios[1]:>18}"
            f" {tail:>14}{note}"
        )
    for line in filter(None, (verdict(scenario, rows), tokens_line(scenario, rows))):
        print(line)


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def describe_machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg(),
        "packages": {package: version(package) for package in PACKAGES},
    }


def make_plan(options: argparse.Namespace) -> Plan:
    names = options.servers.split(",") if options.servers else [server.name for server in SERVERS]
    if unknown := set(names) - {server.name for server in SERVERS}:
        raise BenchError(
            f"unknown servers {sorted(unknown)}; there are {[server.name for server in SERVERS]}"
        )
    chosen = [server for server in SERVERS if server.name in names]
    for server in chosen:
        if not (HERE / server.file).exists():
            print(f"{server.name} is skipped: {HERE.name}/{server.file} is missing")
    rounds, warmup_s, duration_s = (
        (2, 0.15, 0.6) if options.quick else (options.rounds, 0.5, options.duration)
    )
    if "fastapi" in names and version("httptools") == "not installed":
        print("fastapi runs on uvicorn's slow parser: install uvicorn[standard] for a fair comparison")
    present = tuple(server for server in chosen if (HERE / server.file).exists())
    cores = tuple(sorted(os.sched_getaffinity(0)))
    return Plan(rounds, warmup_s, duration_s, present, cores)


def write_results(plan: Plan, rows: dict[str, list[Row]], raw: dict[str, Any], *, quick: bool) -> Path:
    now = dt.datetime.now(dt.UTC)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{now:%Y-%m-%d}{'-quick' if quick else ''}.json"
    ratios = {key: [asdict(row) for row in cells] for key, cells in rows.items()}
    content = {"at": now.isoformat(timespec="seconds"), "machine": raw.pop("machine"), "plan": asdict(plan)}
    content["plan"] |= {"connections": work.CONNECTIONS}
    path.write_text(json.dumps(content | {"rows": ratios, "rounds": raw["rounds"]}, indent=1) + "\n")
    return path


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds of 0.6 s, below one minute: a smoke test"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default 5)")
    parser.add_argument(
        "--duration", type=float, default=3.0, help="seconds measured per scenario (default 3)"
    )
    parser.add_argument("--servers", default="", help="comma-separated names (default: all)")
    return parser.parse_args()


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    options = parse()
    machine = describe_machine()
    try:
        plan = make_plan(options)
        found = run_rounds(plan)
    except (BenchError, VerifyError, subprocess.TimeoutExpired) as error:
        sys.exit(f"bench: {error}")
    rows = {scenario.key: make_rows(scenario, found) for scenario in work.SCENARIOS}
    for scenario in work.SCENARIOS:
        if rows[scenario.key]:
            print_rows(scenario, rows[scenario.key])
    path = write_results(plan, rows, {"machine": machine, "rounds": found}, quick=options.quick)
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
