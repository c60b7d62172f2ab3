"""Errors on their way to the plugins that listen: redacted, bounded, and in no circle."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from studio.dispatch import Dispatcher
from studio.error_feed import BURST, WAITING, ErrorFeed, telling
from studio.hooks import StudioHooks, hookimpl
from studio.plugins.context import PluginContext, Services
from studio.plugins.manifest import Manifest
from studio.telemetry import ErrorLog, get_logger, register_secret

pytestmark = pytest.mark.memory


@pytest.fixture
async def log(tmp_path):
    stream = io.StringIO()
    made = ErrorLog(tmp_path, stream=stream)
    made.stream = stream
    yield made
    await asyncio.to_thread(made.stop)


def feed_of(told, listeners=()):
    return ErrorFeed(asyncio.get_running_loop(), told.append, listeners)


async def written(log):
    assert await asyncio.to_thread(log.flush)
    await asyncio.sleep(0)  # what the thread has handed over is told in the loop's next turn


async def test_errors_are_told_as_they_were_written_and_other_levels_are_not(log):
    told = []
    log.feed = feed_of(told)
    register_secret("a-canary-secret")
    log.put({"level": "error", "event": "a", "source": "x", "why": "a-canary-secret", "token": "t"})
    log.put({"level": "critical", "event": "b", "exception": "Traceback"})
    for level in ("debug", "info", "warning"):
        log.put({"level": level, "event": "c"})
    await written(log)
    assert told == [
        {"level": "error", "event": "a", "source": "x", "why": "***", "token": "***"},
        {"level": "critical", "event": "b", "exception": "Traceback"},
    ]
    lines = [json.loads(line) for line in log.stream.getvalue().splitlines()]
    assert lines[:2] == told


async def test_a_record_of_a_listener_or_of_what_it_does_is_written_and_not_told(log):
    told = []
    log.feed = feed_of(told, {"newrelic"})
    log.put({"level": "error", "event": "by_name", "source": "newrelic"})
    token = telling.set(True)
    log.put({"level": "error", "event": "while_told", "source": "x"})
    telling.reset(token)
    log.put({"level": "error", "event": "another", "source": "x"})
    await written(log)
    assert [record["event"] for record in told] == ["another"]
    lines = [json.loads(line) for line in log.stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["by_name", "while_told", "another"]
    assert "_own" not in log.stream.getvalue()


async def test_what_is_too_many_is_counted_and_the_thread_never_waits(log):
    told = []
    log.feed = feed = feed_of(told)
    for number in range(5_000):
        log.put({"level": "error", "event": "e", "n": number})
    await written(log)
    assert len(told) + feed.dropped == 5_000
    assert len(told) <= BURST + 100


async def test_a_loop_that_is_busy_bounds_what_waits(log):
    told = []
    log.feed = feed = feed_of(told)
    feed._left = 10_000.0
    for number in range(1_000):
        feed.put({"level": "error", "event": "e", "n": number}, 50)
    assert feed.dropped == 1_000 - WAITING
    await asyncio.sleep(0)
    assert len(told) == WAITING


async def test_a_large_record_is_told_by_its_main_parts(log):
    told = []
    log.feed = feed_of(told)
    log.put({"level": "error", "event": "e", "source": "x", "list": ["y" * 10_000] * 10})
    await written(log)
    assert told == [{"level": "error", "event": "e", "source": "x", "cut": True}]


async def test_a_loop_that_has_ended_costs_the_log_nothing(log):
    loop = asyncio.new_event_loop()
    loop.close()
    log.feed = feed = ErrorFeed(loop, print, ())
    log.put({"level": "error", "event": "e"})
    assert await asyncio.to_thread(log.flush)
    assert feed.dropped == 1


class Sink(StudioHooks):
    manifest = Manifest(name="sink")

    def __init__(self):
        self.told = []

    @hookimpl
    async def error_captured(self, ctx, error):
        self.told.append(error["event"])
        task = asyncio.get_running_loop().create_task(self.later(), context=None)
        await task
        raise RuntimeError("broken")

    async def later(self):
        get_logger("anybody").error("from_its_task")


async def test_a_listener_that_logs_and_breaks_hears_each_error_once_and_is_switched_off(log, monkeypatch):
    monkeypatch.setattr("studio.telemetry._sink", log)
    dispatcher, sink = Dispatcher({}), Sink()
    dispatcher.add("sink", sink, PluginContext("sink", Services(), None, get_logger("sink")))
    log.feed = ErrorFeed(
        asyncio.get_running_loop(), lambda record: dispatcher.notify("error_captured", record), {"sink"}
    )
    for number in range(5):
        get_logger("studio.test").error(f"error_{number}")
        await written(log)
        await dispatcher.drain()
        await written(log)
    assert sink.told == ["error_0", "error_1", "error_2"]
    assert dispatcher.switched_off("sink") == ["error_captured"]
