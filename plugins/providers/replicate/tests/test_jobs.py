"""The life of a prediction: create, poll, cancel, and every way in which an answer can break."""

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


LOST = ("500", "cut", "late", "lost", "malformed", "wrong_type", "huge", "endless")
CREATE = "predictions$"


def panel(**fields):
    return ImageRequest(job_id="j-1", prompt="A lighthouse in rain", **fields)


async def test_prediction_is_created_polled_and_read(make, fake):
    drawing = make()
    started = await drawing.submit(panel())
    assert (started.state, started.files) == ("running", ())
    found = await drawing.poll(started.provider_job_id)
    assert (found.state, found.provider_job_id) == ("succeeded", started.provider_job_id)
    assert [file.url for file in found.files] == fake.output


async def test_id_alone_is_enough_after_a_restart(make, fake):
    started = await make().submit(panel())
    assert (await make().poll(started.provider_job_id)).state == "succeeded"


async def test_data_that_was_removed_is_no_success(make, fake):
    drawing = make()
    started = await drawing.submit(panel())
    await drawing.poll(started.provider_job_id)
    fake.remove_data(started.provider_job_id)
    assert (await drawing.poll(started.provider_job_id)).error.code == "output_expired"


async def test_cancel_says_whether_it_could(make, fake):
    fake.polls = 9
    drawing = make()
    started = await drawing.submit(panel())
    assert await drawing.cancel(started.provider_job_id) is True
    assert (await drawing.poll(started.provider_job_id)).state == "cancelled"
    other = await drawing.submit(panel())
    fake.finish(other.provider_job_id)
    assert await drawing.cancel(other.provider_job_id) is False
    assert await drawing.cancel("nobody") is False


@pytest.mark.parametrize("job_id", ["../account", "a/b", "", "a" * 65, "a?b", "ä", "a\n"])
async def test_id_that_is_not_theirs_is_refused_without_a_call(make, fake, job_id):
    for ask in (make().poll, make().cancel):
        with pytest.raises(ProviderRejectedError):
            await ask(job_id)
    assert fake.calls == []


async def test_prediction_that_is_gone_is_refused(make):
    with pytest.raises(ProviderRejectedError) as raised:
        await make().poll("nobody")
    assert raised.value.code == "unknown_job_or_model"


@pytest.mark.parametrize("mode", LOST)
async def test_create_that_may_have_arrived_is_never_repeated(make, fake, mode):
    fake.fail(mode, CREATE)
    with pytest.raises(OutcomeUnknownError):
        await make(deadline_s=patience(mode)).submit(panel())
    assert len(fake.asked("POST", CREATE)) == 1


@pytest.mark.parametrize(
    ("mode", "kind", "code", "again"),
    [
        ("429", ProviderError, "provider_rate_limited", True),
        ("422", ProviderRejectedError, "invalid_input", False),
        ("413", ProviderRejectedError, "input_too_large", False),
        ("redirect", ProviderRejectedError, "provider_rejected", False),
    ],
)
async def test_create_that_was_refused_says_so(make, fake, mode, kind, code, again):
    fake.fail(mode, CREATE)
    with pytest.raises(ProviderError) as raised:
        await make().submit(panel())
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.retryable) == (code, again)
    assert len(fake.asked("POST", CREATE)) == 1


@pytest.mark.parametrize("mode", ["429", "500", "cut", "lost"])
async def test_poll_is_repeated_until_it_is_answered(make, fake, mode):
    drawing = make(deadline_s=5)
    started = await drawing.submit(panel())
    fake.fail(mode, f"{started.provider_job_id}$")
    assert (await drawing.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "late", "endless"])
async def test_poll_that_cannot_be_read_can_be_asked_again(make, fake, mode):
    drawing = make(deadline_s=patience(mode))
    started = await drawing.submit(panel())
    fake.fail(mode, f"{started.provider_job_id}$")
    with pytest.raises(ProviderError) as raised:
        await drawing.poll(started.provider_job_id)
    assert raised.value.retryable
    assert (await drawing.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize(
    ("mode", "code"),
    [
        ("500", "provider_failed"),
        ("malformed", "upload_failed"),
        ("wrong_type", "upload_failed"),
        ("huge", "upload_failed"),
    ],
)
async def test_upload_that_fails_starts_nothing_and_may_be_repeated(make, fake, pictures, mode, code):
    fake.fail(mode, "files$", times=9)
    with pytest.raises(ProviderError) as raised:
        await make("video", deadline_s=5).submit(
            VideoRequest(job_id="j", image=pictures.large, duration_ms=2000)
        )
    assert (raised.value.code, raised.value.retryable) == (code, True)
    assert fake.asked("POST", CREATE) == []


async def test_token_that_is_refused_switches_to_another_provider(make):
    with pytest.raises(ProviderUnavailableError) as raised:
        await make(api_token="r8_wrong").submit(panel())
    assert raised.value.code == "provider_key_refused"
    assert "r8_wrong" not in raised.value.detail
