"""`python bench/log_flood.py`: 100,000 log lines at once, and what the event loop feels of it.

The lines come in bursts from the loop itself, as from a handler that logs in a loop: one burst, then the loop
goes on. Beside it a ticker measures how late each turn of the loop is. Prints JSON: time for the flood, µs a
line costs its caller, lag of the loop in ms (p50, p99, worst, and p99 of the second before: what the machine
itself adds), lines written, lines dropped and counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from studio.settings import LoggingSettings, Settings
from studio.telemetry import configure_logging, get_logger, register_secret

TICK_S = 0.005


async def tick(lags: list[float], stop: asyncio.Event) -> None:
    """Note in ms by how much each turn of the loop comes too late."""
    while not stop.is_set():
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append(max(0.0, time.perf_counter() - due) * 1000)


async def flood(lines: int, burst: int) -> dict[str, float]:
    log, lags, stop = get_logger("bench"), [], asyncio.Event()
    ticker = asyncio.create_task(tick(lags, stop))
    await asyncio.sleep(1.0)
    idle = statistics.quantiles(lags, n=100)[98]
    lags.clear()
    start, spent = time.perf_counter(), 0.0
    for number in range(0, lines, burst):
        began = time.perf_counter()
        for line in range(number, number + burst):
            log.info(
                "flood", number=line, agent="Mozilla/5.0 (X11; Linux x86_64)", path="/api/stories/x/tree"
            )
        spent += time.perf_counter() - began
        await asyncio.sleep(0)
    took = time.perf_counter() - start
    await asyncio.sleep(0.5)  # the writer is still at work: the loop must not feel that either
    stop.set()
    await ticker
    cuts = statistics.quantiles(lags, n=100)
    shown = {"p50": cuts[49], "p99": cuts[98], "worst": max(lags)}
    shown["p99_without_flood"] = idle
    return {"seconds": took, "us_per_line": spent / lines * 1e6} | {
        f"lag_ms_{k}": v for k, v in shown.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--burst", type=int, default=100, help="lines between two turns of the loop")
    chosen = parser.parse_args()
    for number in range(20):
        register_secret(f"not-a-secret-{number:02d}")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lines").open("w") as stream:
        settings = Settings(environment="test", logging=LoggingSettings(directory=Path(folder)))
        sink = configure_logging(settings, stream=stream)
        found = asyncio.run(flood(chosen.lines, chosen.burst))
        sink.stop(60)
        written = sum('"flood"' in line for line in (Path(folder) / "lines").read_text().splitlines())
    found |= {"lines": chosen.lines, "burst": chosen.burst, "written": written, "dropped": sink.dropped}
    print(json.dumps({key: round(value, 2) for key, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
