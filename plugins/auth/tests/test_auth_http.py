from __future__ import annotations

import asyncio
import itertools
import logging
import socket

import pytest
from structlog.testing import capture_logs

from studio import new_id, now_ms
from studio_auth.otp import OtpService
from studio_auth.service import AccountService
from studio_auth.settings import AuthSettings

pytestmark = pytest.mark.http
AUTH = "/api/auth"
ME = f"{AUTH}/me"
XHR = {"X-Requested-With": "test"}


def address() -> str:
    return f"{new_id().lower()}@example.org"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def service(server, kind):
    return server.studio.services.provided[kind][1]


async def cookie_of(server) -> tuple[str, str]:
    """Sign in for a cookie; returns the whole Set-Cookie header and the `name=value` to send."""
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    body = {"email": email, "code": server.code_for(email), "cookie": True}
    header = (await server.post(f"{AUTH}/otp/verify", body)).headers["Set-Cookie"]
    return header, header.partition(";")[0]


# ---------------------------------------------------------------- one-time codes


async def test_same_answer_for_known_and_unknown_addresses(server, client):
    known = await server.post(f"{AUTH}/otp/request", {"email": client.user["email"]})
    unknown = await server.post(f"{AUTH}/otp/request", {"email": address()})
    assert known.status == unknown.status == 202
    assert known.json == unknown.json == {"status": "sent", "expiresIn": 600}
    assert known.headers.keys() == unknown.headers.keys()


async def test_wrong_code_reads_the_same_for_known_and_unknown_addresses(server, client):
    await server.post(f"{AUTH}/otp/request", {"email": client.user["email"]})
    right = server.code_for(client.user["email"])
    wrong = "000000" if right != "000000" else "000001"
    answers = [
        await server.post(f"{AUTH}/otp/verify", {"email": email, "code": wrong})
        for email in (client.user["email"], address())
    ]
    assert [a.status for a in answers] == [401, 401]
    bodies = [{k: v for k, v in a.json.items() if k != "requestId"} for a in answers]
    assert bodies[0] == bodies[1]
    assert bodies[0]["code"] == "otp_refused"


async def test_codes_and_tokens_never_reach_the_logs(server, caplog):
    email = address()
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        await server.post(f"{AUTH}/otp/request", {"email": email})
        code = server.code_for(email)
        wrong = f"{(int(code) + 1) % 10**6:06d}"
        for tried in (wrong, code, code):
            answer = await server.post(f"{AUTH}/otp/verify", {"email": email, "code": tried})
            tokens = answer.json if answer.status == 200 else {}
            await server.get(ME, headers=bearer(tokens.get("accessToken", f"x.{code}.y")))
            await server.post(f"{AUTH}/refresh", {"refreshToken": tokens.get("refreshToken", "x" * 40)})
        await server.studio.services.activity.flush()
        server.studio.loader.records["auth"].ctx.log.warning("canary")
    logged = f"{lines}{caplog.text}"
    assert "canary" in logged, "nothing is seen here, so nothing is proved"
    secrets = {code, *(tokens.get(name, "none at all") for name in ("accessToken", "refreshToken"))}
    assert not [secret for secret in secrets if secret in logged]


