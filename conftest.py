"""What all tests share: the fakes of vendors; at the end what each kind costs and, on GitHub, where it failed."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import sys
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

KINDS = ("peer", "child", "database", "http", "memory", "pure")
"""From dear to cheap: a test with two marks counts as the dearer one."""


@dataclass
class Cost:
    """The test functions of one kind, their cases, and the seconds of all their phases."""

    functions: set[str] = field(default_factory=set)
    cases: int = 0
    seconds: float = 0.0


HEARD = structlog.make_filtering_bound_logger(logging.INFO)
COSTS: pytest.StashKey[dict[str, Cost]] = pytest.StashKey()


def kind_of(item):
    marks = {mark.name for mark in item.iter_markers()}
    return next((kind for kind in KINDS if kind in marks), "no mark")


class Costs:
    """Adds up the reports. A plugin, because a conftest's own hooks see only the tests below its folder."""

    def __init__(self):
        self.of = defaultdict(Cost)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        item.user_properties.append(("kind", kind_of(item)))  # travels from an xdist worker with the report
        structlog.configure(wrapper_class=HEARD)  # a Studio of an earlier test has set its own level

    def pytest_runtest_logreport(self, report):
        cost = self.of[dict(report.user_properties).get("kind", "no mark")]
        cost.seconds += report.duration
        if report.when == "call":
            cost.cases += 1
            cost.functions.add(report.nodeid.partition("[")[0])


def loaded(name, path):
    """Return a module that no package holds, loaded once per run."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def load_fake():
    """Return a function that loads `tests/peers/fakes/<vendor>.py` for the tests of every plugin."""
    return lambda vendor: loaded(f"studio_fakes_{vendor}", f"tests/peers/fakes/{vendor}.py")


@pytest.fixture(scope="session")
def worlds():
    """The module that runs asset_gen with fakes in a Studio; its fake providers are found under its name."""
    return loaded("asset_gen_world", "plugins/asset_gen/tests/world.py")


@pytest.fixture
def deaf_beats(monkeypatch):
    """Return a function that makes the heartbeats of a repository lose a cancellation; it returns an event per beat."""

    def make(repository, is_beat):
        beats, update = asyncio.Queue(), repository.update

        async def deaf(where, change, **options):
            if is_beat(where, change):
                beats.put_nowait(1)
                with suppress(
                    asyncio.CancelledError
                ):  # as `wait_for` of Python 3.11 when its future is done already
                    await asyncio.sleep(60)
            return await update(where, change, **options)

        monkeypatch.setattr(repository, "update", deaf)
        return beats

    return make


def pytest_configure(config):
    config.pluginmanager.register(Costs(), "costs")


def table(costs):
    """Return the lines of the table, with a sum where there are two kinds or more."""
    rows = [(kind, costs[kind]) for kind in (*reversed(KINDS), "no mark") if kind in costs]
    if len(rows) > 1:
        every = [cost for _, cost in rows]
        functions = set().union(*(cost.functions for cost in every))
        rows.append(("all", Cost(functions, sum(c.cases for c in every), sum(c.seconds for c in every))))
    head = f"{'kind':<10}{'functions':>10}{'cases':>8}{'seconds':>9}{'ms/case':>9}"
    return [head] + [
        f"{kind:<10}{len(c.functions):>10}{c.cases:>8}{c.seconds:>9.1f}{1000 * c.seconds / max(c.cases, 1):>9.1f}"
        for kind, c in rows
    ]


def note(report):
    """Return GitHub's workflow command that shows a failure at its line. Source: GitHub Docs, workflow commands."""
    path, line, _ = report.location
    text = str(report.longrepr)[-1500:]
    for sign, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(sign, code)
    title = report.nodeid.rpartition("::")[2].partition("[")[0]
    return f"::error file={path},line={(line or 0) + 1},title={title}::{text}"


def pytest_terminal_summary(terminalreporter, config):
    costs = config.pluginmanager.get_plugin("costs").of
    if costs:
        terminalreporter.section("what each kind costs", sep="-")
        for line in table(costs):
            terminalreporter.write_line(line)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for kind in ("failed", "error"):
            for report in terminalreporter.stats.get(kind, ()):
                terminalreporter.write_line(note(report))
