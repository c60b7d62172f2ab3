"""The way round: to the provider, back with its code, and home with a code of ours."""

from __future__ import annotations

import asyncio
import logging
from urllib.parse import parse_qsl, urlsplit

import pytest
from structlog.testing import capture_logs

pytestmark = pytest.mark.http
BASE, ME = "/api/auth/oidc", "/api/auth/me"


async def test_providers_are_listed_with_where_to_go_and_no_secret(world):
    answer = await world.nobody.get(BASE)
    assert answer.json == {
        "items": [
            {"name": "house", "title": "The House", "startUrl": f"{BASE}/house/start"},
            {"name": "other", "title": "other", "startUrl": f"{BASE}/other/start"},
        ]
    }


async def test_browser_is_sent_with_state_nonce_and_challenge_and_a_cookie_of_its_own(world, browser):
    answer = await browser.get(f"{BASE}/house/start")
    location = urlsplit(answer.headers["Location"])
    asked = dict(parse_qsl(location.query))
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{world.house.issuer}/authorize"
    assert asked["tenant"] == "1"
    assert asked["scope"] == "openid email profile"
    assert asked["redirect_uri"] == f"{world.nobody._base}{BASE}/house/callback"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    cookie = answer.headers["Set-Cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=lax", f"path={BASE}", "max-age=600"))
    assert answer.headers["Cache-Control"] == "no-store"


async def test_verified_address_opens_a_session_like_any_other(world, browser, subject):
    answer = await browser.exchange(await browser.round_trip(**subject), cookie=True)
    assert answer.status == 200
    assert answer.json["user"]["email"] == subject["email"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "httponly" in answer.headers["Set-Cookie"].lower()
    bearer = {"Authorization": f"Bearer {answer.json['accessToken']}"}
    assert (await world.nobody.get(ME, headers=bearer)).json["email"] == subject["email"]
    assert (await world.nobody.post("/api/auth/logout", headers=bearer)).status == 204
    assert (await world.nobody.get(ME, headers=bearer)).status == 401


async def test_account_of_a_code_by_mail_is_the_same_account(world, browser, subject):
    by_mail = await world.nobody.sign_in(subject["email"])
    assert (await browser.sign_in(**subject | {"email": subject["email"].upper()}))["id"] == by_mail.user[
        "id"
    ]


async def test_linked_account_stays_linked_when_the_address_there_changes(browser, another_browser, subject):
    first = await browser.sign_in(**subject)
    moved = subject | {"email": f"new-{subject['email']}", "email_verified": False}
    browser.world.house.reset()
    second = await another_browser.sign_in(**moved)
    assert (second["id"], second["email"]) == (first["id"], subject["email"])


async def test_same_subject_of_another_issuer_is_somebody_else(world, browser, subject):
    first = await browser.sign_in(**subject)
    theirs = subject | {"email": f"other-{subject['email']}"}
    told = await browser.back(world.other.consent(await browser.start("other"), **theirs), "other")
    assert (await browser.exchange(told)).json["user"]["id"] != first["id"]


async def test_unverified_address_opens_nothing_and_links_nothing(world, browser, subject):
    owner = await world.nobody.sign_in(subject["email"])
    for verified in (False, "false", None, 0, "yes", 1):
        world.house.reset()
        told = await browser.round_trip(**subject | {"email_verified": verified})
        assert told == {"oidcError": "oidc_email_unverified"}, verified
    assert await world.database["oidc_identities"].count({"user_id": owner.user["id"]}) == 0


@pytest.mark.parametrize(
    "email", [None, "", "no address", 5, ["a@example.org"], "a@example.org\r\nBcc: b@example.org"]
)
async def test_address_that_is_none_opens_nothing(world, browser, subject, email):
    world.house.info = {"sub": subject["sub"]}
    told = await browser.round_trip(**subject | {"email": email})
    assert told == {"oidcError": "oidc_email_unverified"}


async def test_address_is_asked_for_where_the_token_has_none(world, browser, subject):
    world.house.info = dict(subject)
    user = await browser.sign_in(sub=subject["sub"], email=None, email_verified=None)
    assert user["email"] == subject["email"]
    assert "userinfo" in world.house.asked


async def test_user_info_about_somebody_else_is_refused(world, browser, subject):
    world.house.info = subject | {"sub": "mallory"}
    told = await browser.round_trip(sub=subject["sub"], email=None, email_verified=None)
    assert told == {"oidcError": "oidc_refused"}


async def test_suspended_account_opens_nothing(world, browser, another_browser, subject):
    user = await browser.sign_in(**subject)
    await world.database["users"].update(user["id"], {"$set": {"status": "suspended"}})
    told = await another_browser.round_trip(**subject)
    assert told == {"oidcError": "oidc_refused"}
    stranger_there = subject | {"sub": f"{subject['sub']}-2"}
    world.house.reset()
    assert (await browser.exchange(await browser.round_trip(**stranger_there))).status == 401


# ------------------------------------------------------------ who begins, and who ends


async def test_sign_in_ends_in_the_browser_that_began_it(world, browser, another_browser, subject):
    query = world.house.consent(await browser.start(), **subject)
    assert await another_browser.back(query) == {"oidcError": "oidc_refused"}, "no cookie"
    await another_browser.start()
    query = world.house.consent(await browser.start(), **subject)
    assert await another_browser.back(query) == {"oidcError": "oidc_refused"}, "another cookie"
    assert "token" not in world.house.asked


async def test_code_of_a_victim_is_of_no_use_in_another_sign_in(
    world, browser, another_browser, subject, state_of
):
    """A code that was stolen and put into the thief's own sign-in: PKCE and the nonce are of the victim's."""
    stolen = world.house.consent(await browser.start(), **subject).partition("&")[0]
    mine = await another_browser.start()
    assert await another_browser.back(f"{stolen}&state={state_of(mine)}") == {"oidcError": "oidc_refused"}
    assert "token" in world.house.asked


async def test_return_is_good_once(world, browser, subject):
    query = world.house.consent(await browser.start(), **subject)
    assert "oidcCode" in await browser.back(query)
    assert await browser.back(query) == {"oidcError": "oidc_refused"}
    assert world.house.asked.count("token") == 1


async def test_of_twenty_returns_at_once_one_counts(world, browser, subject):
    query = world.house.consent(await browser.start(), **subject)
    told = await asyncio.gather(*(browser.back(query) for _ in range(20)))
    assert sum("oidcCode" in one for one in told) == 1


async def test_two_sign_ins_of_one_browser_do_not_disturb_each_other(world, browser, subject):
    first, second = await browser.start(), await browser.start()
    assert "oidcCode" in await browser.back(world.house.consent(first, **subject))
    assert "oidcCode" in await browser.back(world.house.consent(second, **subject))


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=unknown&code=x", "?state=&code=x", "?error=access_denied"]
)
async def test_return_of_nobodys_sign_in_is_refused(world, browser, query):
    await browser.start()
    assert await browser.back(query) == {"oidcError": "oidc_refused"}