async def test_sign_in_works_while_redis_is_away(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = type(server.studio.services.cache)(f"redis://127.0.0.1:{port}/0")
    monkeypatch.setattr(server.studio.services, "cache", away)
    signed_in = await server.sign_in(address())
    pair = (await server.post(f"{AUTH}/refresh", {"refreshToken": signed_in.tokens["refreshToken"]})).json
    assert (await server.get(ME, headers=bearer(pair["accessToken"]))).status == 200
    assert (await signed_in.post(f"{AUTH}/logout-all")).status == 204
    assert (await server.get(ME, headers=bearer(pair["accessToken"]))).status == 401
    await away.close()


async def test_sixth_try_finds_a_dead_code(server):
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    right = server.code_for(email)
    wrong = (f"{n:06d}" for n in itertools.count() if f"{n:06d}" != right)
    tries = [*itertools.islice(wrong, 5), right]
    statuses = [(await server.post(f"{AUTH}/otp/verify", {"email": email, "code": c})).status for c in tries]
    assert statuses == [401] * 6


async def test_parallel_tries_over_http_open_at_most_one_session(server):
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    body = {"email": email, "code": server.code_for(email)}
    answers = await asyncio.gather(*(server.post(f"{AUTH}/otp/verify", body) for _ in range(20)))
    assert sorted(a.status for a in answers) == [200] + [401] * 19


async def test_code_is_not_good_for_another_address(server):
    mine, theirs = address(), address()
    for email in (mine, theirs):
        await server.post(f"{AUTH}/otp/request", {"email": email})
    code = server.code_for(mine)
    if code == server.code_for(theirs):
        pytest.skip("one in a million: both codes are the same")
    assert (await server.post(f"{AUTH}/otp/verify", {"email": theirs, "code": code})).status == 401


async def test_expired_code_is_refused(server, monkeypatch):
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    otp = service(server, OtpService)
    now = otp._clock()
    monkeypatch.setattr(otp, "_clock", lambda: now + 601_000)
    body = {"email": email, "code": server.code_for(email)}
    assert (await server.post(f"{AUTH}/otp/verify", body)).status == 401


async def test_address_is_the_same_account_in_any_case(server, client):
    local, _, domain = client.user["email"].partition("@")
    other = await server.sign_in(f"{local}@{domain}")
    await server.post(f"{AUTH}/otp/request", {"email": f"{local.upper()}@{domain.upper()}"})
    body = {"email": f"{local.upper()}@{domain}", "code": server.code_for(client.user["email"])}
    third = await server.post(f"{AUTH}/otp/verify", body)
    assert third.json["user"]["id"] == other.user["id"] == client.user["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"email": {"$ne": None}},
        {"email": {"$gt": ""}},
        {"email": ["a@example.org"]},
        {"email": "a@example.org\r\nBcc: b@example.org"},
        {"email": "a@example.org, b@example.org"},
        {"email": f"{'a' * 5000}@example.org"},
        {"email": None},
        {"email": ""},
        {"email": "a@example.org", "$where": "sleep(3000)"},
        {"email": "a@example.org", "role": "admin"},
        [],
        "a@example.org",
        {},
    ],
    ids=lambda body: str(body)[:40],
)
async def test_request_for_a_code_that_is_no_address_is_refused(server, body):
    answer = await server.post(f"{AUTH}/otp/request", body)
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "code",
    [
        {"$ne": None},
        {"$regex": ".*"},
        123456,
        None,
        "12345",
        "1" * 11,
        "12345a",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "123456\n",
        [],
        True,
    ],
)
async def test_code_that_is_no_code_is_refused(server, code):
    assert (await server.post(f"{AUTH}/otp/verify", {"email": address(), "code": code})).status == 422


@pytest.mark.parametrize(
    "field", ["role", "platformRole", "platform_role", "_id", "id", "status", "userId", "scopes"]
)
async def test_sign_in_takes_no_other_fields(server, field):
    body = {"email": address(), "code": "123456", field: "admin"}
    assert (await server.post(f"{AUTH}/otp/verify", body)).status == 422


async def test_form_of_another_site_cannot_sign_anybody_in(server):
    body = b'{"email": "a@example.org", "code": "123456", "cookie": true}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await server.call("POST", f"{AUTH}/otp/verify", data=body, headers={"Content-Type": kind})
        assert answer.status == 415, kind


# ---------------------------------------------------------------- access tokens


async def test_good_token_shows_the_account(client):
    answer = await client.get(ME)
    assert answer.status == 200
    assert answer.json["email"] == client.user["email"]
    assert answer.json["platformRole"] == "user"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_no_token_is_told_how_to_sign_in(server):
    answer = await server.get(ME)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "make",
    [
        lambda token: "",
        lambda token: token,
        lambda token: "Bearer",
        lambda token: "Bearer ",
        lambda token: f"Basic {token}",
        lambda token: f"Bearer {token}, Basic eDp5",
        lambda token: f"Basic eDp5, Bearer {token}",
        lambda token: f"Bearer Bearer {token}",
        lambda token: f"Bearer {token} {token}",
        lambda token: f"Bearer {token}x",
        lambda token: f"Bearer {'x' * 7000}",
        lambda token: "Bearer é.ü.ñ",
        lambda token: 'Bearer {"$ne": null}',
        lambda token: f"Token {token}",
    ],
    ids=range(14),
)
async def test_odd_authorization_header_is_401(server, client, make):
    token = client.headers["Authorization"].removeprefix("Bearer ")
    answer = await server.get(ME, headers={"Authorization": make(token)})
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")


