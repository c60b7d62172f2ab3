from __future__ import annotations

import asyncio
import logging

import pytest
from structlog.testing import capture_logs

from studio import new_id
from studio_password import service as module
from studio_password.service import PasswordService

pytestmark = pytest.mark.http
P, LOGIN, ME = "/api/auth/password", "/api/auth/password/login", "/api/auth/me"
PASSWORD = "correct horse battery"


def service(house) -> PasswordService:
    return house.studio.services.provided[PasswordService][1]


async def log_in(house, email: str, password: str = PASSWORD, **more):
    return await house.post(LOGIN, {"email": email, "password": password, **more})


async def code(house, client) -> str:
    await house.post("/api/auth/otp/request", {"email": client.user["email"]})
    return house.code_for(client.user["email"])


async def test_off_by_default_and_says_how_to_switch_it_on(server, client):
    answers = [await log_in(server, "a@example.org"), await client.get(P)]
    assert [(a.status, a.json["code"]) for a in answers] == [(404, "password_off")] * 2
    assert "STUDIO_PASSWORD__ENABLED" in answers[0].json["detail"]


async def test_password_opens_a_session_like_any_other(house, owner):
    answer = await log_in(house, owner.user["email"].upper(), cookie=True)
    assert answer.status == 200
    assert answer.json["user"]["id"] == owner.user["id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "httponly" in answer.headers["Set-Cookie"].lower()
    bearer = {"Authorization": f"Bearer {answer.json['accessToken']}"}
    assert (await house.get(ME, headers=bearer)).status == 200
    refreshed = await house.post("/api/auth/refresh", {"refreshToken": answer.json["refreshToken"]})
    assert refreshed.status == 200
    assert len((await owner.get("/api/auth/sessions")).json["items"]) == 2


async def test_state_is_shown_and_the_hash_is_not(owner, maya):
    state = (await owner.get(P)).json
    assert state.keys() == {"isSet", "changedAt"}
    assert state["isSet"]


async def test_hash_has_the_promised_parameters(house, owner):
    stored = await house.studio.services.database["passwords"].get(owner.user["id"])
    assert stored["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in str(stored)


async def test_wrong_password_and_unknown_address_read_the_same(house, owner, maya):
    unknown = f"{new_id().lower()}@example.org"
    answers = [await log_in(house, owner.user["email"], "wrong password"), await log_in(house, unknown)]
    assert [a.status for a in answers] == [401, 401]
    bodies = [{k: v for k, v in a.json.items() if k != "requestId"} for a in answers]
    assert bodies[0] == bodies[1]
    assert not await house.studio.services.database["users"].find_one({"email": unknown})


async def test_unknown_address_is_checked_against_nobodys_hash(house, owner, monkeypatch):
    checked = []
    hashing = service(house)._hashing
    real = hashing.verify

    async def verify(stored, password):
        checked.append(stored[:31])
        return await real(stored, password)

    monkeypatch.setattr(hashing, "verify", verify)
    await log_in(house, f"{new_id().lower()}@example.org", "nobody's password")
    await log_in(house, owner.user["email"], "wrong password")
    assert checked == ["$argon2id$v=19$m=19456,t=2,p=1$"] * 2


async def test_nobodys_password_opens_nothing(house, maya):
    for email in (maya.user["email"], f"{new_id().lower()}@example.org"):
        assert (await log_in(house, email, "nobody's password")).status == 401


@pytest.mark.parametrize("known", [True, False])
async def test_tries_end_the_same_way_for_every_address(house, owner, known):
    email = owner.user["email"] if known else f"{new_id().lower()}@example.org"
    statuses = [(await log_in(house, email, "wrong password")).status for _ in range(10)]
    last = await log_in(house, email)
    assert (statuses, last.status) == ([401] * 10, 429)
    assert 0 < int(last.headers["Retry-After"]) <= 900


async def test_of_parallel_tries_ten_are_evaluated(house, owner, monkeypatch):
    evaluated = []
    hashing = service(house)._hashing
    real = hashing.verify

    async def verify(stored, password):
        evaluated.append(password)
        return await real(stored, password)

    monkeypatch.setattr(hashing, "verify", verify)
    tries = [log_in(house, owner.user["email"], f"wrong password {n}") for n in range(60)]
    statuses = [a.status for a in await asyncio.gather(*tries)]
    assert len(evaluated) == 10
    assert sorted(set(statuses)) == [401, 429]


async def test_window_opens_again_and_a_right_password_forgets_the_count(house, owner, monkeypatch):
    passwords = service(house)
    for _ in range(10):
        await log_in(house, owner.user["email"], "wrong password")
    assert (await log_in(house, owner.user["email"])).status == 429
    now = passwords._clock()
    monkeypatch.setattr(passwords, "_clock", lambda: now + 901_000)
    assert (await log_in(house, owner.user["email"], "wrong password")).status == 401
    assert (await log_in(house, owner.user["email"])).status == 200
    assert not await house.studio.services.database["password_tries"].get(module._key(owner.user["email"]))


async def test_too_many_waiting_are_sent_away_before_any_hashing(house, owner, monkeypatch):
    monkeypatch.setattr(service(house)._hashing, "_running", 1000)
    answer = await log_in(house, owner.user["email"])
    assert (answer.status, answer.headers["Retry-After"]) == (429, "2")


@pytest.mark.parametrize(
    "password",
    ["", "x" * 1_000_000, "é" * 600, {"$ne": None}, None, 5, ["x" * 12], "\ud800" * 12],
    ids=["empty", "megabyte", "1200 bytes", "operator", "null", "number", "list", "surrogate"],
)
async def test_password_of_the_wrong_shape_is_422_before_any_hashing(house, password, monkeypatch):
    monkeypatch.setattr(service(house), "log_in", None)
    assert (await log_in(house, "a@example.org", password)).status in (400, 422)


async def test_setting_needs_a_fresh_code_or_the_current_password(house, maya):
    without = await maya.put(P, {"password": PASSWORD})
    both = await maya.put(P, {"password": PASSWORD, "code": "123456", "currentPassword": PASSWORD})
    assert [without.status, both.status] == [422, 422]
    right = await code(house, maya)
    wrong = f"{(int(right) + 1) % 10**6:06d}"
    assert (await maya.put(P, {"password": PASSWORD, "code": wrong})).status == 401
    assert (await maya.put(P, {"password": PASSWORD, "currentPassword": "anything at all"})).status == 401
    assert (await maya.get(P)).json == {"isSet": False, "changedAt": None}
    assert (await maya.put(P, {"password": PASSWORD, "code": right})).status == 204
    assert (await maya.put(P, {"password": PASSWORD, "code": right})).status == 401, "a code is good once"


async def test_change_ends_the_other_sessions_and_the_old_password(house, owner):
    other = await house.sign_in(owner.user["email"])
    changed = await owner.put(P, {"password": "another long password", "currentPassword": PASSWORD})
    assert changed.status == 204
    assert [(await c.get(ME)).status for c in (owner, other)] == [200, 401]
    assert (await log_in(house, owner.user["email"])).status == 401
    assert (await log_in(house, owner.user["email"], "another long password")).status == 200


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "abababababababab"])
async def test_weak_password_is_422_with_what_to_do(owner, password):
    answer = await owner.put(P, {"password": password, "currentPassword": PASSWORD})
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == "/password"


