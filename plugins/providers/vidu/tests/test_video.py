"""What is asked of Vidu, the life of a task, and every way in which an answer can break."""

from __future__ import annotations

import base64

import pytest

from studio import (
    InvalidInputError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)

pytestmark = pytest.mark.http


def patience(mode):
    """Return the deadline of a call: only what never ends is waited for in vain."""
    return 1 if mode in ("late", "endless") else 5


CREATE = "2video$"
CALLBACK = "https://studio.example/api/webhooks/vidu?job=j&token=x"


def sent(fake):
    (call,) = fake.asked("POST", CREATE)
    return call


async def test_still_becomes_a_task(make, fake, module, animate, still):
    started = await make().submit(animate(callback_url=CALLBACK, params={"seed": 3, "audio": True}))
    call = sent(fake)
    given = call.json
    assert call.path == "/ent/v2/img2video"
    assert call.headers["authorization"] == f"Token {module.KEY}"
    (image,) = given.pop("images")
    assert base64.b64decode(image.removeprefix("data:image/png;base64,")) == still.read_bytes()
    assert given == {
        "model": "viduq3-turbo", "prompt": "The lamp turns", "duration": 5, "resolution": "720p", "payload": "j-1",
        "callback_url": CALLBACK, "seed": 3, "audio": True,
    }  # fmt: skip
    assert started.state == "running"
    assert started.provider_job_id in fake.tasks


async def test_text_alone_has_an_aspect_ratio_and_no_picture(make, fake, animate):
    params = {"mode": "text2video", "style": "anime"}
    await make().submit(
        animate(model="viduq1", params=params, width=720, height=1280, callback_url="http://x")
    )
    assert sent(fake).path == "/ent/v2/text2video"
    assert sent(fake).json == {
        "model": "viduq1", "prompt": "The lamp turns", "duration": 5, "resolution": "1080p", "payload": "j-1",
        "aspect_ratio": "9:16", "style": "anime",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "duration_ms", "seconds"),
    [
        ("viduq3-pro", 1, 1), ("viduq3-pro", 16_000, 16), ("viduq3-pro", 60_000, 16), ("viduq2-turbo", 10_001, 10),
        ("viduq1", 900, 5), ("vidu2.0", 3_000, 4), ("vidu2.0", 4_001, 8),
    ],
)  # fmt: skip
async def test_length_is_one_that_the_model_makes(make, fake, animate, model, duration_ms, seconds):
    await make().submit(animate(model=model, duration_ms=duration_ms))
    assert sent(fake).json["duration"] == seconds


@pytest.mark.parametrize(
    ("model", "size", "lines"),
    [
        ("viduq3-pro", (640, 360), "540p"), ("viduq3-pro", (1920, 1080), "1080p"),
        ("viduq3-pro", (3840, 2160), "1080p"),        ("viduq1", (640, 360), "1080p"), ("vidu2.0", (360, 640), "360p"),
    ],
)  # fmt: skip
async def test_picture_is_as_large_as_asked_for(make, fake, animate, model, size, lines):
    await make().submit(animate(model=model, width=size[0], height=size[1]))
    assert sent(fake).json["resolution"] == lines


@pytest.mark.parametrize(
    "params",
    [
        {"callback_url": "https://evil.example"},
        {"images": []},
        {"model": "x"},
        {"seed": "1"},
        {"mode": "extend"},
        {"payload": "x"},
    ],
)
async def test_caller_sets_only_what_is_allowed(make, fake, animate, params):
    with pytest.raises(InvalidInputError):
        await make().submit(animate(params=params))
    with pytest.raises(InvalidInputError):
        await make().submit(animate(model="viduq9"))
    assert fake.calls == []


async def test_picture_of_another_format_or_too_large_is_refused(make, fake, animate, still):
    other = still.with_suffix(".gif")
    other.write_bytes(b"GIF89a")
    for settings, request in (({}, animate(image=other)), ({"max_input_bytes": 100}, animate())):
        with pytest.raises(ProviderRejectedError) as raised:
            await make(**settings).submit(request)
        assert (raised.value.code, raised.value.extra["input"]) == ("image_refused", "image")
    assert fake.calls == []


