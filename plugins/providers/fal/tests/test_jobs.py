"""The life of a request: queue, poll, cancel, and every way in which an answer can break."""

from __future__ import annotations

import pytest

from studio import (
    ImageRequest,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    VideoRequest,
)

pytestmark = pytest.mark.http


def patience(mode):
    """Return the deadline of a call: only what never ends is waited for in vain."""
    return 1 if mode in ("late", "endless") else 5


SUBMIT = "^/fal-ai/flux/schnell$"


def panel():
    return ImageRequest(job_id="j-1", prompt="A lighthouse in rain")


async def test_request_is_queued_polled_and_read(make, fake):
    fake.polls = 2
    drawing = make()
    started = await drawing.submit(panel())
    assert started.state == "running"
    assert (await drawing.poll(started.provider_job_id)).state == "running"
    found = await drawing.poll(started.provider_job_id)
    assert (found.state, found.provider_job_id) == ("succeeded", started.provider_job_id)
    assert [file.url for file in found.files] == [fake.output["images"][0]["url"]]


async def test_id_alone_is_enough_after_a_restart_and_without_the_model(make, fake):
    started = await make().submit(panel())
    later = make(models={"flux-schnell": {"enabled": False}})
    assert (await later.poll(started.provider_job_id)).state == "succeeded"
    stranger = started.provider_job_id.replace("flux-schnell", "gone", 1)
    assert (await later.poll(stranger)).state == "succeeded"


async def test_cancel_says_whether_it_could(make, fake):
    fake.polls = 9
    drawing = make()
    started = await drawing.submit(panel())
    assert await drawing.cancel(started.provider_job_id) is True
    assert (await drawing.poll(started.provider_job_id)).state == "cancelled"
    assert await drawing.cancel(started.provider_job_id) is False
    assert await drawing.cancel("flux-schnell|fal-ai/flux|nobody") is False


@pytest.mark.parametrize(
    "job_id",
    [
        "", "x", "a|b", "flux|fal-ai/flux|../../x", "flux|../x|y", "flux|fal-ai/..|y", "flux|fal-ai/flux|a/b",
        "flux|fal-ai/flux|a?b", "flux|https://evil.example/x|y", "flux|//evil.example/x|y", "flux|fal-ai/flux|",
        "flux|fal-ai/flux|a\n", "flux|fal-ai/flux|é",
    ],
)  # fmt: skip
async def test_id_that_is_not_theirs_is_refused_without_a_call(make, fake, job_id):
    with pytest.raises(ProviderRejectedError):
        await make().poll(job_id)
    assert fake.calls == []


async def test_request_that_is_gone_is_refused(make):
    with pytest.raises(ProviderRejectedError) as raised:
        await make().poll("flux-schnell|fal-ai/flux|nobody")
    assert raised.value.code == "unknown_job_or_model"


@pytest.mark.parametrize("mode", ["500", "cut", "late", "lost", "malformed", "wrong_type", "huge", "endless"])
async def test_submit_that_may_have_arrived_is_never_repeated(make, fake, mode):
    fake.fail(mode, SUBMIT)
    with pytest.raises(OutcomeUnknownError):
        await make(deadline_s=patience(mode)).submit(panel())
    assert len(fake.asked("POST", SUBMIT)) == 1


@pytest.mark.parametrize(
    ("mode", "kind", "code", "named"),
    [
        ("429", ProviderError, "provider_rate_limited", None),
        ("422", ProviderRejectedError, "invalid_input", "prompt"),
        ("413", ProviderRejectedError, "invalid_input", None),
        ("redirect", ProviderRejectedError, "provider_rejected", None),
    ],
)
async def test_submit_that_was_refused_says_so(make, fake, mode, kind, code, named):
    fake.fail(mode, SUBMIT)
    with pytest.raises(ProviderError) as raised:
        await make().submit(panel())
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.extra.get("input")) == (code, named)
    assert len(fake.asked("POST", SUBMIT)) == 1


@pytest.mark.parametrize("mode", ["429", "500", "cut", "lost"])
async def test_poll_is_repeated_until_it_is_answered(make, fake, mode):
    drawing = make(deadline_s=5)
    started = await drawing.submit(panel())
    fake.fail(mode, "status$")
    assert (await drawing.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "late", "endless"])
async def test_poll_that_cannot_be_read_can_be_asked_again(make, fake, mode):
    drawing = make(deadline_s=patience(mode))
    started = await drawing.submit(panel())
    fake.fail(mode, "status$")
    with pytest.raises(ProviderError) as raised:
        await drawing.poll(started.provider_job_id)
    assert raised.value.retryable
    assert (await drawing.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize(
    ("mode", "where", "code"),
    [
        ("500", "initiate$", "provider_failed"),
        ("500", "^/upload/", "provider_failed"),
        ("malformed", "initiate$", "upload_failed"),
        ("wrong_type", "initiate$", "upload_failed"),
        ("huge", "initiate$", "upload_failed"),
        ("redirect", "^/upload/", "upload_failed"),
    ],
)
async def test_upload_that_fails_queues_nothing_and_may_be_repeated(make, fake, pictures, mode, where, code):
    fake.fail(mode, where, times=9)
    with pytest.raises(ProviderError) as raised:
        await make("video", deadline_s=5).submit(
            VideoRequest(job_id="j", image=pictures.large, duration_ms=2000)
        )
    assert (raised.value.code, raised.value.retryable) == (code, True)
    assert fake.requests == {}


async def test_key_that_is_refused_switches_to_another_provider(make):
    with pytest.raises(ProviderUnavailableError) as raised:
        await make(api_key="wrong-key").submit(panel())
    assert raised.value.code == "provider_key_refused"
