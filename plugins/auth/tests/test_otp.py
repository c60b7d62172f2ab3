from __future__ import annotations

import asyncio

import pytest

from studio import ProviderUnavailableError, UnauthenticatedError

pytestmark = pytest.mark.memory
EMAIL = "maya@example.org"


def wrong(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}d}"


async def refused(house, code: str, email: str = EMAIL) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        await house.otp.verify_otp(email, code)
    assert caught.value.code == "otp_refused"


async def test_code_is_good_once(house):
    code = await house.code(EMAIL)
    await house.otp.verify_otp(EMAIL, code)
    await refused(house, code)


async def test_fifth_try_may_be_the_right_one(house):
    code = await house.code(EMAIL)
    for by in range(1, 5):
        await refused(house, wrong(code, by))
    await house.otp.verify_otp(EMAIL, code)


async def test_five_wrong_tries_kill_the_code(house):
    code = await house.code(EMAIL)
    for by in range(1, 6):
        await refused(house, wrong(code, by))
    await refused(house, code)


async def test_of_1000_parallel_tries_at_most_five_are_compared(house, monkeypatch):
    code = await house.code(EMAIL)
    stored = (await house.database["otp_challenges"].find_one({"email": EMAIL}))["code_hash"]
    compared = []
    real = house.otp._hash

    def hashed(challenge, tried):
        compared.append(challenge)
        return real(challenge, tried)

    monkeypatch.setattr(house.otp, "_hash", hashed)
    tries = [house.otp.verify_otp(EMAIL, wrong(code, by)) for by in range(1, 1000)]
    tries.append(house.otp.verify_otp(EMAIL, code))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(outcome, UnauthenticatedError) for outcome in outcomes)
    assert sum(challenge != "nobody" for challenge in compared) == 5
    kept = await house.database["otp_challenges"].find_one({"email": EMAIL})
    assert (kept["attempts"], kept["code_hash"]) == (5, stored)


async def test_try_of_an_older_challenge_does_not_count_for_the_newest(house):
    await house.code(EMAIL)
    challenges = house.database["otp_challenges"]
    seen = await challenges.find_one({"email": EMAIL})
    house.clock.pass_s(60)
    await house.code(EMAIL)
    assert await challenges.update(house.otp._usable(EMAIL, seen), {"$inc": {"attempts": 1}}) == 0


async def test_of_parallel_right_tries_one_wins(house):
    code = await house.code(EMAIL)
    outcomes = await asyncio.gather(
        *(house.otp.verify_otp(EMAIL, code) for _ in range(5)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 1


async def test_code_of_another_address_is_refused(house):
    mine, theirs = await house.code(EMAIL), await house.code("tom@example.org")
    while mine == theirs:
        house.clock.pass_s(60)
        theirs = await house.code("tom@example.org")
    await refused(house, mine, "tom@example.org")
    await house.otp.verify_otp(EMAIL, mine)


async def test_address_without_a_code_is_refused(house):
    await refused(house, "000000")


async def test_code_expires(house):
    code = await house.code(EMAIL)
    house.clock.pass_s(599.9)
    house.database["otp_challenges"]._expire()
    assert await house.database["otp_challenges"].count({}) == 1
    house.clock.pass_s(0.2)
    await refused(house, code)


async def test_expired_code_is_refused_even_while_the_database_keeps_it(build_house):
    house = build_house(otp_ttl_s=30, otp_interval_s=120)
    code = await house.code(EMAIL)
    house.clock.pass_s(31)
    assert await house.database["otp_challenges"].count({"email": EMAIL}) == 1
    await refused(house, code)


async def test_second_request_within_the_interval_sends_nothing(house):
    code = await house.code(EMAIL)
    house.clock.pass_s(59.9)
    await house.otp.request_otp(EMAIL, "")
    assert len(house.post.mails) == 1
    await house.otp.verify_otp(EMAIL, code)


async def test_request_after_the_interval_replaces_the_code(house):
    first = await house.code(EMAIL)
    house.clock.pass_s(60)
    second = await house.code(EMAIL)
    assert len(house.post.mails) == 2
    if first != second:
        await refused(house, first)
    await house.otp.verify_otp(EMAIL, second)


async def test_used_code_does_not_shorten_the_interval(house):
    await house.otp.verify_otp(EMAIL, await house.code(EMAIL))
    await house.otp.request_otp(EMAIL, "")
    assert len(house.post.mails) == 1


async def test_parallel_requests_send_one_mail(house):
    await asyncio.gather(*(house.otp.request_otp(EMAIL, "") for _ in range(50)))
    assert len(house.post.mails) == 1
    assert await house.database["otp_challenges"].count({}) == 1


async def test_interval_outlives_a_shorter_lifetime_of_the_code(build_house):
    house = build_house(otp_ttl_s=30, otp_interval_s=120)
    await house.code(EMAIL)
    house.clock.pass_s(60)
    await house.otp.request_otp(EMAIL, "")
    assert len(house.post.mails) == 1


async def test_mail_that_cannot_be_sent_does_not_block_the_next_request(house):
    house.post.away = True
    with pytest.raises(ProviderUnavailableError):
        await house.otp.request_otp(EMAIL, "")
    house.post.away = False
    await house.otp.verify_otp(EMAIL, await house.code(EMAIL))


async def test_database_holds_neither_the_code_nor_a_plain_hash_of_it(house):
    import hashlib

    code = await house.code(EMAIL)
    stored = await house.database["otp_challenges"].find_one({"email": EMAIL})
    assert code not in str({k: v for k, v in stored.items() if k in {"code_hash", "challenge"}})
    plain = {hashlib.sha256(text.encode()).hexdigest() for text in (code, f"{stored['challenge']}:{code}")}
    assert stored["code_hash"] not in plain


async def test_codes_have_the_configured_length_and_leading_zeros(build_house, monkeypatch):
    house = build_house(otp_digits=8)
    monkeypatch.setattr("studio_auth.otp.secrets.randbelow", lambda _: 42)
    assert await house.code(EMAIL) == "00000042"
    await house.otp.verify_otp(EMAIL, "00000042")


async def test_codes_are_drawn_from_the_whole_range(house, monkeypatch):
    asked = []
    monkeypatch.setattr("studio_auth.otp.secrets.randbelow", lambda n: asked.append(n) or 7)
    await house.code(EMAIL)
    assert asked == [10**6]