async def test_scheme_is_read_in_any_case(server, client):
    token = client.headers["Authorization"].removeprefix("Bearer ")
    assert (await server.get(ME, headers={"Authorization": f"bEARER {token}"})).status == 200


@pytest.mark.parametrize(
    "others", [["Bearer x"], ["Basic eDp5"], [""], ["same"], ["Bearer stk_x"]], ids=lambda others: others[0]
)
@pytest.mark.parametrize("first", [True, False])
async def test_second_authorization_header_is_refused(server, client, others, first):
    good = client.headers["Authorization"]
    shown = [good, *(good if other == "same" else other for other in others)]
    headers = [("Authorization", value) for value in (shown if first else reversed(shown))]
    async with server._session.get(server._base + ME, headers=headers) as answer:
        assert answer.status in (400, 401)


async def test_token_in_the_query_is_not_looked_at(server, client):
    token = client.headers["Authorization"].removeprefix("Bearer ")
    for name in ("token", "access_token", "accessToken", "authorization"):
        assert (await server.get(f"{ME}?{name}={token}")).status == 401


async def test_refresh_token_is_no_access_token(server, client):
    assert (await server.get(ME, headers=bearer(client.tokens["refreshToken"]))).status == 401


async def test_access_token_is_no_refresh_token(server, client):
    body = {"refreshToken": client.tokens["accessToken"][:200]}
    assert (await server.post(f"{AUTH}/refresh", body)).status == 401


async def test_signed_in_routes_refuse_strangers(server):
    calls = [("GET", ME), ("PATCH", ME), ("GET", f"{AUTH}/sessions"), ("DELETE", f"{AUTH}/sessions/x")]
    calls += [("POST", f"{AUTH}/logout"), ("POST", f"{AUTH}/logout-all")]
    assert [(await server.call(method, path)).status for method, path in calls] == [401] * len(calls)


# ---------------------------------------------------------------- refresh, sign out


async def test_refresh_rotates_and_reuse_after_the_grace_ends_the_session(server, client, monkeypatch):
    first = client.tokens["refreshToken"]
    second = (await server.post(f"{AUTH}/refresh", {"refreshToken": first})).json
    assert (await server.get(ME, headers=bearer(second["accessToken"]))).status == 200
    accounts = service(server, AccountService)
    monkeypatch.setattr(accounts, "_clock", lambda: now_ms() + 31_000)
    reused = await server.post(f"{AUTH}/refresh", {"refreshToken": first})
    assert (reused.status, reused.json["code"]) == (401, "refresh_refused")
    assert (await server.get(ME, headers=bearer(second["accessToken"]))).status == 401
    assert (await client.get(ME)).status == 401
    newest = await server.post(f"{AUTH}/refresh", {"refreshToken": second["refreshToken"]})
    assert newest.status == 401


async def test_20_refreshes_at_once_leave_everybody_in(server, client):
    body = {"refreshToken": client.tokens["refreshToken"]}
    answers = await asyncio.gather(*(server.post(f"{AUTH}/refresh", body) for _ in range(20)))
    assert [a.status for a in answers] == [200] * 20
    assert len({a.json["refreshToken"] for a in answers}) == 1
    seen = [await server.get(ME, headers=bearer(a.json["accessToken"])) for a in answers]
    assert [a.status for a in seen] == [200] * 20


@pytest.mark.parametrize("token", [{"$ne": None}, "", "short", "x" * 201, None, 5, ["x" * 30]], ids=str)
async def test_refresh_token_of_the_wrong_shape_is_422(server, token):
    assert (await server.post(f"{AUTH}/refresh", {"refreshToken": token})).status == 422


