"""The vendor's words, as it sends them: what each answer means to a job."""

from __future__ import annotations

import pytest

from studio import (
    ImageRequest,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from studio_openai.api.chat import retry_after_s

pytestmark = pytest.mark.http
DRAW = ImageRequest(job_id="j1-1", prompt="A harbour")
ERRORS = [  # payload, exception, code, input, retry_after
    ("wrong_key", ProviderUnavailableError, "provider_key_refused", None, None),
    ("no_permission", ProviderUnavailableError, "provider_key_refused", None, None),
    ("quota", ProviderUnavailableError, "provider_quota_exceeded", None, None),
    ("quota_with_retry_after", ProviderUnavailableError, "provider_quota_exceeded", None, None),
    ("rate_limit", ProviderError, "provider_rate_limited", None, 1.5),
    ("rate_limit_seconds", ProviderError, "provider_rate_limited", None, 7.0),
    ("rate_limit_bare", ProviderError, "provider_rate_limited", None, None),
    ("unknown_model", ProviderRejectedError, "model_not_found", "model", None),
    ("moderated", ProviderRejectedError, "content_policy_violation", "prompt", None),
    ("policy", ProviderRejectedError, "content_policy_violation", "prompt", None),
    ("image_policy", ProviderRejectedError, "content_policy_violation", "image", None),
    ("bad_image", ProviderRejectedError, "image_refused", "image", None),
    ("too_long", ProviderRejectedError, "text_too_long", "prompt", None),
    ("unknown_parameter", ProviderRejectedError, "provider_rejected", None, None),
    ("unprocessable", ProviderRejectedError, "provider_rejected", None, None),
    ("conflict", ProviderError, "provider_busy", None, None),
    ("no_json", ProviderRejectedError, "provider_rejected", None, None),
    ("error_is_text", ProviderRejectedError, "provider_rejected", None, None),
]
STATES = [  # payload, state, error code, input, retryable
    ("queued", "running", None, None, None),
    ("in_progress", "running", None, None, None),
    ("completed", "succeeded", None, None, None),
    ("cut", "succeeded", None, None, None),
    ("withheld", "failed", "content_policy_violation", "prompt", False),
    ("refused", "failed", "content_policy_violation", "prompt", False),
    ("cancelled", "cancelled", None, None, None),
    ("server_error", "failed", "provider_failed", None, True),
    ("rate_limited", "failed", "provider_rate_limited", None, True),
    ("invalid_prompt", "failed", "content_policy_violation", "prompt", False),
    ("bio_policy", "failed", "content_policy_violation", "prompt", False),
    ("image_too_large", "failed", "image_refused", "image", False),
    ("unheard_of", "failed", "provider_failed", None, False),
]


@pytest.mark.parametrize(("name", "kind", "code", "named", "after"), ERRORS, ids=[e[0] for e in ERRORS])
async def test_an_error_means(provider, tools, name, kind, code, named, after):
    found = tools.payload("errors")[name]
    text = found["body"] if isinstance(found["body"], str) else None
    vendor = tools.canned(found["status"], found["body"], found["headers"], text)
    async with vendor.serving():
        with pytest.raises(kind) as caught:
            await provider("image", vendor).submit(DRAW)
    error = caught.value
    assert (type(error), error.code, error.extra.get("input"), error.retry_after) == (
        kind,
        code,
        named,
        after,
    )
    assert len(vendor.calls) == 1  # a paid call is never sent twice
    if isinstance(found["body"], dict) and isinstance(found["body"].get("error"), dict):
        assert found["body"]["error"]["message"] in error.detail


@pytest.mark.parametrize(("name", "state", "code", "named", "again"), STATES, ids=[s[0] for s in STATES])
async def test_a_state_means(provider, tools, name, state, code, named, again):
    vendor = tools.canned(200, tools.payload("responses")[name])
    async with vendor.serving():
        done = await provider("chat", vendor).poll("resp_0123456789abcdef")
    assert done.state == state
    found = (done.error.code, done.error.input, done.error.retryable) if done.error else (None, None, None)
    assert found == (code, named, again)


async def test_a_state_that_nobody_has_heard_of_is_an_error_to_ask_again(provider, tools):
    vendor = tools.canned(200, tools.payload("responses")["queued"] | {"status": "canceled"})
    async with vendor.serving():
        with pytest.raises(ProviderError) as caught:
            await provider("chat", vendor).poll("resp_1")
    assert (caught.value.code, caught.value.retryable) == ("provider_bad_answer", True)


@pytest.mark.parametrize("mode", ["cut", "lost", "wrong_type", "malformed", "500"])
async def test_a_paid_call_whose_answer_cannot_be_read_has_no_known_outcome(provider, fake, mode):
    fake.fail(mode)
    with pytest.raises(OutcomeUnknownError):
        await provider("image", fake).submit(DRAW)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("mode", ["late", "endless"])
async def test_an_answer_that_does_not_come_in_time_has_no_known_outcome(provider, fake, mode):
    fake.fail(mode)
    with pytest.raises(OutcomeUnknownError, match=r"within 0\.3 s"):
        await provider("image", fake, image_deadline_s=0.3).submit(DRAW)


async def test_a_redirect_is_not_followed_with_the_key(provider, fake):
    fake.fail("redirect")
    with pytest.raises(ProviderRejectedError):
        await provider("image", fake).submit(DRAW)
    assert len(fake.calls) == 1


async def test_nobody_is_there(provider, tools):
    vendor = tools.canned(200, {})
    async with vendor.serving():
        image = provider("image", vendor)
    with pytest.raises(ProviderError) as caught:
        await image.submit(DRAW)
    assert caught.value.code == "provider_unreachable"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:05 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_pause_that_is_asked_for(headers, expected):
    assert retry_after_s(headers, now=10.0) == expected