async def test_refusal_there_and_a_missing_code_end_the_sign_in(world, browser, state_of):
    for query in ("&error=access_denied", "&code=", "&error=access_denied&code=x"):
        state = state_of(await browser.start())
        assert await browser.back(f"?state={state}{query}") == {"oidcError": "oidc_refused"}
    assert "token" not in world.house.asked


async def test_state_of_one_provider_is_not_good_at_another(world, browser, subject):
    query = world.house.consent(await browser.start(), **subject)
    assert await browser.back(query, "other") == {"oidcError": "oidc_refused"}
    assert "token" not in world.other.asked


async def test_return_that_names_another_issuer_is_refused(world, browser, subject):
    query = world.house.consent(await browser.start(), **subject)
    assert await browser.back(f"{query}&iss=https://evil.example") == {"oidcError": "oidc_refused"}
    query = world.house.consent(await browser.start(), **subject)
    assert "oidcCode" in await browser.back(f"{query}&iss={world.house.issuer}")


async def test_issuer_is_needed_where_the_provider_promises_it(world, browser, subject):
    world.house.discovery = {"authorization_response_iss_parameter_supported": True}
    query = world.house.consent(await browser.start(), **subject)
    assert await browser.back(query) == {"oidcError": "oidc_refused"}
    query = world.house.consent(await browser.start(), **subject)
    assert "oidcCode" in await browser.back(f"{query}&iss={world.house.issuer}")


async def test_sign_in_that_takes_more_than_ten_minutes_is_over(world, browser, subject, monkeypatch):
    query = world.house.consent(await browser.start(), **subject)
    now = world.service._clock()
    monkeypatch.setattr(world.service, "_clock", lambda: now + 600_001)
    assert await browser.back(query) == {"oidcError": "oidc_refused"}


async def test_our_code_is_good_once_and_for_a_minute(world, browser, subject, monkeypatch):
    told = await browser.round_trip(**subject)
    answers = await asyncio.gather(*(browser.exchange(told) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 19
    late = await browser.round_trip(**subject)
    now = world.service._clock()
    monkeypatch.setattr(world.service, "_clock", lambda: now + 60_001)
    assert (await browser.exchange(late)).status == 401


@pytest.mark.parametrize("code", ["", "short", "x" * 43, "x" * 201, {"$ne": None}, None, 5])
async def test_code_that_is_none_is_refused(world, code):
    answer = await world.nobody.post(f"{BASE}/exchange", {"code": code})
    assert answer.status == (401 if code == "x" * 43 else 422)


async def test_neither_state_nor_codes_lie_in_the_database(world, browser, subject, state_of):
    location = await browser.start()
    told = await browser.back(world.house.consent(location, **subject))
    kept = [await world.database[name].find({}) for name in ("oidc_flows", "oidc_grants", "oidc_identities")]
    assert state_of(location) not in str(kept)
    assert told["oidcCode"] not in str(kept)
    assert browser.cookie.partition("=")[2] not in str(kept)


async def test_nothing_secret_reaches_the_logs(world, browser, subject, caplog):
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        told = await browser.round_trip(**subject)
        await browser.exchange(told)
        await browser.back("?state=unknown&code=canary-code")
    # The lines of the access log carry the address; the writer takes `code=` out of them (tests/telemetry).
    ours = [
        record.getMessage() for record in caplog.records if not record.name.startswith(("aiohttp", "http"))
    ]
    logged = f"{lines}{ours}"
    assert "oidc_sign_in_failed" in logged
    for secret in (told["oidcCode"], "canary-code", "s3cret", "for-userinfo"):
        assert secret not in logged


async def test_unknown_provider_is_404(world, browser):
    for path in ("nowhere/start", "nowhere/callback?state=x&code=y", "House/start", "house%00/start"):
        answer = await browser.get(f"{BASE}/{path}")
        found = answer.headers.get("Location", "")
        assert answer.status == 404 or found == "/console#oidcError=not_found", (path, answer)