async def test_task_is_polled_and_read_also_after_a_restart(make, fake, animate):
    fake.polls = 2
    started = await make().submit(animate())
    assert (await make().poll(started.provider_job_id)).state == "running"
    found = await make(credit_uusd=5_000).poll(started.provider_job_id)
    assert (found.state, found.cost_uusd) == ("succeeded", 200_000)
    assert [file.url for file in found.files] == [fake.creations[0]["url"]]


async def test_cancel_says_whether_it_could(make, fake, animate):
    fake.polls = 9
    video = make()
    started = await video.submit(animate())
    assert await video.cancel(started.provider_job_id) is True
    assert (await video.poll(started.provider_job_id)).state == "cancelled"
    other = await video.submit(animate())
    await video.poll(other.provider_job_id)
    assert await video.cancel(other.provider_job_id) is False
    assert await video.cancel("1") is False


@pytest.mark.parametrize("task_id", ["", "../x", "a/b", "a?b", "a" * 65, "é", "1\n"])
async def test_id_that_is_not_theirs_is_refused_without_a_call(make, fake, task_id):
    for ask in (make().poll, make().cancel):
        with pytest.raises(ProviderRejectedError):
            await ask(task_id)
    assert fake.calls == []


async def test_task_that_is_gone_is_refused(make):
    with pytest.raises(ProviderRejectedError) as raised:
        await make().poll("1")
    assert raised.value.code == "unknown_job"


@pytest.mark.parametrize("mode", ["500", "cut", "late", "lost", "malformed", "wrong_type", "huge", "endless"])
async def test_create_that_may_have_arrived_is_never_repeated(make, fake, animate, mode):
    fake.fail(mode, CREATE)
    with pytest.raises(OutcomeUnknownError):
        await make(deadline_s=patience(mode)).submit(animate())
    assert len(fake.asked("POST", CREATE)) == 1


@pytest.mark.parametrize(
    ("status", "reason", "kind", "code", "named"),
    [
        (400, "OperationInProcess", ProviderError, "provider_busy", None),
        (400, "CreditInsufficient", ProviderRejectedError, "provider_credit_used_up", None),
        (400, "AuditSubmitIllegal", ProviderRejectedError, "content_policy_violation", "prompt"),
        (400, "ImageFormatInvalid", ProviderRejectedError, "image_refused", "image"),
        (400, "FieldInvalid", ProviderRejectedError, "invalid_input", None),
        (400, "Unheard", ProviderRejectedError, "provider_rejected", None),
        (403, "Forbidden", ProviderUnavailableError, "provider_key_refused", None),
        (409, "Conflict", ProviderRejectedError, "provider_conflict", None),
    ],
)
async def test_create_that_was_refused_says_so(make, fake, animate, status, reason, kind, code, named):
    fake.refuse = (status, reason)
    with pytest.raises((ProviderError, ProviderUnavailableError)) as raised:
        await make().submit(animate())
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.extra.get("input")) == (code, named)
    assert len(fake.asked("POST", CREATE)) == 1


async def test_rate_limit_says_when_to_come_again(make, fake, animate):
    fake.fail("429", CREATE)
    with pytest.raises(ProviderError) as raised:
        await make().submit(animate())
    assert (raised.value.code, raised.value.retry_after) == ("provider_rate_limited", 1)


@pytest.mark.parametrize("mode", ["429", "500", "cut", "lost"])
async def test_poll_is_repeated_until_it_is_answered(make, fake, animate, mode):
    video = make(deadline_s=5)
    started = await video.submit(animate())
    fake.fail(mode, "creations$")
    assert (await video.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "late", "endless"])
async def test_poll_that_cannot_be_read_can_be_asked_again(make, fake, animate, mode):
    video = make(deadline_s=patience(mode))
    started = await video.submit(animate())
    fake.fail(mode, "creations$")
    with pytest.raises(ProviderError) as raised:
        await video.poll(started.provider_job_id)
    assert raised.value.retryable


@pytest.mark.parametrize(
    ("settings", "cost"),
    [
        ({"credit_uusd": 5_000, "credits_per_s": {"viduq3-turbo": 8}}, 200_000),
        ({"credit_uusd": 5_000}, None),
        ({"credits_per_s": {"viduq3-turbo": 8}}, None),
        ({}, None),
    ],
)
def test_estimate_needs_credits_and_their_price(make, animate, settings, cost):
    assert make(**settings).estimate(animate()).cost_uusd == cost
