"""The promises that rest on what a real server does at once: its unique indexes and its atomic updates."""

from __future__ import annotations

import asyncio

import pytest

from studio import UnauthenticatedError, new_id, now_ms

pytestmark = pytest.mark.database


@pytest.fixture
async def served(build_house, database):
    house = build_house(database=database)
    house.clock.ms = now_ms()  # a TTL index follows the server's own clock
    await database.ensure()
    return house


def address() -> str:
    return f"{new_id().lower()}@example.org"


async def test_parallel_requests_send_one_mail(served):
    email = address()
    await asyncio.gather(*(served.otp.request_otp(email, "") for _ in range(20)))
    assert len(served.post.mails) == 1


async def test_request_after_the_interval_replaces_the_code(served):
    email = address()
    first = await served.code(email)
    served.clock.pass_s(60)
    second = await served.code(email)
    assert len(served.post.mails) == 2
    assert await served.database["otp_challenges"].count({"email": email}) == 1
    if first != second:
        with pytest.raises(UnauthenticatedError):
            await served.otp.verify_otp(email, first)
    await served.otp.verify_otp(email, second)


async def test_of_parallel_tries_at_most_five_count(served):
    email = address()
    code = await served.code(email)
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    tries = [served.otp.verify_otp(email, wrong) for _ in range(20)]
    await asyncio.gather(*tries, return_exceptions=True)
    assert (await served.database["otp_challenges"].find_one({"email": email}))["attempts"] == 5
    with pytest.raises(UnauthenticatedError):
        await served.otp.verify_otp(email, code)


async def test_of_parallel_refreshes_one_rotates_and_the_others_get_the_same(served):
    pair = await served.accounts.sign_in(address(), "", "")
    pairs = await asyncio.gather(*(served.accounts.refresh(pair["refresh_token"]) for _ in range(20)))
    assert len({p["refresh_token"] for p in pairs}) == 1
    alive = {"user_id": pair["user"]["_id"], "revoked_at": None}
    assert await served.database["sessions"].count(alive) == 1
    served.clock.pass_s(31)
    with pytest.raises(UnauthenticatedError):
        await served.accounts.refresh(pair["refresh_token"])
    assert await served.database["sessions"].count(alive) == 0


async def test_parallel_first_sign_ins_make_one_account(served):
    email = address()
    pairs = await asyncio.gather(*(served.accounts.sign_in(email, "", "") for _ in range(10)))
    assert len({pair["user"]["_id"] for pair in pairs}) == 1


async def test_sign_out_reaches_the_stored_session(served):
    pair = await served.accounts.sign_in(address(), "", "")
    actor = await served.who(pair["access_token"])
    await served.accounts.sign_out(actor)
    assert await served.who(pair["access_token"]) is None


async def test_revocation_of_another_process_is_found(served, build_house):
    pair = await served.accounts.sign_in(address(), "", "")
    actor = await served.who(pair["access_token"])
    here = build_house(database=served.database)
    here.watch._clock = served.clock
    await served.accounts.sign_out(actor)
    await here.watch.look("sessions")
    assert (actor.user_id, actor.session_id) in here.sockets.cut


async def test_of_a_thousand_parallel_tries_five_are_compared(served, monkeypatch):
    email = address()
    code = await served.code(email)
    compared = []
    real = served.otp._hash

    def seen(challenge, tried):
        if challenge != "nobody":
            compared.append(tried)
        return real(challenge, tried)

    monkeypatch.setattr(served.otp, "_hash", seen)
    wrong = [f"{(int(code) + n) % 10**6:06d}" for n in range(1, 1001)]
    outcomes = await asyncio.gather(
        *(served.otp.verify_otp(email, tried) for tried in wrong), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {UnauthenticatedError}
    assert len(compared) == 5
    with pytest.raises(UnauthenticatedError):
        await served.otp.verify_otp(email, code)


async def test_of_twenty_refreshes_at_once_one_family_is_alive_and_a_copy_of_the_token_ends_it(served):
    """Twenty at once are one client with twenty tabs. The same token after its grace is a thief's."""
    pair = await served.accounts.sign_in(address(), "", "")
    pairs = await asyncio.gather(*(served.accounts.refresh(pair["refresh_token"]) for _ in range(20)))
    stored = await served.database["sessions"].find({"user_id": pair["user"]["_id"]})
    assert [session["revoked_at"] for session in stored] == [None]
    again = await asyncio.gather(*(served.accounts.refresh(p["refresh_token"]) for p in pairs))
    assert len({p["refresh_token"] for p in again}) == 1
    served.clock.pass_s(31)
    late = await asyncio.gather(
        *(served.accounts.refresh(pair["refresh_token"]) for _ in range(20)), return_exceptions=True
    )
    assert {type(outcome) for outcome in late} == {UnauthenticatedError}
    with pytest.raises(UnauthenticatedError):
        await served.accounts.refresh(again[0]["refresh_token"])
    assert await served.who(again[0]["access_token"]) is None
