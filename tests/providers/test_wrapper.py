from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from studio.errors import (
    DeadlineExceededError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    RateLimitedError,
    StorageFullError,
)

pytestmark = pytest.mark.memory


class Target:
    error: BaseException | None = None
    calls = 0

    async def submit(self, request):
        self.calls += 1
        if self.error:
            raise self.error
        return request

    poll = cancel = voices = submit

    def estimate(self, request):
        return request


@pytest.mark.parametrize(
    ("raised", "of_submit", "of_poll"),
    [
        (ProviderError("502"), ProviderError, ProviderError),
        (ProviderRejectedError("bad"), ProviderRejectedError, ProviderRejectedError),
        (OutcomeUnknownError("?"), OutcomeUnknownError, OutcomeUnknownError),
        (RateLimitedError("429"), RateLimitedError, RateLimitedError),
        (NotFoundError("404"), NotFoundError, NotFoundError),
        (DeadlineExceededError("slow"), OutcomeUnknownError, DeadlineExceededError),
        (ConnectionResetError("gone"), OutcomeUnknownError, ProviderError),
        (KeyError("bug"), OutcomeUnknownError, ProviderError),
        (TimeoutError(), OutcomeUnknownError, ProviderError),
    ],
)
async def test_error_gets_the_class_that_says_what_may_be_repeated(bind, raised, of_submit, of_poll):
    target = Target()
    target.error = raised
    for call, expected in ((bind(target).submit, of_submit), (bind(target).poll, of_poll)):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the exact class is compared
            await call("r")
        assert type(caught.value) is expected


async def test_unexpected_error_of_a_repeatable_submit_may_be_repeated(bind):
    target = Target()
    target.error = KeyError("bug")
    with pytest.raises(ProviderError) as caught:
        await bind(target, idempotent_submit=True).submit("r")
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, KeyError)


async def test_submit_that_hangs_ends_at_the_deadline_as_unknown(bind):
    class Hanging(Target):
        async def submit(self, request):
            await asyncio.Event().wait()

        poll = submit

    bound = bind(Hanging(), deadline_s=0.01)
    with pytest.raises(OutcomeUnknownError, match=r"0\.01 s"):
        await bound.submit("r")
    with pytest.raises(ProviderError) as caught:
        await bound.poll("id")
    assert caught.value.retryable


async def test_other_methods_are_wrapped_too(bind):
    target = Target()
    bound = bind(target)
    assert await bound.voices("x") == "x"
    assert bound.estimate("e") == "e"
    target.error = OSError("disk")
    with pytest.raises(ProviderError, match="OSError"), capture_logs() as lines:
        await bound.voices("x")
    told = [(line["event"], line["provider"], str(line["exc_info"])) for line in lines]
    assert told == [("provider_crashed", bound.name, "disk")], "the client is not told more; the operator is"
    with pytest.raises(AttributeError):
        _ = bound.nothing


async def test_five_failures_open_the_circuit_and_a_probe_closes_it(bind):
    target = Target()
    target.error = ProviderError("502")
    bound = bind(target)
    for _ in range(5):
        with pytest.raises(ProviderError):
            await bound.poll("id")
    with pytest.raises(ProviderUnavailableError) as caught:
        await bound.poll("id")
    assert caught.value.retry_after == 5.0
    assert target.calls == 5
    bound.time.now = 5.0
    with pytest.raises(ProviderError):
        await bound.poll("id")
    with pytest.raises(ProviderUnavailableError):
        await bound.poll("id")
    bound.time.now = 10.0
    target.error = None
    assert await bound.poll("id") == "id"
    assert await bound.poll("id") == "id"


async def test_half_open_circuit_lets_one_call_through(bind):
    entered, leave = asyncio.Event(), asyncio.Event()

    class Slow(Target):
        async def poll(self, request):
            entered.set()
            await leave.wait()
            return request

    bound = bind(Slow())
    for _ in range(5):
        bound.breaker.failure()
    bound.time.now = 5.0
    probe = asyncio.create_task(bound.poll("id"))
    await entered.wait()
    with pytest.raises(ProviderUnavailableError):
        await bound.poll("id")
    leave.set()
    assert await probe == "id"
    assert await bound.poll("id") == "id"


async def test_failures_far_apart_keep_the_circuit_closed(bind):
    target = Target()
    target.error = ProviderError("502")
    bound = bind(target)
    for _ in range(12):
        with pytest.raises(ProviderError, match="502"):
            await bound.poll("id")
        bound.time.now += 3.0


@pytest.mark.parametrize(
    "error", [ProviderRejectedError("bad"), NotFoundError("no"), StorageFullError("full")]
)
async def test_errors_that_are_no_outage_keep_the_circuit_closed(bind, error):
    target = Target()
    target.error = error
    bound = bind(target)
    for _ in range(20):
        with pytest.raises(type(error)):
            await bound.poll("id")


async def test_calls_at_a_time_are_limited(bind):
    running = highest = 0

    class Slow(Target):
        async def poll(self, request):
            nonlocal running, highest
            running += 1
            highest = max(highest, running)
            await asyncio.sleep(0)
            running -= 1

    bound = bind(Slow(), slots=3)
    await asyncio.gather(*(bound.poll("id") for _ in range(20)))
    assert highest == 3
