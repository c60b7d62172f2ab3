"""The console over HTTP, and the cookie that its calls use."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

import studio_console
from studio.testing.client import serving

pytestmark = pytest.mark.http
SCRIPT = (Path(studio_console.__file__).parent / "static" / "console.js").read_text()
STATIC = re.compile(r'"(/console/static/[^"]+)"')


async def test_root_leads_to_the_console(server):
    answer = await server.get("/", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/console")


async def test_page_forbids_everything_it_does_not_need(server):
    answer = await server.get("/console")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "open the outbox" not in answer.bytes.decode()


async def test_page_files_are_there_and_immutable(server):
    page = (await server.get("/console")).bytes.decode()
    found = set(STATIC.findall(page))
    assert {Path(url.partition("?")[0]).suffix for url in found} == {".js", ".css", ".svg"}
    for url in found:
        answer = await server.get(url)
        assert answer.status == 200, url
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        again = await server.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.bytes) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fplugin.py", "..%2f..%2fpyproject.toml", "%2Fetc%2Fpasswd"]
)
async def test_file_that_is_not_the_pages_is_not_found(server, name):
    assert (await server.get(f"/console/static/{name}")).status == 404


async def test_outbox_outside_development_is_not_found(server):
    assert (await server.get("/console/outbox")).status == 404


async def test_outbox_in_development_shows_the_code(tmp_path):
    async with serving(tmp_path, STUDIO_ENV="development") as client:
        assert "open the outbox" in (await client.get("/console")).bytes.decode()
        await client.post("/api/auth/otp/request", {"email": "ann@example.org"})
        answer = await client.get("/console/outbox")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert f">{client.code_for('ann@example.org')}</p>" in answer.bytes.decode()


async def test_sample_imports_as_three_scenes(client):
    sample = await client.get("/console/sample")
    assert sample.headers["Content-Type"] == "text/plain; charset=utf-8"
    project = (await client.post("/api/workbench/projects", {"name": "Sample"})).json
    body = {"projectId": project["id"], "text": sample.bytes.decode(), "format": "fountain"}
    story = await client.post("/api/stories", body)
    assert story.status == 201, story
    assert (story.json["title"], story.json["sceneCount"], story.json["warnings"]) == ("The Last Reel", 3, [])


async def test_every_address_the_script_calls_exists(server):
    paths = (await server.get("/api/openapi.json")).json["paths"]
    known = {re.sub(r"\{[^}]*\}", "*", path) for path in paths}
    called = {
        re.sub(r"\$\{[^}]*\}", "*", path).partition("?")[0]
        for path in re.findall(r"[\"`](/api/(?:\$\{[^}]*\}|[^\"`$])+)[\"`]", SCRIPT)
    }
    assert len(called) > 25
    assert called <= known, called - known


async def refreshed(server, address, **body):
    await server.post("/api/auth/otp/request", {"email": address})
    code = server.code_for(address)
    pair = await server.post("/api/auth/otp/verify", {"email": address, "code": code, "cookie": True})
    assert pair.status == 200, pair
    return await server.post("/api/auth/refresh", {"refreshToken": pair.json["refreshToken"], **body})


async def test_refresh_with_cookie_renews_the_cookie(server):
    answer = await refreshed(server, "cookie@example.org", cookie=True)
    cookie = SimpleCookie(answer.headers["Set-Cookie"])["studio_session"]
    assert cookie.value == answer.json["accessToken"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
    assert int(cookie["max-age"]) == answer.json["expiresIn"]


async def test_refresh_without_cookie_sets_none(server):
    answer = await refreshed(server, "token@example.org")
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers
