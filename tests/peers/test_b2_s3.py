"""The storage plugin and moto's S3 server, botocore and our strict fake, and the signatures of both."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from studio import NotFoundError
from studio.testing import InMemoryDatabase
from studio.testing.kit import Studio, running
from studio_b2.signing import Signer, encoded_path, encoded_query

pytestmark = pytest.mark.peer
SDK = ["boto3==1.44.5", "botocore==1.44.5"]
MOTO = "moto[server]==5.2.5"
READY_S = 120
MIB = 1024 * 1024
AT = datetime(2026, 11, 23, 10, 5, 59, tzinfo=UTC)
HOST = "s3.us-west-004.backblazeb2.com"
SIGNED = [
    ("GET", "/films/a/b.jpg", {}, {}, ""),
    ("HEAD", "/films/ä ö+~!$&'()*,;=:@.jpg", {}, {}, ""),
    ("PUT", "/films/x", {}, {"content-type": "text/plain; charset=utf-8"}, "body é"),
    ("GET", "/films/x", {}, {"range": "bytes=0-0"}, ""),
    ("POST", "/films/x", {"uploads": ""}, {"content-type": "video/mp4"}, ""),
    ("PUT", "/films/x", {"partNumber": "10", "uploadId": "4_z=+/ é&?#"}, {}, "part"),
    ("POST", "/films/x", {"uploadId": "a"}, {}, "<CompleteMultipartUpload/>"),
    ("DELETE", "/films/x", {"versionId": "4_z27c88f1d182b150646ff0b16_f1"}, {}, ""),
    ("GET", "/films/", {"list-type": "2", "prefix": "a b/", "max-keys": "10"}, {}, ""),
]
LINKED = [
    ("GET", "/films/a/b.jpg", {}, 1),
    ("GET", "/films/ä ö.jpg", {}, 604_800),
    ("PUT", "/films/x", {"content-type": "image/jpeg"}, 60),
]


async def test_signatures_are_those_of_botocore(load_fake, oracle, tmp_path):
    fakes = load_fake("s3")
    cases = [
        {
            "method": method,
            "url": f"https://{HOST}{encoded_path(path)}{'?' if query else ''}{encoded_query(query)}",
            "headers": headers,
            "body": body,
        }
        for method, path, query, headers, body in SIGNED
    ]
    cases += [
        {"method": m, "url": f"https://{HOST}{encoded_path(path)}", "headers": h, "body": "", "seconds": s}
        for m, path, h, s in LINKED
    ]
    given = {"key_id": fakes.KEY_ID, "secret": fakes.SECRET, "region": fakes.REGION, "cases": cases}
    (tmp_path / "given.json").write_text(json.dumps(given | {"at": AT.isoformat()}))
    told = json.loads(
        await asyncio.to_thread(oracle, "s3_sdk.py", SDK, "signatures", str(tmp_path / "given.json"))
    )
    signer = Signer(fakes.KEY_ID, fakes.SECRET, fakes.REGION)
    for (method, path, query, headers, body), theirs in zip(SIGNED, told, strict=False):
        digest = hashlib.sha256(body.encode()).hexdigest()
        mine = signer.headers(method, path, query, {"host": HOST, **headers}, digest, AT)
        assert mine["authorization"] == theirs["authorization"]
        assert mine["x-amz-date"] == theirs["x-amz-date"]
        assert mine["x-amz-content-sha256"] == theirs["x-amz-content-sha256"]
    for (method, path, headers, seconds), theirs in zip(LINKED, told[len(SIGNED) :], strict=True):
        query = signer.query(method, path, {"host": HOST, **headers}, seconds, AT)
        assert httpx.URL(f"https://{HOST}{encoded_path(path)}?{query}").params == httpx.URL(theirs).params


async def test_botocore_and_the_strict_fake_agree(load_fake, oracle):
    fakes = load_fake("s3")
    fake = fakes.Fake()
    async with fake.serving():
        known = (fake.url, fakes.KEY_ID, fakes.SECRET, fakes.REGION, fakes.BUCKET)
        told = json.loads(await asyncio.to_thread(oracle, "s3_sdk.py", SDK, "objects", *known))
    assert told == {
        "small": "hello",
        "large": True,
        "linked": [200, "linked"],
        "missing": "NoSuchKey",
        "other_key": "SignatureDoesNotMatch",
        "checksums": "InvalidArgument",
    }
    assert fake.uploads == {}


# ---------------------------------------------------------------- moto


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    """Yield the address of a moto server; it is a child process in an environment of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, uv = f"http://127.0.0.1:{port}", Path(sys.executable).with_name("uv")
    command = [
        uv,
        "run",
        "--quiet",
        "--no-project",
        "--python",
        sys.executable,
        "--with",
        MOTO,
        "moto_server",
    ]
    folder = tmp_path_factory.mktemp("moto")
    with (folder / "moto.log").open("wb") as log:
        child = subprocess.Popen(
            [*command, "-H", "127.0.0.1", "-p", str(port)], cwd=folder, stdout=log, stderr=log, start_new_session=True
        )  # fmt: skip
        try:
            _wait(url, child, folder / "moto.log")
            yield url
        finally:
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(15)


