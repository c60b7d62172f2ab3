"""Storage against a strict S3 fake, through the wrapper that features use."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession

import studio
from studio import (
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
    StorageFullError,
)

pytestmark = pytest.mark.http
MIB = 1024 * 1024
SMALL = {"multipart_bytes": 5 * MIB}
NOBODY = f"ab/ab{'0' * 62}.jpg"


@pytest.fixture
def file(tmp_path):
    def make(body=b"hello", name="source"):
        path = tmp_path / name
        path.write_bytes(body)
        return path

    return make


def current(fake, key):
    return fake.files[key][-1]


async def emptied(storage, key):
    """Forget the local copy, so that the next reader has to fetch."""
    await storage._target._cache.drop(key)


async def test_file_is_stored_under_its_digest_and_read_again(storage, fake, file):
    blob = await storage.put(file(), "text/vtt")
    digest = hashlib.sha256(b"hello").hexdigest()
    assert (blob.key, blob.sha256, blob.bytes, blob.mime) == (
        f"{digest[:2]}/{digest}.vtt",
        digest,
        5,
        "text/vtt",
    )
    assert (current(fake, blob.key).body, current(fake, blob.key).mime) == (b"hello", "text/vtt")
    await emptied(storage, blob.key)
    path = await storage.path(blob.key)
    assert (path.read_bytes(), path.suffix) == (b"hello", ".vtt")
    assert isinstance(storage._target, studio.FileStorage)


async def test_no_checksum_header_is_sent(open_storage, fake, file):
    async with open_storage(**SMALL) as storage:
        blob = await storage.put(file(os.urandom(11 * MIB)), "video/mp4")
        await emptied(storage, blob.key)
        await storage.path(blob.key)
        await storage.delete(blob.key)
    named = {name for call in fake.calls for name in call.headers}
    assert not [
        name for name in named if "checksum" in name or "trailer" in name or name.startswith("amz-sdk")
    ]
    assert {call.method for call in fake.calls} == {"HEAD", "POST", "PUT", "GET", "DELETE"}


async def test_equal_bytes_are_sent_once(storage, fake, file):
    for name in ("a", "b"):
        blob = await storage.put(file(b"same", name), "image/jpeg")
    assert len(fake.asked("PUT")) == 1
    assert len(fake.files[blob.key]) == 1


async def test_empty_file_can_be_stored(storage, file):
    blob = await storage.put(file(b""), "text/vtt")
    await emptied(storage, blob.key)
    assert (await storage.path(blob.key)).read_bytes() == b""


async def test_prefix_stands_in_the_bucket_only(open_storage, fake, file):
    async with open_storage(prefix="films/2026/") as storage:
        blob = await storage.put(file(), "audio/wav")
        await emptied(storage, blob.key)
        await storage.path(blob.key)
        assert "/films/2026/" in await storage.presign_get(blob.key, 60)
    assert list(fake.files) == [f"films/2026/{blob.key}"]


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize(("size", "parts"), [(5 * MIB - 1, 0), (5 * MIB, 1), (5 * MIB + 1, 2), (11 * MIB, 3)])
async def test_large_file_goes_in_parts(open_storage, fake, file, size, parts):
    body = os.urandom(size)
    async with open_storage(**SMALL) as storage:
        blob = await storage.put(file(body), "video/mp4")
        assert (current(fake, blob.key).body, current(fake, blob.key).mime) == (body, "video/mp4")
        await emptied(storage, blob.key)
        assert (await storage.path(blob.key)).read_bytes() == body
    assert len([call for call in fake.asked("PUT") if "partNumber" in call.query]) == parts
    assert fake.uploads == {}


async def test_part_that_is_refused_drops_the_upload(open_storage, fake, file):
    fake.refusals.append(
        (r"PUT .*partNumber=2", 403, "AccessDenied", "Cannot upload files, storage cap exceeded.")
    )
    async with open_storage(**SMALL) as storage:
        with pytest.raises(StorageFullError):
            await storage.put(file(os.urandom(11 * MIB)), "video/mp4")
    assert (fake.uploads, fake.files) == ({}, {})


async def test_upload_that_is_cancelled_is_dropped(open_storage, fake, file, monkeypatch):
    entered = asyncio.Event()

    async def hang(request):
        if "partNumber=2" in request.query_string:
            entered.set()
            await asyncio.sleep(30)
        return await call(request)

    call = fake.call
    monkeypatch.setattr(fake, "call", hang)
    async with fake.serving(), open_storage(base_url=fake.url, **SMALL) as storage:
        task = asyncio.create_task(storage.put(file(os.urandom(11 * MIB)), "video/mp4"))
        await entered.wait()
        assert len(fake.uploads) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (fake.uploads, fake.files) == ({}, {})


async def test_upload_that_cannot_be_dropped_tells_why_it_failed(open_storage, fake, file):
    fake.refusals += [
        ("PUT .*partNumber=1", 400, "InvalidArgument", "no"),
        ("DELETE .*uploadId", 403, "AccessDenied", "not entitled"),
    ]  # fmt: skip
    async with open_storage(**SMALL) as storage:
        with pytest.raises(studio.StudioError) as raised:
            await storage.put(file(os.urandom(5 * MIB)), "video/mp4")
    assert raised.value.code == "provider_rejected"


async def test_completion_that_says_yes_and_then_no_is_an_error(open_storage, fake, file):
    fake.late_error = True
    async with open_storage(**SMALL) as storage:
        with pytest.raises(ProviderError, match="InternalError"):
            await storage.put(file(os.urandom(5 * MIB)), "video/mp4")
    assert (fake.uploads, fake.files) == ({}, {})


async def test_completion_whose_answer_is_lost_is_found_to_be_done(open_storage, fake, file):
    fake.lose_completion = True
    body = os.urandom(6 * MIB)
    async with open_storage(**SMALL) as storage:
        blob = await storage.put(file(body), "video/mp4")
    assert current(fake, blob.key).body == body


async def test_upload_that_vanished_is_told(open_storage, fake, file):
    fake.refusals.append(("POST .*uploadId", 404, "NoSuchUpload", "gone"))
    async with open_storage(**SMALL) as storage:
        with pytest.raises(ProviderError) as raised:
            await storage.put(file(os.urandom(5 * MIB)), "video/mp4")
    assert raised.value.code == "upload_gone"


@pytest.mark.parametrize("size", [10, 6 * MIB])
async def test_file_that_changes_while_it_is_stored_is_not_stored(open_storage, fake, file, size):
    source = file(bytes(size))
    async with open_storage(**SMALL) as storage:
        head = storage._target._client.head

        async def change(key):
            source.write_bytes(b"\1" * size)
            return await head(key)

        storage._target._client.head = change
        with pytest.raises(ProviderError) as raised:
            await storage.put(source, "video/mp4")
    assert raised.value.code == "file_changed"
    assert (fake.uploads, fake.files) == ({}, {})


async def test_file_beyond_the_limit_is_refused_before_a_call(open_storage, fake, file):
    async with open_storage(max_file_bytes=100) as storage:
        with pytest.raises(PayloadTooLargeError):
            await storage.put(file(bytes(101)), "video/mp4")
    assert fake.calls == []


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("mode", ["500", "cut", "lost", "429"])
async def test_call_is_repeated_and_stores_once(storage, fake, file, mode):
    fake.retry_after_s = 0
    fake.fail(mode, times=3)
    blob = await storage.put(file(), "image/jpeg")
    assert current(fake, blob.key).body == b"hello"
    fake.fail(mode, times=3)
    await emptied(storage, blob.key)
    assert (await storage.path(blob.key)).read_bytes() == b"hello"


async def test_slow_down_is_repeated_and_given_up(storage, fake, file):
    fake.refusals += [("PUT", 503, "SlowDown", "Please slow down")] * 3
    await storage.put(file(), "image/jpeg")
    fake.refusals += [("PUT", 503, "SlowDown", "Please slow down")] * 4
    with pytest.raises(ProviderError):
        await storage.put(file(b"other"), "image/jpeg")
    assert fake.refusals == []


async def test_upload_in_parts_survives_faults(open_storage, fake, file):
    fake.refusals += [
        ("POST .*uploads", 503, "SlowDown", ""),
        ("partNumber=1", 500, "InternalError", ""),
        ("POST .*uploadId", 503, "", ""),
    ]
    async with open_storage(**SMALL) as storage:
        blob = await storage.put(file(os.urandom(6 * MIB)), "video/mp4")
    assert len(current(fake, blob.key).body) == 6 * MIB


@pytest.mark.parametrize(
    ("status", "code", "message", "error"),
    [
        (403, "InvalidAccessKeyId", "no", ProviderUnavailableError),
        (403, "AccessDenied", "Transaction cap exceeded", ProviderUnavailableError),
        (403, "AccessDenied", "Cannot upload files, storage cap exceeded.", StorageFullError),
        (404, "NoSuchBucket", "no", ProviderRejectedError),
    ],
)
async def test_refusal_is_told(storage, fake, file, status, code, message, error):
    fake.refusals.append(("PUT", status, code, message))
    with pytest.raises(error) as raised:
        await storage.put(file(), "image/jpeg")
    assert type(raised.value) is error


async def test_wrong_key_is_told_and_not_shown(open_storage, fakes, file):
    async with open_storage(application_key="K004WrongApplicationKey") as storage:
        with pytest.raises(ProviderUnavailableError) as raised:
            await storage.put(file(), "image/jpeg")
    assert "K004Wrong" not in raised.value.detail
    assert raised.value.code == "provider_key_refused"


async def test_download_that_is_refused_says_why(storage, fake, file):
    blob = await storage.put(file(), "image/jpeg")
    await emptied(storage, blob.key)
    fake.refusals += [("GET", 403, "AccessDenied", "Transaction cap exceeded")] * 2
    with pytest.raises(ProviderUnavailableError, match="cap exceeded"):
        await storage.path(blob.key)


async def test_call_that_takes_too_long_ends(open_storage, fake, file):
    fake.fail("late", times=9)
    async with open_storage(call_deadline_s=0.3) as storage:
        with pytest.raises(ProviderError):
            await storage.put(file(), "image/jpeg")


# ---------------------------------------------------------------- reading and removing


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", NOBODY, "", "/etc/passwd", NOBODY + "?x", NOBODY.upper()]
)
async def test_unknown_and_foreign_keys_are_not_found(storage, key):
    with pytest.raises(NotFoundError):
        await storage.path(key)
    await storage.delete(key)


async def test_file_is_fetched_once_however_many_ask(storage, fake, file):
    blob = await storage.put(file(), "image/jpeg")
    await emptied(storage, blob.key)
    paths = await asyncio.gather(*(storage.path(blob.key) for _ in range(8)))
    assert len(set(paths)) == 1
    assert len(fake.asked("GET")) == 1
    assert storage._target._cache._locks == {}


async def test_stored_file_need_not_be_fetched(storage, fake, file):
    blob = await storage.put(file(), "image/jpeg")
    assert (await storage.path(blob.key)).read_bytes() == b"hello"
    assert fake.asked("GET") == []


async def test_other_bytes_than_were_stored_are_refused(storage, fake, file, tmp_path):
    blob = await storage.put(file(), "image/jpeg")
    await emptied(storage, blob.key)
    current(fake, blob.key).body = b"hellO"
    with pytest.raises(ProviderError) as raised:
        await storage.path(blob.key)
    assert raised.value.code == "provider_bad_answer"
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


async def test_cache_keeps_what_was_asked_for_last(open_storage, file, tmp_path):
    async with open_storage(cache_bytes=2_500) as storage:
        blobs = [await storage.put(file(bytes([n]) * 1_000, f"f{n}"), "audio/wav") for n in range(2)]
        old = time.time() - 3_600
        for number, blob in enumerate(blobs):
            os.utime(tmp_path / "cache" / blob.key, (old + number, old + number))
        await storage.path(blobs[0].key)  # asked for now: the other one goes
        third = await storage.put(file(b"x" * 1_000), "audio/wav")
        kept = {path.name for path in (tmp_path / "cache").glob("??/*")}
        assert kept == {blobs[0].key[3:], third.key[3:]}
        assert (await storage.path(blobs[1].key)).read_bytes() == b"\1" * 1_000


async def test_parts_of_a_process_that_died_are_removed_and_those_of_a_running_one_stay(
    open_storage, file, tmp_path
):
    cache = tmp_path / "cache"
    cache.mkdir()
    dead, running = cache / ".part-0123456789abcdef", cache / ".part-fedcba9876543210"
    for part in (dead, running):
        part.write_bytes(b"half")
    old = time.time() - 61
    os.utime(dead, (old, old))
    async with open_storage(deadline_s=60) as storage:
        await storage.put(file(), "image/jpeg")
    assert list(cache.glob(".part-*")) == [running]


async def test_file_larger_than_the_cache_is_stored_without_a_copy(open_storage, file, tmp_path):
    async with open_storage(cache_bytes=10) as storage:
        await storage.put(file(bytes(100)), "audio/wav")
    assert list((tmp_path / "cache").glob("??/*")) == []


async def test_removed_file_is_gone_with_all_its_versions(storage, fake, file):
    blob = await storage.put(file(), "audio/wav")
    fake._store(blob.key, b"hello", "audio/wav")
    for _ in range(2):
        await storage.delete(blob.key)
    assert fake.files[blob.key] == []
    with pytest.raises(NotFoundError):
        await storage.path(blob.key)


async def test_file_that_cannot_be_removed_is_told(storage, fake, file, monkeypatch):
    blob = await storage.put(file(), "audio/wav")
    monkeypatch.setattr(storage._target._client, "remove", lambda *_: asyncio.sleep(0))
    with pytest.raises(ProviderError, match="keeps the file"):
        await storage.delete(blob.key)


# ---------------------------------------------------------------- links


async def test_links_work_without_a_key(storage, fake):
    key = f"2c/{hashlib.sha256(b'hello').hexdigest()}.jpg"
    put = await storage.presign_put(key, "image/jpeg", 60)
    got = await storage.presign_get(key, 604_800)
    async with ClientSession() as session:
        async with session.put(put, data=b"hello", headers={"Content-Type": "image/jpeg"}) as answer:
            assert answer.status == 200, await answer.text()
        async with session.get(got) as answer:
            assert (answer.status, await answer.read()) == (200, b"hello")
    assert parse_qs(urlsplit(put).query)["X-Amz-SignedHeaders"] == ["content-type;host"]


async def test_link_is_good_for_what_it_was_made_for_only(storage, fake, file):
    blob = await storage.put(file(), "image/jpeg")
    got, put = await storage.presign_get(blob.key, 60), await storage.presign_put(blob.key, "image/jpeg", 60)
    async with ClientSession() as session:
        for method, url, headers in (
            ("PUT", got, {}), ("GET", put, {}), ("PUT", put, {"Content-Type": "text/html"}), ("DELETE", got, {}),
            ("GET", got.replace(blob.key[3:20], "0" * 17), {}), ("GET", got.replace("Expires=60", "Expires=600"), {}),
            ("GET", got + "&versionId=x", {}), ("GET", re.sub("Signature=.", "Signature=", got), {}),
        ):  # fmt: skip
            async with session.request(
                method, url, headers=headers, data=b"x" if method == "PUT" else None
            ) as answer:
                assert answer.status == 403, (method, url)


async def test_link_ends(storage, fake, file, monkeypatch, fakes):
    blob = await storage.put(file(), "image/jpeg")
    url = await storage.presign_get(blob.key, 1)
    now = time.time() + 2
    monkeypatch.setattr(fakes.time, "time", lambda: now)
    async with ClientSession() as session, session.get(url) as answer:
        assert answer.status == 403
        assert "expired" in await answer.text()


@pytest.mark.parametrize("seconds", [0, -1, 604_801])
async def test_link_is_for_a_second_to_seven_days(storage, seconds):
    with pytest.raises(InvalidInputError):
        await storage.presign_get(NOBODY, seconds)
    with pytest.raises(InvalidInputError):
        await storage.presign_put(NOBODY, "image/jpeg", seconds)


async def test_link_for_a_foreign_key_or_type_is_refused(storage):
    with pytest.raises(NotFoundError):
        await storage.presign_get("../secret", 60)
    with pytest.raises(InvalidInputError):
        await storage.presign_put(NOBODY, "image/jpeg\r\nx: y", 60)


# ---------------------------------------------------------------- configuration


async def test_without_a_key_it_says_what_to_set(started):
    async with started(STUDIO_B2__BUCKET="films") as platform:
        with pytest.raises(
            ProviderUnavailableError, match="set STUDIO_B2__KEY_ID, STUDIO_B2__APPLICATION_KEY"
        ):
            platform.services.providers.get("storage", "b2")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGION", "us-west-004.example.org"), ("REGION", "evil"), ("BUCKET", "a/b"), ("BUCKET", ".."),
        ("PREFIX", "/x"),
        ("PREFIX", "x"), ("PREFIX", "a b/"), ("BASE_URL", "https://example.org"), ("MULTIPART_BYTES", "1000"),
    ],
)  # fmt: skip
async def test_configuration_that_cannot_work_is_refused(started, name, value):
    with pytest.raises(studio.ConfigError, match=name.lower()):
        async with started(**{f"STUDIO_B2__{name}": value}):
            pass


def test_address_is_that_of_the_region():
    from studio_b2.settings import B2Settings

    assert B2Settings(region="eu-central-003").address == "https://s3.eu-central-003.backblazeb2.com"