@pytest.mark.parametrize("token", ["é" * 40, "x" * 100, "a.b.c" * 10, "\0" * 40], ids=ascii)
async def test_refresh_token_that_is_none_is_401(server, token):
    assert (await server.post(f"{AUTH}/refresh", {"refreshToken": token})).status == 401


async def test_answers_with_tokens_are_not_stored(server):
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    key = {"Idempotency-Key": new_id()}
    body = {"email": email, "code": server.code_for(email)}
    first = await server.post(f"{AUTH}/otp/verify", body, headers=key)
    again = await server.post(f"{AUTH}/otp/verify", body, headers=key)
    assert (first.status, again.status) == (200, 401)
    assert first.headers["Cache-Control"] == "no-store"


async def test_sign_out_kills_access_and_refresh_at_once(server, client):
    assert (await client.get(ME)).status == 200
    assert (await client.post(f"{AUTH}/logout")).status == 204
    assert (await client.get(ME)).status == 401
    body = {"refreshToken": client.tokens["refreshToken"]}
    assert (await server.post(f"{AUTH}/refresh", body)).status == 401


async def test_sign_out_everywhere_kills_all_sessions(server, client):
    other = await server.sign_in(client.user["email"])
    assert (await other.get(ME)).status == 200
    assert (await client.post(f"{AUTH}/logout-all")).status == 204
    assert [(await c.get(ME)).status for c in (client, other)] == [401, 401]


async def test_sessions_are_listed_without_secrets(server, client):
    other = await server.sign_in(client.user["email"])
    listed = (await client.get(f"{AUTH}/sessions")).json
    assert [s["current"] for s in listed["items"]] == [False, True]
    assert listed["items"][0].keys() == {"id", "device", "ip", "current", "createdAt", "lastSeenAt"}
    assert other.tokens["refreshToken"] not in str(listed)
    page = (await client.get(f"{AUTH}/sessions?limit=1")).json
    assert len(page["items"]) == 1
    assert page["nextCursor"]


async def test_own_other_session_is_ended_at_once(server, client):
    other = await server.sign_in(client.user["email"])
    assert (await other.get(ME)).status == 200
    listed = (await client.get(f"{AUTH}/sessions")).json["items"]
    session = next(s["id"] for s in listed if not s["current"])
    assert (await client.delete(f"{AUTH}/sessions/{session}")).status == 204
    assert (await other.get(ME)).status == 401
    assert (await client.delete(f"{AUTH}/sessions/{session}")).status == 404


async def test_others_session_is_not_found_and_lives_on(server, client):
    victim = await server.sign_in(address())
    session = (await victim.get(f"{AUTH}/sessions")).json["items"][0]["id"]
    for name in (session, "nope", "%00", "..%2F..", '{"$ne":null}'):
        assert (await client.delete(f"{AUTH}/sessions/{name}")).status == 404, name
    assert (await victim.get(ME)).status == 200


# ---------------------------------------------------------------- cookie mode


