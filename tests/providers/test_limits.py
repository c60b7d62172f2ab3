from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from studio.breaker import FAILURES
from studio.errors import OutcomeUnknownError, ProviderError, ProviderUnavailableError, RateLimitedError
from studio.jobs.settings import JobsSettings
from studio.providers import limits
from studio.providers.limits import Limits
from studio.providers.requests import ChatDelta

pytestmark = pytest.mark.memory


class Time:
    now = 0.0

    def __call__(self):
        return self.now


async def calls(shared, times):
    async def once():
        async with shared.turn("fake"):
            return 1

    answers = await asyncio.gather(*(once() for _ in range(times)), return_exceptions=True)
    return sum(answer == 1 for answer in answers), [a for a in answers if a != 1]


async def test_calls_over_the_rate_are_told_to_come_back(monkeypatch):
    monkeypatch.setattr(limits, "WAIT_S", 0.01)
    passed, refused = await calls(Limits(100, "3/3600"), 5)
    assert passed == 3
    assert {(type(error), error.retry_after) for error in refused} == {(ProviderUnavailableError, 0.01)}


async def test_short_wait_is_waited_for():
    assert await calls(Limits(100, "50/1"), 51) == (51, [])


async def test_pause_is_shared_and_never_longer_than_a_minute():
    time = Time()
    shared = Limits(5, clock=time)
    shared.pause(3_600)
    shared.pause(2)
    assert shared.wait_s == 60
    passed, (error,) = await calls(shared, 1)
    assert (passed, error.retry_after) == (0, 60)
    time.now = 60.0
    assert await calls(shared, 1) == (1, [])


@pytest.mark.parametrize("rate", ["10", "0/1", "1/0", "ten/1", "-1/2"])
def test_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValidationError):
        JobsSettings(provider_rates={"fal": rate})


@pytest.mark.parametrize(
    "error", [RateLimitedError("slow", retry_after=9), ProviderError("429", retry_after=9)]
)
async def test_rate_limit_pauses_all_calls_and_opens_no_circuit(bind, error):
    class Busy:
        async def poll(self, provider_job_id):
            raise error

    bound = bind(Busy())
    for _ in range(12):
        with pytest.raises(type(error)):
            await bound.poll("id")
        with pytest.raises(ProviderUnavailableError) as caught:
            await bound.poll("id")
        assert caught.value.retry_after == pytest.approx(9)
        bound.time.now += 9
    assert bound.breaker.wait_s == 0


class Silent:
    """Streams one piece and then nothing; answers a submit at once."""

    def __init__(self):
        self.closed = 0

    async def stream(self, request):
        try:
            yield ChatDelta(text="Hel")
            await asyncio.Event().wait()
        finally:
            self.closed += 1

    async def submit(self, request):
        return request

    poll = submit


async def test_call_that_finds_no_free_slot_is_told_to_come_back(bind, monkeypatch):
    monkeypatch.setattr(limits, "WAIT_S", 0.01)
    bound = bind(Silent(), slots=1)
    async with asyncio.timeout(20), bound._limits.turn("fake"):
        for call in (bound.submit, bound.poll):
            with pytest.raises(ProviderUnavailableError, match="at a time") as caught:
                await call("r")
            assert (caught.value.code, caught.value.retry_after) == (limits.BUSY, 0.01)
        with pytest.raises(ProviderUnavailableError, match="at a time"):
            await anext(bound.stream("r"))
    assert await bound.submit("r") == "r"  # whoever gave up waiting holds nothing


async def test_call_over_the_rate_gives_its_slot_back(monkeypatch):
    monkeypatch.setattr(limits, "WAIT_S", 0.01)
    shared = Limits(1, "1/3600")
    assert (await calls(shared, 1))[0] == 1
    for _ in range(3):
        _, (error,) = await calls(shared, 1)
        assert "1 times" in error.detail
    assert not shared._slots.locked()


async def test_idle_readers_keep_no_slot_past_the_deadline(bind):
    silent = Silent()
    bound = bind(silent, slots=2, deadline_s=0.05)
    readers = [bound.stream("r") for _ in range(2)]
    async with asyncio.timeout(20):
        assert [(await anext(reader)).text for reader in readers] == ["Hel", "Hel"]
        assert bound._limits._slots.locked()
        assert await bound.submit("r") == "r"
    assert silent.closed > 0
    for reader in readers:
        with pytest.raises(OutcomeUnknownError, match=r"0\.05 s"):
            await anext(reader)


async def test_reader_who_is_behind_is_no_fault_of_the_vendor(bind):
    class Long:
        async def stream(self, request):
            while True:
                yield ChatDelta(text="ha")

    bound = bind(Long(), slots=1, deadline_s=0.01)
    for _ in range(6):
        reader = bound.stream("r")
        await anext(reader)
        async with (
            asyncio.timeout(20),
            bound._limits._slots,
        ):  # the only one: free when the deadline has passed
            pass
        with pytest.raises(OutcomeUnknownError, match="Nobody read"):
            assert {piece.text async for piece in reader} == {"ha"}
    assert bound.breaker.wait_s == 0


async def test_reader_who_leaves_ends_the_call(bind):
    silent = Silent()
    bound = bind(silent, slots=1, deadline_s=60)
    reader = bound.stream("r")
    await anext(reader)
    await reader.aclose()
    assert silent.closed == 1
    assert not bound._limits._slots.locked()


async def test_asking_whether_it_is_ready_is_no_probe_and_takes_no_turn(bind):
    bound = bind(Silent(), slots=1)
    bound.ready()
    for _ in range(FAILURES):
        bound.breaker.failure()
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError, match="in a row") as caught:
            bound.ready()
        assert caught.value.retry_after == pytest.approx(5)
    bound.time.now += 5
    bound.ready()
    assert await bound.submit("r") == "r"  # the probe was still to be had
    bound._limits.pause(3)
    with pytest.raises(ProviderUnavailableError) as caught:
        bound.ready()
    assert (caught.value.code, caught.value.retry_after) == (limits.BUSY, 3)
