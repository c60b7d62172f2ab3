"""What a client may send that is no honest HTTP: each is refused, none is taken for two requests, others are served."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from structlog.testing import capture_logs

pytestmark = pytest.mark.http
ORIGIN = b"POST /api/auth/otp/request HTTP/1.1\r\nHost: studio\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: studio\r\n\r\n"
SILENT_S = 1.0
AMBIGUOUS = {
    "length and chunks": ORIGIN
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunks and length": ORIGIN
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two lengths": ORIGIN + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}" + SMUGGLED,
    "list of lengths": ORIGIN + b"Content-Length: 2, 40\r\n\r\n{}" + SMUGGLED,
    "signed length": ORIGIN + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "negative length": ORIGIN + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "length of other digits": ORIGIN + "Content-Length: \u0662\r\n\r\n{}".encode() + SMUGGLED,
    "unknown coding": ORIGIN + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "coding behind chunks": ORIGIN + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two codings": ORIGIN
    + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "folded header": ORIGIN + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "space before the colon": ORIGIN + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bare line feeds": ORIGIN.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\n{}" + SMUGGLED,
    "bare carriage return": ORIGIN + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "null in a header": ORIGIN + b"X-A: b\x00c\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
    "chunk size that is none": ORIGIN + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "huge chunk size": ORIGIN
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + b"f" * 20
    + b"\r\n{}\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunk longer than it says": ORIGIN
    + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunk ended by a bare line feed": ORIGIN + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + SMUGGLED,
}


async def exchange(server, data):
    """Send bytes as they are; return what comes back until the connection ends or falls silent for a second."""
    port = int(server._base.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        writer.write(data)
        while True:
            async with asyncio.timeout(SILENT_S):
                more = await reader.read(65_536)
            if not more:
                return found
            found += more
    except (ConnectionError, TimeoutError):
        return found
    finally:
        writer.close()


def statuses(answer):
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


async def serves(server):
    assert (await server.get("/healthz")).status == 200


@pytest.mark.parametrize("attack", AMBIGUOUS)
async def test_request_with_two_meanings_is_refused_and_hides_no_second_one(server, attack):
    found = statuses(await exchange(server, AMBIGUOUS[attack]))
    assert 200 not in found, "the smuggled request was answered"
    assert 202 not in found, "the ambiguous request was carried out"
    assert len(found) <= 1
    assert all(400 <= status < 500 or status == 501 for status in found)
    await serves(server)


async def test_smuggled_bytes_would_be_seen_here(server):
    """The check above can fail: two honest requests on one connection get two answers."""
    good = (
        ORIGIN
        + b"Content-Length: 2\r\n\r\n{}"
        + SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )
    assert statuses(await exchange(server, good)) == [422, 200]


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND"])
async def test_method_that_nothing_needs_is_refused_and_echoes_nothing(server, method):
    head = f"{method} /api/auth/me HTTP/1.1\r\nHost: studio\r\nX-Canary: zq7echo\r\nConnection: close\r\n\r\n"
    answer = await exchange(server, head.encode())
    assert statuses(answer) in ([400], [404], [405], [501])
    assert b"zq7echo" not in answer
    assert b"aiohttp" not in answer.lower()
    assert b"python" not in answer.lower()


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 50_000 + b"\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 10_000,
    ],
    ids=["long address", "long header", "many headers", "version", "address", "tls", "http2", "nulls"],
)
async def test_head_that_is_none_gets_400_or_nothing(server, head):
    answer = await exchange(server, head)
    assert all(400 <= status < 500 or status == 505 for status in statuses(answer)), answer[:200]
    assert b"Traceback" not in answer
    if answer:
        assert b"application/problem+json" in answer
        assert b"nosniff" in answer
        assert head[:60].strip(b"\0") not in answer or not head.strip(b"\0"), "what was sent is quoted"
    await serves(server)


async def test_thousand_chunks_of_a_byte_from_a_hundred_clients_delay_nobody(server):
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"email":"' + b"a" * 990)
    attack = ORIGIN + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    clients = asyncio.gather(*(exchange(server, attack) for _ in range(100)))
    asked = await asyncio.gather(*(server.get("/healthz") for _ in range(20)))
    assert [answer.status for answer in asked] == [200] * 20
    assert {status for answer in await clients for status in statuses(answer)} <= {400, 422}


async def test_hundred_thousand_trailers_are_not_kept(server):
    trailers = b"".join(b"X-T%d: v\r\n" % number for number in range(100_000))
    attack = ORIGIN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n"
    answer = await exchange(server, attack)
    assert statuses(answer) in ([], [400], [422])
    await serves(server)


async def test_thousands_of_bad_cookies_write_no_thousands_of_lines(server, caplog):
    bad = "; ".join(f"a{number}\u00e9[]={number}" for number in range(600))
    with capture_logs() as lines, caplog.at_level(logging.INFO):
        for _ in range(8):
            answer = await server.get("/api/auth/me", headers={"Cookie": bad})
            assert answer.status in (400, 401)
    ours = [
        r for r in caplog.records if r.name.startswith(("aiohttp", "studio")) and r.name != "aiohttp.access"
    ]
    assert len(lines) + len(ours) <= 16, "a line or two per request, not one per cookie"
