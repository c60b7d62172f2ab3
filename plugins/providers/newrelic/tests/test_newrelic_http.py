"""A whole Studio whose errors go to New Relic: redacted, in no circle, and without a request that waits for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from studio.testing.client import serving
from studio.testing.kit import get_logger
from studio_newrelic.service import NewRelic

pytestmark = pytest.mark.http


@pytest.fixture
def named(newrelic_fakes):
    return {
        "NEW_RELIC_LICENSE_KEY": newrelic_fakes.KEY,
        "NEW_RELIC_ACCOUNT_ID": newrelic_fakes.ACCOUNT,
        "STUDIO_NEWRELIC__FLUSH_S": "0.05",
    }


async def until(done, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        while not done():
            await asyncio.sleep(0.01)


async def test_an_error_that_is_logged_arrives_without_secrets(tmp_path, newrelic, named):
    named |= {"STUDIO_NEWRELIC__COLLECTOR": newrelic.url, "RESEND_API_KEY": "re_canary_0123456789"}
    async with serving(tmp_path, **named):
        log = get_logger("studio.test")
        log.error("it_failed", why="the key re_canary_0123456789", password="hunter22", job_id="j1")
        log.warning("not_an_error")
        await until(lambda: [r for r in newrelic.logs if r["message"] == "it_failed"])
    [record] = [r for r in newrelic.logs if r["message"] == "it_failed"]
    assert record["attributes"] == {
        "level": "ERROR", "logger": "studio.test", "why": "the key ***", "password": "***", "job_id": "j1",
    }  # fmt: skip
    assert not [r for r in newrelic.logs if r["message"] == "not_an_error"]
    assert b"canary" not in b"".join(call.body for call in newrelic.calls)


async def test_what_is_logged_last_arrives_before_the_stop(tmp_path, newrelic, named):
    named |= {"STUDIO_NEWRELIC__COLLECTOR": newrelic.url, "STUDIO_NEWRELIC__FLUSH_S": "60"}
    async with serving(tmp_path, **named):
        get_logger("studio.test").error("the_last_words")
    assert [r["message"] for r in newrelic.logs if r["message"] == "the_last_words"]


async def test_a_job_that_ends_is_an_event(tmp_path, newrelic, named):
    async with serving(tmp_path, STUDIO_NEWRELIC__COLLECTOR=newrelic.url, **named) as anonymous:
        ended = {
            "_id": "j1",
            "kind": "image.generate",
            "state": "succeeded",
            "created_at": 1,
            "finished_at": 2,
        }
        anonymous.studio.dispatcher.notify("job_changed", ended)
        await until(lambda: newrelic.events)
    assert newrelic.events[0]["eventType"] == "StudioJob"
    assert newrelic.events[0]["durationMs"] == 1


async def test_an_error_of_the_sink_itself_goes_in_no_circle(tmp_path, newrelic, named, monkeypatch):
    told = []

    def broken(self, error):
        told.append(error["event"])
        get_logger("newrelic").error("the_sink_itself")
        get_logger("studio.other").error("deeper_inside")
        raise RuntimeError("the sink is broken")

    monkeypatch.setattr(NewRelic, "record_error", broken)
    async with serving(tmp_path, STUDIO_NEWRELIC__COLLECTOR=newrelic.url, **named) as anonymous:
        get_logger("studio.test").error("it_failed")
        await until(lambda: told)
        await anonymous.studio.dispatcher.drain()
        await asyncio.to_thread(anonymous.studio._log.flush)
        await asyncio.sleep(0.1)
    assert told == ["it_failed"]


@pytest.mark.parametrize("mode", ["late", "500", "cut"])
async def test_a_dead_or_slow_new_relic_adds_nothing_to_requests(tmp_path, newrelic, named, mode):
    async def measured(**more):
        took = []
        async with serving(tmp_path, **named, **more) as anonymous:
            ann = await anonymous.sign_in("ann@example.org")
            log = get_logger("studio.test")
            for number in range(300):
                if "STUDIO_NEWRELIC__COLLECTOR" in more:
                    log.error("it_failed", number=number)
                start = time.perf_counter()
                assert (await ann.get("/api/auth/me")).status == 200
                took.append(time.perf_counter() - start)
        return sorted(took)

    quiet = await measured()
    newrelic.fail(mode, times=10_000)
    loud = await measured(STUDIO_NEWRELIC__COLLECTOR=newrelic.url, STUDIO_NEWRELIC__QUEUE="100")
    print(
        f"p50 {quiet[150] * 1e3:.2f} → {loud[150] * 1e3:.2f} ms, p99 {quiet[297] * 1e3:.2f} → {loud[297] * 1e3:.2f} ms"
    )
    assert loud[150] < quiet[150] + 0.02


async def test_without_a_key_nothing_is_forwarded(tmp_path, newrelic):
    async with serving(tmp_path, STUDIO_NEWRELIC__COLLECTOR=newrelic.url) as anonymous:
        get_logger("studio.test").error("it_failed")
        anonymous.studio.dispatcher.notify("job_changed", {"_id": "j", "state": "failed"})
        await anonymous.studio.dispatcher.drain()
        assert anonymous.studio.loader.records["newrelic"].alive
    assert newrelic.calls == []
