from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from studio import Actor, Credentials, NotFoundError, PageQuery, UnauthenticatedError
from studio_auth.memory import BELIEVED_S
from studio_auth.models import UserUpdate
from studio_auth.service import COOKIE

pytestmark = pytest.mark.memory
EMAIL = "maya@example.org"


async def refresh_refused(house, token: str, code: str = "refresh_refused") -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        await house.accounts.refresh(token)
    assert caught.value.code == code


async def test_first_sign_in_makes_the_account_and_the_second_finds_it(house):
    first = await house.accounts.sign_in(EMAIL, "phone", "192.0.2.1")
    second = await house.accounts.sign_in(EMAIL, "laptop", "192.0.2.2")
    assert first["user"]["_id"] == second["user"]["_id"]
    assert first["user"]["platform_role"] == "user"


async def test_parallel_first_sign_ins_make_one_account(house):
    pairs = await asyncio.gather(*(house.accounts.sign_in(EMAIL, "", "") for _ in range(20)))
    assert len({pair["user"]["_id"] for pair in pairs}) == 1
    assert await house.database["users"].count({}) == 1
    assert len({pair["refresh_token"] for pair in pairs}) == 20


async def test_access_token_names_its_owner_and_session(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    actor = await house.who(pair["access_token"])
    assert actor == Actor(pair["user"]["_id"], session_id=actor.session_id, name="maya")
    assert await house.database["sessions"].get(actor.session_id)


async def test_refresh_gives_a_new_pair_and_takes_the_old_one_away(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    fresh = await house.accounts.refresh(pair["refresh_token"])
    assert fresh["refresh_token"] != pair["refresh_token"]
    assert await house.who(fresh["access_token"])


async def test_used_refresh_token_ends_the_session_and_its_sockets(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    fresh = await house.accounts.refresh(pair["refresh_token"])
    session = (await house.who(fresh["access_token"])).session_id
    house.clock.pass_s(30.001)
    await refresh_refused(house, pair["refresh_token"])
    assert await house.who(fresh["access_token"]) is None
    await refresh_refused(house, fresh["refresh_token"])
    assert house.sockets.cut == [(pair["user"]["_id"], session)]


async def test_refresh_token_of_many_rotations_ago_ends_the_session_too(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    newest = pair
    for _ in range(5):
        newest = await house.accounts.refresh(newest["refresh_token"])
    await refresh_refused(house, pair["refresh_token"])
    await refresh_refused(house, newest["refresh_token"])


async def test_reuse_leaves_other_sessions_alone(house):
    stolen, other = [await house.accounts.sign_in(EMAIL, "", "") for _ in range(2)]
    await house.accounts.refresh(stolen["refresh_token"])
    house.clock.pass_s(31)
    await refresh_refused(house, stolen["refresh_token"])
    assert await house.accounts.refresh(other["refresh_token"])


async def test_forged_refresh_token_ends_nothing(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    session = (await house.who(pair["access_token"])).session_id
    await refresh_refused(house, f"{session}.{'x' * 43}.{'y' * 43}")
    assert await house.accounts.refresh(pair["refresh_token"])


async def test_20_refreshes_at_once_with_one_token_leave_one_family_and_everybody_in(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    pairs = await asyncio.gather(*(house.accounts.refresh(pair["refresh_token"]) for _ in range(20)))
    assert len({p["refresh_token"] for p in pairs}) == 1, "a fork would end the family at the next reuse"
    assert all([await house.who(p["access_token"]) for p in pairs])
    assert await house.database["sessions"].count({"revoked_at": None}) == 1
    assert house.sockets.cut == []
    assert await house.accounts.refresh(pairs[7]["refresh_token"])


async def test_client_that_lost_the_answer_gets_it_again_within_the_grace(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    lost = await house.accounts.refresh(pair["refresh_token"])
    house.clock.pass_s(30)
    again = await house.accounts.refresh(pair["refresh_token"])
    assert again["refresh_token"] == lost["refresh_token"]
    house.clock.pass_s(1)
    assert await house.accounts.refresh(again["refresh_token"])


async def test_grace_counts_from_the_rotation_and_is_not_prolonged_by_its_use(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    for _ in range(3):
        await house.accounts.refresh(pair["refresh_token"])
        house.clock.pass_s(10)
    house.clock.pass_s(0.001)
    await refresh_refused(house, pair["refresh_token"])


async def test_grace_is_for_the_one_before_the_newest_only(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    second = await house.accounts.refresh(pair["refresh_token"])
    await house.accounts.refresh(second["refresh_token"])
    await refresh_refused(house, pair["refresh_token"])
    await refresh_refused(house, second["refresh_token"])


async def test_grace_gives_nothing_of_a_session_that_has_ended(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    fresh = await house.accounts.refresh(pair["refresh_token"])
    await house.accounts.sign_out(await house.who(fresh["access_token"]))
    await refresh_refused(house, pair["refresh_token"])


async def test_without_grace_the_second_use_ends_the_session(build_house):
    house = build_house(refresh_grace_s=0)
    pair = await house.accounts.sign_in(EMAIL, "", "")
    await house.accounts.refresh(pair["refresh_token"])
    house.clock.pass_s(0.001)
    await refresh_refused(house, pair["refresh_token"])


async def test_session_of_an_older_schema_is_refreshed(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    stored = await house.database["sessions"].find_one({})
    assert not {"previous_hash", "rotated_ms"} & stored.keys()
    assert await house.accounts.refresh(pair["refresh_token"])


async def test_refresh_token_expires(build_house):
    house = build_house(refresh_ttl_s=300)
    pair = await house.accounts.sign_in(EMAIL, "", "")
    house.clock.pass_s(301)
    await refresh_refused(house, pair["refresh_token"])


async def test_refreshing_does_not_prolong_the_session(build_house):
    house = build_house(refresh_ttl_s=300)
    pair = await house.accounts.sign_in(EMAIL, "", "")
    house.clock.pass_s(200)
    pair = await house.accounts.refresh(pair["refresh_token"])
    house.clock.pass_s(101)
    await refresh_refused(house, pair["refresh_token"])


async def test_access_token_dies_with_its_session(build_house):
    house = build_house(refresh_ttl_s=300, access_ttl_s=3600)
    pair = await house.accounts.sign_in(EMAIL, "", "")
    house.clock.pass_s(301)
    assert await house.who(pair["access_token"]) is None


async def test_sign_out_kills_the_remembered_access_token_at_once(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    actor = await house.who(pair["access_token"])
    await house.accounts.sign_out(actor)
    assert await house.who(pair["access_token"]) is None
    await refresh_refused(house, pair["refresh_token"])
    assert house.sockets.cut == [(actor.user_id, actor.session_id)]


async def test_sign_out_twice_is_no_error(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    actor = await house.who(pair["access_token"])
    await asyncio.gather(*(house.accounts.sign_out(actor) for _ in range(3)))
    assert len(house.sockets.cut) == 1


async def test_request_that_began_before_the_sign_out_is_not_remembered_after_it(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    actor = await house.who(pair["access_token"])
    house.accounts.memory.clear()
    await asyncio.gather(*(house.who(pair["access_token"]) for _ in range(5)), house.accounts.sign_out(actor))
    assert await house.who(pair["access_token"]) is None


async def test_session_ended_by_another_process_is_believed_for_less_than_a_second(house, monkeypatch):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    now = [100.0]
    monkeypatch.setattr("studio_auth.memory.time.monotonic", lambda: now[0])
    assert await house.who(pair["access_token"])
    await house.database["sessions"].update({}, {"$set": {"revoked_at": 1}})
    now[0] += BELIEVED_S + 0.001
    assert await house.who(pair["access_token"]) is None
    assert BELIEVED_S < 1


async def test_dead_session_takes_its_verified_token_along(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    actor = await house.who(pair["access_token"])
    await house.accounts.sign_out(actor)
    assert len(house.accounts._verified) == 1
    assert await house.who(pair["access_token"]) is None
    assert len(house.accounts._verified) == 0


async def test_sign_out_everywhere_ends_every_session_of_this_user_only(house):
    mine = [await house.accounts.sign_in(EMAIL, "", "") for _ in range(3)]
    theirs = await house.accounts.sign_in("tom@example.org", "", "")
    for pair in (*mine, theirs):
        assert await house.who(pair["access_token"])
    await house.accounts.revoke_all(mine[0]["user"]["_id"])
    assert [await house.who(pair["access_token"]) for pair in mine] == [None, None, None]
    assert await house.who(theirs["access_token"])


async def test_all_sessions_but_the_calling_one_are_ended(house):
    mine = [await house.accounts.sign_in(EMAIL, "", "") for _ in range(3)]
    theirs = await house.accounts.sign_in("tom@example.org", "", "")
    await house.accounts.end_others(await house.who(mine[1]["access_token"]))
    assert [bool(await house.who(p["access_token"])) for p in (*mine, theirs)] == [False, True, False, True]
    assert len(house.sockets.cut) == 2


async def test_ending_another_users_session_is_not_found(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    session = (await house.who(pair["access_token"])).session_id
    with pytest.raises(NotFoundError):
        await house.accounts.revoke("somebody-else", session)
    assert await house.who(pair["access_token"])


async def test_suspended_user_is_out(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    await house.database["users"].update({"email": EMAIL}, {"$set": {"status": "suspended"}})
    assert await house.who(pair["access_token"]) is None
    await refresh_refused(house, pair["refresh_token"], "account_suspended")
    with pytest.raises(UnauthenticatedError, match="suspended"):
        await house.accounts.sign_in(EMAIL, "", "")
    assert await house.database["users"].count({}) == 1


async def test_token_of_another_user_for_this_session_is_refused(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    session = (await house.who(pair["access_token"])).session_id
    forged = house.tokens.issue("SOMEBODY", session)
    assert await house.who(forged) is None


async def test_listed_address_becomes_admin_whenever_it_signs_in(build_house):
    house = build_house(admins=["Maya@Example.org"])
    await house.database["users"].insert(
        {"_id": "U", "email": EMAIL, "status": "active", "platform_role": "user"}
    )
    pair = await house.accounts.sign_in(EMAIL, "", "")
    assert pair["user"]["platform_role"] == "admin"
    assert (await house.who(pair["access_token"])).platform_role == "admin"


@pytest.mark.parametrize(
    ("environment", "roles"), [("development", ["admin", "user"]), ("production", ["user"] * 2)]
)
async def test_only_in_development_the_first_account_is_admin(build_house, environment, roles):
    house = build_house(environment)
    pairs = [await house.accounts.sign_in(f"{name}@example.org", "", "") for name in ("a", "b")]
    assert [pair["user"]["platform_role"] for pair in pairs] == roles


async def test_unknown_platform_role_in_the_database_is_no_admin(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    await house.database["users"].update({"email": EMAIL}, {"$set": {"platform_role": "root"}})
    assert (await house.who(pair["access_token"])).platform_role == "user"


async def test_cookie_is_read_only_without_an_authorization_header(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    cookies = {COOKIE: pair["access_token"]}
    assert await house.accounts.authenticate(Credentials(None, cookies))
    for header in ("", "Bearer", "Bearer x", "Basic eDp5"):
        assert await house.accounts.authenticate(Credentials(header, cookies)) is None


async def test_sessions_are_paged_and_the_own_one_is_marked(house):
    pairs = [await house.accounts.sign_in(EMAIL, f"device {n}", "192.0.2.1") for n in range(3)]
    actor = await house.who(pairs[0]["access_token"])
    first = await house.accounts.list_sessions(actor, PageQuery(limit=2))
    rest = await house.accounts.list_sessions(actor, PageQuery(limit=2, cursor=first.next_cursor))
    listed = [*first.items, *rest.items]
    assert [s["device"] for s in listed] == ["device 2", "device 1", "device 0"]
    assert [s["current"] for s in listed] == [False, False, True]
    assert rest.next_cursor is None


async def test_long_device_name_is_cut(house):
    await house.accounts.sign_in(EMAIL, "x" * 5000, "")
    assert len((await house.database["sessions"].find({}))[0]["device"]) == 200


async def test_database_holds_no_refresh_token(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    assert pair["refresh_token"] not in str(await house.database["sessions"].find({}))


async def test_update_changes_the_actors_own_account_only(house):
    mine, theirs = [await house.accounts.sign_in(f"{n}@example.org", "", "") for n in ("a", "b")]
    actor = await house.who(mine["access_token"])
    assert (await house.accounts.update_me(actor, UserUpdate(name="Maya")))["name"] == "Maya"
    other = replace(actor, user_id=theirs["user"]["_id"])
    assert (await house.accounts.get_me(other))["name"] == ""


async def test_user_is_found_by_address_in_any_case(house):
    pair = await house.accounts.sign_in(EMAIL, "", "")
    assert (await house.accounts.user_by_email("MAYA@Example.ORG"))["_id"] == pair["user"]["_id"]
