"""Errors and events on their way: in batches, bounded, sampled when they are too many, and never twice."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest
from pydantic import ValidationError

from studio_newrelic.forwarder import LOWEST
from studio_newrelic.models import event_of, log_of
from studio_newrelic.settings import NewrelicSettings

pytestmark = pytest.mark.http
PAYLOADS = Path(__file__).parent / "payloads"
RECORDS = json.loads((PAYLOADS / "records.json").read_text())
JOBS = json.loads((PAYLOADS / "jobs.json").read_text())
ERROR = {"at": "2026-11-23T10:00:00.125+00:00", "level": "error", "event": "it_failed", "source": "x"}


async def until(done, timeout_s=10):
    async with asyncio.timeout(timeout_s):
        while not done():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("case", RECORDS, ids=range(len(RECORDS)))
def test_an_error_becomes_a_log_record(case):
    assert log_of(case["error"], 7) == case["log"]


@pytest.mark.parametrize("case", JOBS, ids=[c["job"].get("_id", "none") for c in JOBS])
def test_a_job_that_has_ended_becomes_a_flat_event_and_no_other_does(case, newrelic_fakes):
    event = event_of(case["job"], 7)
    assert event == case["event"]
    assert event is None or newrelic_fakes.wrong_event(event) is None


def test_what_is_too_long_or_too_much_is_cut(newrelic_fakes):
    huge = ERROR | {f"k{n}" * 100: "x" * 9_000 for n in range(500)} | {"deep": [[["y"] * 9_000]]}
    record = log_of(huge, 7)
    assert newrelic_fakes.wrong_log(record) is None
    assert len(record["attributes"]) == 200
    assert max(len(str(value)) for value in record["attributes"].values()) == 4_096


async def test_a_batch_arrives_gzipped_with_the_key_and_what_all_have_in_common(
    service_at, newrelic, newrelic_fakes
):
    service = service_at(newrelic.url, app_name="film")
    for number in range(700):
        service.record_error(ERROR | {"n": number})
    await until(lambda: service.logs.sent == 700)
    assert [len(call.body) > 0 for call in newrelic.calls] == [True, True]
    assert [record["attributes"]["n"] for record in newrelic.logs] == list(range(700))
    assert newrelic.errors == []
    first = newrelic.calls[0]
    assert (first.method, first.path) == ("POST", "/log/v1")
    assert first.headers["api-key"] == newrelic_fakes.KEY
    assert (first.headers["content-encoding"], first.headers["content-type"]) == ("gzip", "application/json")
    assert newrelic.common[0]["service.name"] == "film"
    document = orjson.loads(newrelic_fakes.unpacked(first))
    assert set(document[0]) == {"common", "logs"}


async def test_no_batch_is_larger_than_new_relic_takes(service_at, newrelic, newrelic_fakes):
    import secrets

    service = service_at(newrelic.url)
    for _ in range(400):
        service.record_error(ERROR | {f"k{n}": secrets.token_hex(2_000) for n in range(2)})
    await until(lambda: service.logs.sent == 400)
    assert all(len(newrelic_fakes.unpacked(call)) <= 1_000_000 for call in newrelic.calls)
    assert len(newrelic.calls) >= 4


async def test_a_job_is_told_once_per_end_and_not_without_an_account(service_at, newrelic):
    service = service_at(newrelic.url)
    ended = {"_id": "j1", "kind": "image.generate", "state": "succeeded", "attempt": 1}
    for job in (ended | {"state": "submitted"}, ended, ended, ended | {"state": "failed", "attempt": 2}):
        service.record_job(job)
    await service.close()
    assert [(event["state"], event["attempt"]) for event in newrelic.events] == [
        ("succeeded", 1),
        ("failed", 2),
    ]
    assert newrelic.calls[0].path == "/v1/accounts/1234567/events"
    assert newrelic.errors == []
    silent = service_at(newrelic.url, account_id=None)
    silent.record_job(ended)
    await silent.close()
    assert len(newrelic.calls) == 1


async def test_429_pauses_for_the_rest_of_the_minute(service_at, newrelic):
    newrelic.fail("429")
    service = service_at(newrelic.url)
    service.logs._clock = lambda: 1_795_428_059_700  # 0.3 s before the next minute
    service.record_error(ERROR)
    await until(lambda: newrelic.calls)
    start = time.monotonic()
    await until(lambda: service.logs.sent == 1)
    assert 0.2 < time.monotonic() - start < 2
    assert len(newrelic.calls) == 2


async def test_413_halves_the_batch_until_it_fits_and_drops_what_never_will(service_at, newrelic):
    newrelic.max_bytes = 700
    service = service_at(newrelic.url)
    for number in range(8):
        service.record_error(ERROR | {"n": number})
    import secrets

    service.record_error(ERROR | {"noise": secrets.token_hex(1_500)})
    await until(lambda: service.logs.sent + service.logs.dropped == 9)
    assert (service.logs.sent, service.logs.dropped) == (8, 1)


@pytest.mark.parametrize("mode", ["lost", "cut", "late", "redirect"])
async def test_what_may_have_arrived_is_not_sent_again(service_at, newrelic, mode):
    newrelic.fail(mode)
    service = service_at(newrelic.url)
    service.record_error(ERROR)
    await until(lambda: service.logs.dropped == 1)
    service.record_error(ERROR)
    await until(lambda: service.logs.sent == 1)
    assert len(newrelic.calls) == 2


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "huge"])
async def test_what_the_answer_says_is_not_read(service_at, newrelic, mode):
    newrelic.fail(mode)
    service = service_at(newrelic.url)
    service.record_error(ERROR)
    await until(lambda: service.logs.sent + service.logs.dropped == 1)
    assert len(newrelic.calls) == 1


async def test_a_server_error_is_tried_again(service_at, newrelic):
    newrelic.fail("500", times=2)
    service = service_at(newrelic.url)
    service.record_error(ERROR)
    await until(lambda: service.logs.sent == 1)
    assert (service.logs.dropped, len(newrelic.logs)) == (0, 1)


async def test_a_key_that_is_not_good_drops_and_is_told_once_as_a_warning(service_at, newrelic):
    told = []
    service = service_at(newrelic.url, license_key="another")
    service.logs._collector._log = SimpleNamespace(
        warning=lambda event, **facts: told.append((event, facts["error"]))
    )
    for number in range(1, 4):
        service.record_error(ERROR)
        await until(lambda number=number: service.logs.dropped == number)
    assert (newrelic.logs, len(newrelic.calls)) == ([], 3)
    assert told == [("newrelic_trouble", "New Relic refuses the license key.")]


async def test_a_record_that_is_no_json_does_not_stop_the_others(service_at, newrelic):
    service = service_at(newrelic.url)
    for odd in (
        {"n": 2**70},
        {"t": "\udc80"},
        {"event": "\ud800"},
        {"deep": {"s": {1, 2}, "n": -(2**80)}},
        {"\udfff": 1},
    ):
        service.record_error(ERROR | odd)
    await until(lambda: service.logs.sent == 5)
    assert newrelic.errors == []


async def test_an_absent_new_relic_costs_who_logs_nothing_and_the_queue_stays_bounded(service_at):
    service = service_at("http://127.0.0.1:9", queue=1_000)
    start = time.perf_counter()
    for number in range(50_000):
        service.record_error(ERROR | {"n": number})
    took = time.perf_counter() - start
    assert service.logs.queued <= 1_000
    assert service.logs.dropped >= 49_000
    assert service.logs.rate == LOWEST
    print(f"{took / 50_000 * 1e6:.1f} µs for each record while New Relic is away")
    assert took / 50_000 < 0.001


async def test_the_share_that_is_taken_recovers_once_batches_go_out(service_at, newrelic):
    service = service_at(newrelic.url, queue=10)
    for number in range(200):
        service.record_error(ERROR | {"n": number})
    low = service.logs.rate
    assert low < 1
    async with asyncio.timeout(10):
        while service.logs.rate < 1:
            service.record_error(ERROR)
            await asyncio.sleep(0.01)
    assert service.logs.sent > 0


async def test_the_stop_sends_what_is_queued_and_takes_less_than_two_seconds(service_at, newrelic):
    service = service_at(newrelic.url, flush_s=60)
    service.record_error(ERROR)
    await service.close()
    assert len(newrelic.logs) == 1
    newrelic.fail("late", times=9)
    slow = service_at(newrelic.url, flush_s=60, deadline_s=30)
    slow.record_error(ERROR)
    slow.record_job({"_id": "j", "state": "failed"})
    start = time.monotonic()
    await slow.close()
    assert time.monotonic() - start < 2
    assert (slow.logs.queued, slow.logs.dropped) == (0, 1)


async def test_the_stop_does_not_wait_for_a_minute_to_end(service_at, newrelic):
    newrelic.fail("429", times=9)
    service = service_at(newrelic.url)
    service.record_error(ERROR)
    await until(lambda: newrelic.calls)
    start = time.monotonic()
    await service.close()
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("named", "hosts"),
    [
        ({}, ("https://log-api.newrelic.com", "https://insights-collector.newrelic.com")),
        (
            {"region": "eu"},
            ("https://log-api.eu.newrelic.com", "https://insights-collector.eu01.nr-data.net"),
        ),
        (
            {"region": "gov"},
            ("https://gov-log-api.newrelic.com", "https://gov-insights-collector.newrelic.com"),
        ),
        ({"collector": "http://127.0.0.1:4318"}, ("http://127.0.0.1:4318", "http://127.0.0.1:4318")),
    ],
)
def test_the_key_goes_to_the_hosts_of_the_region_only(named, hosts):
    assert NewrelicSettings(**named).hosts == hosts


@pytest.mark.parametrize(
    "bad",
    [
        {"collector": "http://evil.example"},
        {"collector": "https://127.0.0.1"},
        {"region": "xx"},
        {"account_id": "1/../2"},
    ],
)
def test_another_host_is_refused_at_the_start(bad):
    with pytest.raises(ValidationError):
        NewrelicSettings(**bad)
