"""Typed routes do without aiohttp's router; everything else is as aiohttp has it."""

from __future__ import annotations

import asyncio

import pytest

from studio import PUBLIC, Model, Route

pytestmark = pytest.mark.http


class Word(Model):
    word: str


async def say(request, word: str) -> Word:
    assert request.raw.app is request.raw.match_info.current_app
    return Word(word=word)


async def echo(request, body: Word) -> Word:
    return body


ROUTES = [Route("GET", "/api/words/{word}", say, PUBLIC), Route("POST", "/api/words", echo, PUBLIC)]


@pytest.fixture
async def client(serve, monkeypatch):
    """A client that counts what goes by aiohttp's router, in `client.routed`."""
    client = (await serve(*ROUTES)).client
    router, client.routed = client.app.router, []
    resolve = router.resolve

    async def counted(request):
        client.routed.append(request.path)
        return await resolve(request)

    monkeypatch.setattr(router, "resolve", counted)
    return client


async def test_typed_route_does_without_the_router(client):
    answer = await client.get("/api/words/sea%2Fnight")
    assert (answer.status, await answer.json(), client.routed) == (200, {"word": "sea/night"}, [])


async def test_unknown_path_and_method_go_by_the_router(client):
    assert (await client.get("/api/nothing")).status == 404
    refused = await client.delete("/api/words")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    assert client.routed == ["/api/nothing", "/api/words"]


async def test_client_that_waits_for_100_continue_hears_it(client):
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = b'{"word": "fog"}'
    head = "POST /api/words HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        assert b" 100 Continue" in await reader.readuntil(b"\r\n\r\n")
        writer.write(body)
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert client.routed == ["/api/words"]


async def test_body_over_the_limit_that_says_no_length_is_refused(serve):
    house = await serve(Route("POST", "/api/words", echo, PUBLIC, body_limit=50))
    long = b'{"word": "' + b"x" * 100 + b'"}'

    async def chunks():
        yield long

    kind = {"Content-Type": "application/json"}
    assert (await house.client.post("/api/words", data=chunks(), headers=kind)).status == 413
    assert (await house.client.post("/api/words", data=long, headers=kind)).status == 413
