from __future__ import annotations

import pytest
from pydantic import ValidationError

from studio_oidc.settings import OidcSettings

pytestmark = pytest.mark.pure


def settings(issuer="https://id.example.org", return_url="/", name="house", **more):
    provider = {"issuer": issuer, "client_id": "x", **more}
    return OidcSettings.model_validate({"providers": {name: provider}, "return_url": return_url})


@pytest.mark.parametrize(
    "issuer",
    ["http://id.example.org", "https://", "id.example.org", "https://id.example.org?x=1", "https://a#b"],
)
def test_issuer_that_is_no_safe_address_is_refused(issuer):
    with pytest.raises(ValidationError, match="issuer"):
        settings(issuer)


def test_plain_http_is_for_a_provider_of_the_own_network_that_was_named():
    assert settings("http://10.0.0.5:8080", allow_private=True).providers["house"].allow_private


@pytest.mark.parametrize(
    "url", ["//evil.example", "/\\evil.example", "javascript:alert(1)", "ftp://x", "/a b", "/#x", "/a#x", ""]
)
def test_place_to_return_to_is_no_other_scheme_and_no_host_in_disguise(url):
    with pytest.raises(ValidationError, match="return_url"):
        settings(return_url=url)


@pytest.mark.parametrize("url", ["/", "/console", "https://studio.example/app?x=1"])
def test_place_to_return_to_is_a_path_here_or_a_front_end(url):
    assert settings(return_url=url).return_url == url


@pytest.mark.parametrize("name", ["House", "a/b", "", "../x", "a" * 41])
def test_name_that_would_be_another_address_is_refused(name):
    with pytest.raises(ValidationError):
        settings(name=name)


def test_secret_is_not_shown():
    assert "hush" not in repr(settings(client_secret="hush"))