async def test_own_address_is_no_password(owner):
    body = {"password": owner.user["email"], "currentPassword": PASSWORD}
    assert (await owner.put(P, body)).status == 422


async def test_removed_password_opens_nothing(house, owner):
    assert (await owner.delete(P, json={"currentPassword": "wrong password"})).status == 401
    assert (await owner.delete(P, json={"currentPassword": PASSWORD})).status == 204
    assert (await log_in(house, owner.user["email"])).status == 401
    assert (await owner.get(P)).json["isSet"] is False


async def test_api_key_sets_no_password(house, owner):
    key = (await owner.post("/api/auth/api-keys", {"name": "CI", "scopes": ["signed_in"]})).json["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    body = {"currentPassword": PASSWORD}
    put = await house.put(P, body | {"password": "another long password"}, headers=bearer)
    gone = await house.delete(P, json=body, headers=bearer)
    assert [(a.status, a.json["code"]) for a in (put, gone)] == [(403, "api_key_refused")] * 2


async def test_suspended_user_is_out(house, owner):
    users = house.studio.services.database["users"]
    await users.update(owner.user["id"], {"$set": {"status": "suspended"}})
    assert (await log_in(house, owner.user["email"])).status == 401


async def test_same_password_in_another_unicode_form_is_good(house, maya):
    composed, apart = "passwört mit ümlauten", "passwo\u0308rt mit u\u0308mlauten"
    await maya.put(P, {"password": composed, "code": await code(house, maya)})
    assert (await log_in(house, maya.user["email"], apart)).status == 200


async def test_hash_of_older_parameters_is_made_anew(house, owner):
    from argon2 import PasswordHasher

    passwords = house.studio.services.database["passwords"]
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    await passwords.update(owner.user["id"], {"$set": {"hash": old}})
    assert (await log_in(house, owner.user["email"])).status == 200
    assert "m=19456,t=2" in (await passwords.get(owner.user["id"]))["hash"]


async def test_password_never_reaches_the_logs(house, owner, caplog):
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        for password in (PASSWORD, "wrong but secret too"):
            await log_in(house, owner.user["email"], password, unknown=1)
            await log_in(house, owner.user["email"], password)
        house.studio.loader.records["password"].ctx.log.warning("canary")
    logged = f"{lines}{caplog.text}"
    assert "canary" in logged
    assert PASSWORD not in logged
    assert "secret too" not in logged


async def test_event_loop_goes_on_while_passwords_are_hashed(house, owner):
    """Eight hashes take about half a second of two processors; nothing else may wait for them."""
    hashing = service(house)._hashing
    work = asyncio.gather(*(hashing.hash(f"password {n}") for n in range(8)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    await work
    assert turns > 20
