"""Inputs that are too large for one PUT: in parts through the CDN, with a token of its own."""

from __future__ import annotations

import pytest

from studio import ProviderError, VideoRequest
from studio_fal import storage

pytestmark = pytest.mark.http
PART = 64_000


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Return a picture of two parts and a bit, where parts are small."""
    monkeypatch.setattr(storage, "WHOLE_BYTES", 100_000)
    monkeypatch.setattr(storage, "PART_BYTES", PART)
    monkeypatch.setattr("studio_fal.client.INLINE_BYTES", 1_000)
    path = tmp_path / "large.png"
    path.write_bytes(bytes(range(256)) * 600)
    return path


def film(path):
    return VideoRequest(job_id="j", image=path, duration_ms=2000)


async def test_a_large_file_goes_in_parts_and_the_key_stays_at_home(make, fake, module, large):
    await make("video").submit(film(large))
    ((name, stored),) = fake.files.items()
    assert stored == ("image/png", large.read_bytes())
    (call,) = fake.asked("POST", "image-to-video$")
    assert call.json["image_url"] == f"{fake.url}/files/fake/{name}"
    parts = sorted(fake.asked("PUT"), key=lambda call: call.path)
    assert [len(call.body) for call in parts] == [PART, PART, 25_600]
    cdn = [call for call in fake.calls if call.path.startswith("/files/")]
    assert {call.headers["authorization"] for call in cdn} == {f"Bearer {module.CDN_TOKEN}"}
    assert cdn[0].headers["x-fal-file-name"] == "input.png"


async def test_a_token_serves_until_it_is_about_to_end(make, fake, large):
    video = make("video")
    for _ in range(2):
        await video.submit(film(large))
    assert len(fake.asked("POST", "/storage/auth/token$")) == 1
    fake.token_lives_s = 100
    other = make("video")
    for _ in range(2):
        await other.submit(film(large))
    assert len(fake.asked("POST", "/storage/auth/token$")) == 3


async def test_a_file_of_one_put_asks_for_no_token(make, fake, large):
    large.write_bytes(b"x" * 50_000)
    await make("video").submit(film(large))
    assert fake.asked("POST", "/storage/auth/token$") == []
    assert len(fake.asked("PUT", "^/upload/")) == 1


@pytest.mark.parametrize(
    ("mode", "where", "code"),
    [
        ("500", "auth/token$", "provider_failed"),
        ("malformed", "auth/token$", "upload_failed"),
        ("wrong_type", "auth/token$", "upload_failed"),
        ("wrong_type", "upload/multipart$", "upload_failed"),
        ("422", "upload/multipart$", "upload_failed"),
        ("500", "/2$", "provider_failed"),
        ("413", "/2$", "upload_failed"),
        ("malformed", "/2$", "upload_failed"),
        ("huge", "/complete$", "upload_failed"),
        ("redirect", "/complete$", "upload_failed"),
    ],
)
async def test_an_upload_that_fails_queues_nothing_and_may_be_repeated(make, fake, large, mode, where, code):
    fake.fail(mode, where, times=9)
    with pytest.raises(ProviderError) as raised:
        await make("video", deadline_s=5).submit(film(large))
    assert (raised.value.code, raised.value.retryable) == (code, True)
    assert fake.requests == {}
    assert fake.files == {}


async def test_a_part_that_gets_lost_is_sent_again(make, fake, large):
    fake.fail("cut", "/2$", times=2)
    await make("video", deadline_s=5).submit(film(large))
    ((_, stored),) = fake.files.values()
    assert stored == large.read_bytes()
    assert len(fake.asked("PUT", "/2$")) == 3


@pytest.mark.parametrize(
    "cdn", ["https://evil.example", "http://v3.fal.media", "https://u:p@v3.fal.media", "x"]
)
async def test_a_cdn_elsewhere_gets_neither_file_nor_token(make, fake, large, cdn):
    fake.cdn = cdn
    with pytest.raises(ProviderError) as raised:
        await make("video").submit(film(large))
    assert raised.value.code == "upload_failed"
    assert [call.path for call in fake.calls] == ["/storage/auth/token"]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example", "https://fal.media.evil.example", "http://fal.media"]
)
async def test_parts_go_nowhere_but_to_named_hosts(make, fake, large, elsewhere):
    """The address of the file comes with the answer, and the token would go there."""
    fake.cdn, fake.url = fake.url, elsewhere
    with pytest.raises(ProviderError) as raised:
        await make("video", queue_url=fake.cdn, rest_url=fake.cdn).submit(film(large))
    assert raised.value.code == "upload_failed"
    assert fake.asked("PUT") == []


@pytest.mark.parametrize("elsewhere", ["https://[", "ftp://fal.media"])
async def test_an_address_that_is_none_takes_no_file_and_nothing_has_begun(make, fake, large, elsewhere):
    large.write_bytes(b"x" * 50_000)
    here, fake.url = fake.url, elsewhere
    with pytest.raises(ProviderError) as raised:
        await make("video", queue_url=here, rest_url=here).submit(film(large))
    assert (raised.value.code, raised.value.retryable) == ("upload_failed", True)
    assert fake.requests == {}
