"""The vendor's two shapes of an error, as it sends them: what each means to a job."""

from __future__ import annotations

import pytest

from studio import ImageRequest, ProviderError, ProviderRejectedError, ProviderUnavailableError

pytestmark = pytest.mark.http
DRAW = ImageRequest(job_id="j1-1", prompt="A harbour")
ERRORS = [  # payload, exception, code, input, retry_after
    ("wrong_key", ProviderUnavailableError, "provider_key_refused", None, None),
    ("wrong_key_encoded", ProviderUnavailableError, "provider_key_refused", None, None),
    ("wrong_key_nested", ProviderUnavailableError, "provider_key_refused", None, None),
    ("no_header", ProviderUnavailableError, "provider_key_refused", None, None),
    ("blocked", ProviderUnavailableError, "provider_key_refused", None, None),
    ("bad_argument", ProviderRejectedError, "provider_rejected", None, None),
    ("moderated", ProviderRejectedError, "content_policy_violation", "prompt", None),
    ("unknown_model", ProviderRejectedError, "provider_not_found", None, None),
    ("bad_field", ProviderRejectedError, "provider_rejected", None, None),
    ("empty_body", ProviderRejectedError, "provider_rejected", None, None),
    ("rate_limit", ProviderError, "provider_rate_limited", None, 4.0),
    ("rate_limit_bare", ProviderError, "provider_rate_limited", None, None),
    ("no_json", ProviderRejectedError, "provider_rejected", None, None),
]


@pytest.mark.parametrize(("name", "kind", "code", "named", "after"), ERRORS, ids=[e[0] for e in ERRORS])
async def test_an_error_means(provider, tools, name, kind, code, named, after):
    found = tools.payload("errors")[name]
    vendor = tools.canned(found["status"], found["body"], found["headers"])
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


async def test_a_key_that_is_wrong_is_told_though_the_vendor_says_bad_request(provider, fake):
    with pytest.raises(ProviderUnavailableError) as caught:
        await provider("image", fake, api_key="xai-other").submit(DRAW)
    assert caught.value.code == "provider_key_refused"
