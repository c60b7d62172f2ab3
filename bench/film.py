"""How long a film takes: `python bench/film.py [--runs 3]`. Run it on a machine that does nothing else.

A film of 24 shots (tests/journeys/the-long-night.fountain, 720p, 24 fps) from finished panels and voices, the
same after one changed line, and `studio demo` in an empty folder and again in the same one. Beside the seconds on
the wall stand those of the processor, of the server with all its children: they hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, ClientTimeout

from studio.cli.server import Api, own_server

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[1]
STORY = ROOT / "tests" / "journeys" / "the-long-night.fountain"
EXAMPLE = ROOT / "examples" / "the-lighthouse-keeper.fountain"
RENDERS = Path(".studio/renders")
ENDED = ("succeeded", "failed", "cancelled")
TARGETS = {
    "24 shots": 20.0,
    "after one changed line": 1.5,
    "its new voice and film": None,
    "demo, first": 120.0,
    "demo, again": 20.0,
}
Figures = dict[str, list[tuple[float, float]]]
"""Seconds on the wall and of the processor, one pair per run."""


async def main(runs: int) -> None:
    """Measure and print."""
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {runs} runs")
    figures: Figures = {name: [] for name in TARGETS}
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        os.chdir(folder)
        os.environ["STUDIO_LIMITS__ALL"] = "1000000/1"  # it asks after its jobs twenty times a second
        async with own_server() as base, ClientSession(timeout=ClientTimeout(120)) as session:
            await films(Api(session, base), runs, figures)
        os.chdir(ROOT)
    for _ in range(runs):
        demo(figures)
    for name, pairs in figures.items():
        print(line_of(name, pairs))


async def films(api: Api, runs: int, figures: Figures) -> None:
    """Make panels and voices once, then the film `runs` times from nothing and after a changed line."""
    await api.sign_in("bench@studio.example")
    project = await api.call("POST", "/api/workbench/projects", {"name": "Bench"})
    upload = {"projectId": project["id"], "filename": STORY.name}
    story = await api.call("POST", "/api/stories/upload", data=STORY.read_bytes(), **upload)
    started = await api.call("POST", f"/api/stories/{story['id']}/breakdown")
    await finish(api, [started["jobId"]])
    await batch(api, story, ["panels", "voices", "music"])
    tree = await api.call("GET", f"/api/stories/{story['id']}/tree")
    spoken = next(shot for shot in tree["shots"] if shot["lines"])
    timeline = await api.call("POST", "/api/workbench/timelines", {"storyId": story["id"]})
    print(f"{len(tree['shots'])} shots, {timeline['durationMs'] / 1000:.1f} s of film")
    for run in range(runs):
        shutil.rmtree(RENDERS, ignore_errors=True)
        figures["24 shots"].append(await render(api, timeline))
        lines = [{**line, "text": f"Listen, number {run}."} for line in spoken["lines"]]
        await api.call("PATCH", f"/api/stories/shots/{spoken['id']}", {"lines": lines})
        began, spent = time.perf_counter(), cpu_seconds()
        await batch(api, story, ["voices"])
        figures["after one changed line"].append(await render(api, timeline))
        figures["its new voice and film"].append((time.perf_counter() - began, cpu_seconds() - spent))


async def batch(api: Api, story: dict[str, Any], kinds: list[str]) -> None:
    """Make what is missing or stale."""
    made = await api.call("POST", "/api/assetGen/batch", {"storyId": story["id"], "kinds": kinds})
    await finish(api, [job["id"] for job in made["jobs"]])


async def render(api: Api, timeline: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds from the order to the finished film, on the wall and of the processor."""
    began, spent = time.perf_counter(), cpu_seconds()
    started = await api.call("POST", f"/api/workbench/timelines/{timeline['id']}/render")
    await finish(api, [started["jobId"]])
    return time.perf_counter() - began, cpu_seconds() - spent


def cpu_seconds() -> float:
    """Return the user and system seconds of all descendants so far, ended ones included; 0 without /proc."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            spent[int(path.parent.name)] = sum(map(int, fields[11:15]))
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(spent[pid] for pid in mine - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


async def finish(api: Api, job_ids: Iterable[str]) -> None:
    """Wait until the jobs have succeeded."""
    for job_id in job_ids:
        while (job := await api.call("GET", f"/api/assetGen/jobs/{job_id}"))["state"] not in ENDED:
            await asyncio.sleep(0.05)
        if job["state"] != "succeeded":
            sys.exit(f"{job['kind']} {job['state']}: {job['error']}")


def demo(figures: Figures) -> None:
    """Run `studio demo` in an empty folder, and again."""
    with tempfile.TemporaryDirectory(prefix="studio-bench-") as folder:
        for name in ("demo, first", "demo, again"):
            began, spent = time.perf_counter(), ended_cpu_seconds()
            command = [sys.executable, "-m", "studio", "demo", "--story", str(EXAMPLE)]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=600)
            figures[name].append((time.perf_counter() - began, ended_cpu_seconds() - spent))


def ended_cpu_seconds() -> float:
    """Return the user and system seconds of ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def line_of(name: str, pairs: list[tuple[float, float]]) -> str:
    """Return one figure: the middle one, the spread, and what it should be."""
    seconds = [wall for wall, _ in pairs]
    middle, cpu = sorted(seconds)[len(seconds) // 2], sorted(spent for _, spent in pairs)[len(pairs) // 2]
    target = TARGETS[name]
    verdict = "" if target is None else f"   target {target:g} s: {'kept' if middle <= target else 'MISSED'}"
    return f"{name:24} {middle:7.2f} s   ({min(seconds):.2f} to {max(seconds):.2f}), cpu {cpu:.2f} s{verdict}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asyncio.run(main(parser.parse_args().runs))