def _wait(url, child, log):
    end = time.monotonic() + READY_S
    while child.poll() is None and time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"moto did not start: {log.read_text()[-1000:]}")


@asynccontextmanager
async def storage_at(url, fakes, folder):
    environ = {
        "STUDIO_ENV": "test",
        "STUDIO_CONFIG_DIR": str(folder),
        "STUDIO_PLUGINS__ENABLED": "b2",
        "STUDIO_LOGGING__LEVEL": "error",
        "STUDIO_B2__CACHE_DIR": str(folder / "cache"),
        "STUDIO_B2__BASE_URL": url,
        "STUDIO_B2__BUCKET": fakes.BUCKET,
        "STUDIO_B2__REGION": fakes.REGION,
        "STUDIO_B2__MULTIPART_BYTES": str(5 * MIB),
        "B2_APPLICATION_KEY_ID": fakes.KEY_ID,
        "B2_APPLICATION_KEY": fakes.SECRET,
    }
    async with running(Studio(environ=environ, database=InMemoryDatabase())) as studio:
        yield studio.services.providers.get("storage", "b2")


async def test_files_go_to_moto_and_back(moto, load_fake, oracle, tmp_path):
    fakes = load_fake("s3")
    known = (moto, fakes.KEY_ID, fakes.SECRET, fakes.REGION, fakes.BUCKET)
    await asyncio.to_thread(oracle, "s3_sdk.py", SDK, "make", *known)
    large = os.urandom(11 * MIB + 7)
    (tmp_path / "small").write_bytes(b"hello")
    (tmp_path / "large").write_bytes(large)
    async with storage_at(moto, fakes, tmp_path) as storage:
        small = await storage.put(tmp_path / "small", "text/vtt")
        film = await storage.put(tmp_path / "large", "video/mp4")
        assert (await storage.put(tmp_path / "large", "video/mp4")).key == film.key
        told = json.loads(
            await asyncio.to_thread(oracle, "s3_sdk.py", SDK, "read", *known, small.key, film.key)
        )
        assert told["files"] == {small.key: [small.sha256, "text/vtt"], film.key: [film.sha256, "video/mp4"]}
        assert (sorted(told["versions"]), told["uploads"]) == (sorted([small.key, film.key]), 0)
        for blob, body in ((small, b"hello"), (film, large)):
            (tmp_path / "cache" / blob.key).unlink()
            assert (await storage.path(blob.key)).read_bytes() == body
        await links(storage, small.key)
        for key in (small.key, film.key):
            await storage.delete(key)
            with pytest.raises(NotFoundError):
                await storage.path(key)
    told = json.loads(await asyncio.to_thread(oracle, "s3_sdk.py", SDK, "read", *known))
    assert (told["versions"], told["uploads"]) == ([], 0)


async def links(storage, key):
    """Store and read over links, with no key at hand."""
    async with httpx.AsyncClient(trust_env=False) as client:
        put = await storage.presign_put(key, "text/vtt", 60)
        assert (
            await client.put(put, content=b"hello", headers={"Content-Type": "text/vtt"})
        ).status_code == 200
        answer = await client.get(await storage.presign_get(key, 60))
        assert (answer.status_code, answer.content) == (200, b"hello")
