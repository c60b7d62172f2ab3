from __future__ import annotations

import asyncio
from collections import Counter

import pytest

pytestmark = pytest.mark.http
OTP, ME, PROJECTS = "/api/auth/otp/request", "/api/auth/me", "/api/workbench/projects"


async def statuses(calls):
    return Counter(answer.status for answer in await asyncio.gather(*calls))


async def test_a_hundred_sign_ins_with_forged_addresses_are_limited(limited):
    async with limited(auth="2/600") as client:
        found = await statuses(
            client.post(OTP, {"email": f"u{n}@example.org"}, headers={"X-Forwarded-For": f"9.9.{n}.1"})
            for n in range(100)
        )
        assert found == {202: 2, 429: 98}


async def test_behind_a_trusted_proxy_each_client_has_its_own_count(limited):
    async with limited(auth="2/600", STUDIO_SERVER__TRUSTED_PROXIES="127.0.0.1") as client:
        for address in ("9.9.9.1", "9.9.9.2, 127.0.0.1", "6.6.6.6, 9.9.9.3"):
            headers = {"X-Forwarded-For": address}
            found = await statuses(client.post(OTP, {"email": "a@b.org"}, headers=headers) for _ in range(5))
            assert found == {202: 2, 429: 3}
        spoofed = {"X-Forwarded-For": "8.8.8.8, 9.9.9.1"}  # what the client itself wrote stands before
        assert (await client.post(OTP, {"email": "a@b.org"}, headers=spoofed)).status == 429


async def test_the_addresses_of_one_ipv6_network_are_one_caller(limited):
    async with limited(auth="2/600", STUDIO_SERVER__TRUSTED_PROXIES="127.0.0.1") as client:
        found = await statuses(
            client.post(OTP, {"email": "a@b.org"}, headers={"X-Forwarded-For": f"2001:db8:0:1::{n:x}"})
            for n in range(1, 20)
        )
        assert found == {202: 2, 429: 17}
        other = {"X-Forwarded-For": "2001:db8:0:2::1"}
        assert (await client.post(OTP, {"email": "a@b.org"}, headers=other)).status == 202


async def test_refusal_tells_when_to_come_back(limited):
    async with limited(auth="2/600") as client:
        for _ in range(2):
            await client.post(OTP, {"email": "a@b.org"})
        answer = await client.post(OTP, {"email": "a@b.org"})
        assert (answer.status, answer.json["code"]) == (429, "rate_limited")
        seconds = int(answer.headers["Retry-After"])
        assert 0 < seconds <= 1200
        assert answer.json["retryWith"] == [{"action": "wait", "afterS": seconds}]
        assert answer.headers["RateLimit-Policy"] == '"auth";q=2;w=600'
        assert answer.headers["RateLimit"] == f'"auth";r=0;t={seconds}'
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_sign_in_and_check_of_the_code_are_counted_apart(limited):
    async with limited(auth="2/600") as client:
        await client.sign_in("a@example.org")
        assert (await client.post(OTP, {"email": "a@example.org"})).status == 202
        assert (await client.post(OTP, {"email": "a@example.org"})).status == 429


async def test_an_own_account_buys_no_tries_at_another(limited):
    async with limited(auth="3/600") as client:
        mine = await client.sign_in("mallory@example.org")
        verify = ("/api/auth/otp/verify", {"email": "ann@example.org", "code": "000000"})
        found = await statuses(
            [*(mine.post(*verify) for _ in range(5)), *(client.post(*verify) for _ in range(5))]
        )
        assert found[429] == 8  # one of three went to the sign-in


async def test_users_of_one_address_do_not_share_a_count(limited):
    async with limited(all="12/600") as client:
        ann, bob = await client.sign_in("ann@example.org"), await client.sign_in("bob@example.org")
        assert (await statuses(ann.get(ME) for _ in range(20)))[200] == 12
        assert (await statuses(bob.get(ME) for _ in range(20)))[200] == 12


async def test_sessions_of_one_user_share_a_count(limited):
    async with limited(all="12/600") as client:
        one, two = await client.sign_in("ann@example.org"), await client.sign_in("ann@example.org")
        found = await statuses([*(one.get(ME) for _ in range(10)), *(two.get(ME) for _ in range(10))])
        assert found[200] == 12


async def test_invented_tokens_count_for_the_address(limited):
    async with limited(all="10/600") as client:
        found = await statuses(
            client.get(ME, headers={"Authorization": f"Bearer {n}.{n}.{n}"}) for n in range(50)
        )
        assert found == {401: 10, 429: 40}
        assert (await client.get("/api/capabilities")).status == 429


async def test_a_busy_address_does_not_lock_out_who_is_signed_in_there(limited):
    async with limited(all="10/600") as client:
        ann = await client.sign_in("ann@example.org")
        assert (await ann.get(ME)).status == 200
        assert (await statuses(client.get("/api/capabilities") for _ in range(30)))[429] > 0
        assert (await ann.get(ME)).status == 200


async def test_creates_are_counted_by_user_and_route(limited):
    async with limited(create="3/600") as client:
        ann, bob = await client.sign_in("ann@example.org"), await client.sign_in("bob@example.org")
        made = await statuses(ann.post(PROJECTS, {"name": f"Film {n}"}) for n in range(6))
        assert made == {201: 3, 429: 3}
        assert (await bob.post(PROJECTS, {"name": "Film"})).status == 201
        project = (await ann.get(PROJECTS)).json["items"][0]["id"]
        story = {"projectId": project, "title": "A", "text": "INT. BAR - DAY\n\nAnn waits."}
        assert (await ann.post("/api/stories", story)).status == 201


async def test_probes_and_the_consoles_files_are_not_counted(limited):
    async with limited(all="1/600") as client:
        for path in ("/healthz", "/readyz", "/console/static/console.css"):
            assert await statuses(client.get(path) for _ in range(10)) == {200: 10}
        assert await statuses(client.get("/api/capabilities") for _ in range(3)) == {200: 1, 429: 2}


async def test_the_operator_sets_the_rate_of_one_route(limited):
    routes = '{"GET /api/capabilities": "2/600", "POST /api/auth/otp/request": "none"}'
    async with limited(auth="1/600", STUDIO_LIMITS__ROUTES=routes) as client:
        assert (await statuses(client.get("/api/capabilities") for _ in range(5)))[200] == 2
        assert await statuses(client.post(OTP, {"email": "a@b.org"}) for _ in range(5)) == {202: 5}


async def test_without_the_allow_list_nothing_is_counted_and_the_start_says_nothing(limited):
    async with limited(all="1/600", STUDIO_PLUGINS__GLOBAL_MIDDLEWARES="[]") as client:
        assert await statuses(client.get("/api/capabilities") for _ in range(5)) == {200: 5}


async def test_a_start_without_the_plugin_warns(limited):
    disabled = '["embedded", "streaq", "limits"]'
    async with limited(STUDIO_PLUGINS__DISABLED=disabled) as client:
        assert any("'limits' is not there" in text for text in client.studio.loaded.warnings)