async def test_cookie_is_for_the_browser_only(server):
    header, _ = await cookie_of(server)
    attributes = {part.strip().lower() for part in header.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", "max-age=900"} <= attributes
    assert "secure" not in attributes, "this server speaks plain HTTP"


async def test_cookie_is_secure_behind_a_proxy_with_tls(server, monkeypatch):
    services = server.studio.services
    behind = services.settings.server.model_copy(update={"public_url": "https://studio.example.org"})
    monkeypatch.setattr(services, "settings", services.settings.model_copy(update={"server": behind}))
    header, _ = await cookie_of(server)
    assert "secure" in {part.strip().lower() for part in header.split(";")}


async def test_no_cookie_is_set_unasked(server):
    email = address()
    await server.post(f"{AUTH}/otp/request", {"email": email})
    answer = await server.post(f"{AUTH}/otp/verify", {"email": email, "code": server.code_for(email)})
    assert answer.status == 200
    assert "Set-Cookie" not in answer.headers


async def test_cookie_reads_without_and_writes_with_the_header(server):
    _, cookie = await cookie_of(server)
    sent = {"Cookie": cookie}
    assert (await server.get(ME, headers=sent)).status == 200
    bare = await server.patch(ME, {"name": "X"}, headers=sent)
    assert (bare.status, bare.json["code"]) == (403, "csrf_header_missing")
    assert (await server.get(ME, headers=sent)).json["name"] == ""
    assert (await server.patch(ME, {"name": "X"}, headers=sent | XHR)).json["name"] == "X"


async def test_cookie_cannot_sign_out_without_the_header(server):
    _, cookie = await cookie_of(server)
    for path in ("logout", "logout-all"):
        assert (await server.post(f"{AUTH}/{path}", headers={"Cookie": cookie})).status == 403
    assert (await server.get(ME, headers={"Cookie": cookie})).status == 200
    done = await server.post(f"{AUTH}/logout", headers={"Cookie": cookie} | XHR)
    assert (done.status, 'studio_session=""' in done.headers["Set-Cookie"]) == (204, True)
    assert (await server.get(ME, headers={"Cookie": cookie})).status == 401


async def test_empty_authorization_header_does_not_spare_the_csrf_header(server):
    _, cookie = await cookie_of(server)
    for scheme in ("", "Bearer x", "Basic eDp5"):
        answer = await server.patch(ME, {"name": "X"}, headers={"Cookie": cookie, "Authorization": scheme})
        assert answer.status in (401, 403), scheme
    assert (await server.get(ME, headers={"Cookie": cookie})).json["name"] == ""


async def test_refresh_renews_the_cookie_when_asked(server, client):
    body = {"refreshToken": client.tokens["refreshToken"], "cookie": True}
    answer = await server.post(f"{AUTH}/refresh", body)
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert (await server.get(ME, headers={"Cookie": cookie})).status == 200


# ---------------------------------------------------------------- the own account


@pytest.mark.parametrize(
    "field",
    ["role", "platformRole", "platform_role", "_id", "id", "email", "status", "createdAt", "ownerId", "$set"],
)
async def test_nobody_makes_themselves_more(client, field):
    answer = await client.patch(ME, {"name": "X", field: "admin"})
    assert (answer.status, answer.json["code"]) == (422, "invalid_input")
    assert (await client.get(ME)).json["platformRole"] == "user"


@pytest.mark.parametrize(
    "name",
    [
        {"$ne": None},
        "a\r\nBcc: x@example.org",
        "a\u2028b",
        "a\x1b[31m",
        "\u202eevil",
        "x" * 121,
        "a\x00b",
        5,
        ["x"],
    ],
    ids=ascii,
)
async def test_name_that_could_harm_is_refused(client, name):
    assert (await client.patch(ME, {"name": name})).status == 422


@pytest.mark.parametrize(
    "name", ["{{7*7}}", "${7*7}", "{0.__class__}", "<script>alert(1)</script>", "Zoë Ω 🎬"]
)
async def test_name_is_text_and_nothing_else(client, name):
    assert (await client.patch(ME, {"name": name})).json["name"] == name


async def test_account_of_an_older_schema_can_sign_in(server):
    email = address()
    users = server.studio.services.database["users"]
    old = {"_id": new_id(), "email": email, "status": "active", "platform_role": "user", "foreign": {"x": 1}}
    await users.insert(old)
    signed_in = await server.sign_in(email)
    assert (signed_in.user["id"], signed_in.user["name"], signed_in.user["locale"]) == (old["_id"], "", "en")
    assert (await signed_in.get(ME)).status == 200


async def test_answer_never_shows_what_is_internal(client):
    assert client.tokens.keys() == {"accessToken", "refreshToken", "tokenType", "expiresIn", "user"}
    assert client.user.keys() == {"id", "email", "name", "locale", "platformRole", "status", "createdAt"}


async def test_database_failure_is_no_way_in(server, client, monkeypatch):
    accounts = service(server, AccountService)
    accounts.memory.clear()

    async def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr(accounts.memory, "_ask", broken)
    answer = await client.get(ME)
    assert answer.status == 503
    assert "boom" not in str(answer.json)


def test_settings_of_the_test_kit_differ_in_nothing_but_key_and_interval(server):
    kit = server.studio.loader.records["auth"].ctx.settings(AuthSettings)
    assert kit.model_copy(update={"secret": None, "otp_interval_s": 60}) == AuthSettings()
