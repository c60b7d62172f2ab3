"""The inbox on the in-memory repository: verified, stored once, worked on, tried again, replayed."""

from __future__ import annotations

import asyncio
import time

import pytest
import structlog

from studio import (
    Actor,
    BadRequestError,
    ConflictError,
    DatabaseUnavailableError,
    NotFoundError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
    WebhookCall,
    WebhookNews,
)
from studio_webhooks.models import CallQuery

pytestmark = pytest.mark.memory
ROOT = Actor("root", platform_role="admin")
DAY_S = 86_400


async def test_call_is_stored_before_anything_hears_of_it(house):
    assert await house.call(delivery="msg_a", query="job=J1&attempt=1&token=T1") == {
        "delivery_id": "msg_a",
        "duplicate": False,
    }
    call = await house.only()
    assert (call["state"], call["attempts"], house.jobs.heard) == ("received", 0, [])
    assert (call["provider_job_id"], call["job_id"]) == ("v-1", "J1")
    assert await house.heard.work_due() == 1
    ((provider, news, token),) = house.jobs.heard
    assert (provider, news.generation.state, token) == ("vendor", "succeeded", "T1")
    done = await house.only()
    assert (done["state"], done["next_at"], done["attempts"]) == ("processed", 0, 1)
    assert "token" not in done
    assert await house.heard.work_due() == 0


async def test_copies_have_one_effect_even_signed_anew_days_later(house):
    for number in range(3):
        at_s = None if number == 0 else int(time.time()) - 100 * number
        receipt = await house.call(delivery="msg_a", at_s=at_s)
        assert receipt["duplicate"] is (number > 0)
    await house.heard.work_due()
    house.clock.pass_s(7 * DAY_S)
    assert (await house.call(delivery="msg_a"))["duplicate"]
    await house.heard.work_due()
    assert len(house.jobs.heard) == 1


async def test_the_same_id_of_two_vendors_is_two_calls(house):
    await house.call(delivery="msg_a")
    house.there.add("other")
    await house.inbox.receive("other", "", house.vendor.parses[0], "9.9.9.9")
    assert await house.calls.count({}) == 2


async def test_calls_are_gone_after_the_days_that_were_set(build_house):
    house = build_house(keep_d=30)
    await house.call()
    house.clock.pass_s(29.9 * DAY_S)
    assert await house.calls.count({}) == 1
    house.clock.pass_s(0.2 * DAY_S)
    assert await house.calls.count({}) == 0


async def test_signatures_tokens_and_cookies_are_not_kept_in_the_headers(house, sign):
    secret = {
        "authorization": "Bearer 1",
        "cookie": "a=b",
        "x-api-key": "k",
        "x-hmac-signature": "s",
        "user-agent": "v",
    }
    body = b'{"type":"mail"}'
    call = WebhookCall(path="/", headers={**secret, **sign(body)}, body=body, received_at=1)
    await house.inbox.receive("vendor", "", call, "9.9.9.9")
    kept = (await house.only())["headers"]
    shown = {name for name, value in kept.items() if value != "[redacted]"}
    assert shown == {"user-agent", "webhook-id", "webhook-timestamp"}
    assert kept["webhook-signature"] == "[redacted]"


async def test_bad_signature_is_counted_and_stored_nowhere(house):
    with pytest.raises(UnauthenticatedError):
        await house.call(forged=True)
    assert (await house.calls.count({}), house.inbox.refused["vendor"]) == (0, 1)


@pytest.mark.parametrize("trouble", [BadRequestError("No."), UnavailableError("Who knows?")])
async def test_what_the_parser_refuses_is_stored_nowhere(house, trouble):
    house.vendor.trouble = trouble
    with pytest.raises(type(trouble)):
        await house.call()
    assert await house.calls.count({}) == 0


async def test_call_without_a_delivery_id_is_refused(house):
    async def parse(call):
        return WebhookNews(delivery_id="")

    house.vendor.parse_webhook = parse
    with pytest.raises(BadRequestError):
        await house.call()


async def test_long_delivery_id_is_one_id_too(house):
    for duplicate in (False, True):
        assert (await house.call(delivery="m" * 5000))["duplicate"] is duplicate
    assert (await house.only())["delivery_id"].startswith("sha256:")


async def test_vendor_that_is_not_there_is_not_found(house):
    house.there.clear()
    with pytest.raises(NotFoundError):
        await house.call()


async def test_flood_of_bad_signatures_is_held_off_and_known_vendors_are_not(build_house):
    house = build_house(refused_calls=5)
    await house.call(remote="1.1.1.1")
    for remote in ("1.1.1.1", "6.6.6.6", "2001:db8::1"):
        for _ in range(5):
            with pytest.raises(UnauthenticatedError):
                await house.call(forged=True, remote=remote)
    for remote in ("6.6.6.6", "2001:db8::ffff"):
        with pytest.raises(RateLimitedError) as refused:
            await house.call(remote=remote)
        assert 0 < refused.value.retry_after <= 60
    assert not (await house.call(remote="1.1.1.1"))["duplicate"]
    assert not (await house.call(remote="2.2.2.2"))["duplicate"]


async def test_unknown_job_is_asked_for_again_and_heard_when_it_is_known(build_house):
    house = build_house(retry_s=1, retry_cap_s=4)
    house.jobs.answer = "unknown"
    await house.call()
    waits = []
    for _ in range(4):
        assert await house.heard.work_due() == 1
        waiting = await house.only()
        assert (waiting["state"], waiting["error_code"]) == ("received", "unknown_job")
        waits.append((waiting["next_at"] - house.clock()) / 1000)
        assert await house.heard.work_due() == 0, "not before its time"
        house.clock.pass_s(waits[-1])
    assert waits == [1, 2, 4, 4]
    house.jobs.answer = "heard"
    await house.heard.work_due()
    done = await house.only()
    assert done["state"] == "processed"
    assert "error" not in done


async def test_job_that_stays_unknown_is_dead_after_a_day_and_can_be_replayed(house):
    house.jobs.answer = "unknown"
    call_id = (await house.calls.find_one({"delivery_id": (await house.call())["delivery_id"]}))["_id"]
    await house.heard.work_due()
    with pytest.raises(ConflictError):
        await house.inbox.replay_call(ROOT, call_id)
    house.clock.pass_s(DAY_S - 1)
    await house.heard.work_due()
    assert (await house.only())["state"] == "received"
    house.clock.pass_s(1_000)
    await house.heard.work_due()
    assert (await house.only())["state"] == "dead"
    house.jobs.answer = "heard"
    assert (await house.inbox.replay_call(ROOT, call_id))["state"] == "received"
    await house.heard.work_due()
    assert (await house.only())["state"] == "processed"


async def test_call_that_is_replayed_at_its_end_is_kept_while_it_waits(build_house):
    house = build_house(keep_d=7, wait_h=24)
    await house.call()
    await house.heard.work_due()
    house.clock.pass_s(6.9 * DAY_S)
    house.jobs.answer = "unknown"
    await house.inbox.replay_call(ROOT, (await house.only())["_id"])
    house.clock.pass_s(0.2 * DAY_S)
    await house.heard.work_due()
    assert (await house.only())["error_code"] == "unknown_job"


async def test_replayed_call_has_a_day_of_its_own(house):
    house.jobs.answer = "unknown"
    await house.call()
    house.clock.pass_s(2 * DAY_S)
    await house.heard.work_due()
    await house.inbox.replay_call(ROOT, (await house.only())["_id"])
    await house.heard.work_due()
    assert (await house.only())["state"] == "received"


async def test_job_that_had_ended_makes_the_call_ignored(house):
    house.jobs.answer = "ignored"
    await house.call()
    await house.heard.work_due()
    assert (await house.only())["state"] == "ignored"


async def test_address_of_another_job_is_dead_at_once(house):
    house.jobs.answer = UnauthenticatedError("Not this job.", code="webhook_token")
    await house.call(query="token=wrong")
    await house.heard.work_due()
    dead = await house.only()
    assert (dead["state"], dead["error_code"]) == ("dead", "webhook_token")


async def test_database_that_is_away_is_waited_for(house):
    house.jobs.answer = DatabaseUnavailableError()
    await house.call()
    await house.heard.work_due()
    assert (await house.only())["state"] == "received"
    house.jobs.answer = "heard"
    house.clock.pass_s(5)
    await house.heard.work_due()
    assert (await house.only())["state"] == "processed"


async def test_event_that_is_about_no_job_is_kept_and_told_to_who_has_joined(house):
    heard = []

    async def listen(call):
        heard.append(call)
        if len(heard) == 1:
            raise RuntimeError("not yet")

    house.hearing.join("vendor", listen)
    await house.call(b'{"type":"email.bounced"}', delivery="msg_m")
    await house.heard.work_due()
    waiting = await house.only()
    assert (waiting["state"], waiting["error_code"]) == ("received", "listener_failed")
    house.clock.pass_s(2)
    await house.heard.work_due()
    assert [(c.provider, c.news.kind, c.news.delivery_id, c.body) for c in heard] == [
        ("vendor", "email.bounced", "msg_m", b'{"type":"email.bounced"}')
    ] * 2
    assert ((await house.only())["state"], house.jobs.heard) == ("processed", [])


async def test_listener_that_hangs_keeps_no_place(house, monkeypatch):
    async def hang(call):
        await asyncio.Event().wait()

    monkeypatch.setattr("studio_webhooks.hearing.LISTENER_S", 0.01)
    house.hearing.join("vendor", hang)
    await house.call()
    async with asyncio.timeout(5):
        assert await house.heard.work_due() == 1
    waiting = await house.only()
    assert (waiting["state"], waiting["error"]) == ("received", "A listener failed with TimeoutError.")
    assert "token" not in waiting


async def test_call_that_another_version_has_stored_waits_for_a_process_of_that_one(house):
    await house.call()
    call = await house.only()
    await house.calls.update(call["_id"], {"$set": {"news": '{"delivery_id":"x","of_tomorrow":1}'}})
    await house.heard.work_due()
    waiting = await house.only()
    assert (waiting["state"], waiting["error_code"]) == ("received", "unreadable_call")
    await house.calls.update(call["_id"], {"$set": {"news": call["news"]}})
    house.clock.pass_s(2)
    await house.heard.work_due()
    assert (await house.only())["state"] == "processed"


async def test_event_that_nobody_waits_for_is_processed(house):
    await house.call(b'{"type":"email.sent"}')
    await house.heard.work_due()
    assert ((await house.only())["state"], house.jobs.heard) == ("processed", [])


async def test_call_waits_while_its_provider_is_not_registered_yet(house):
    await house.call(b'{"type":"email.sent"}')
    house.there.clear()
    await house.heard.work_due()
    assert (await house.only())["error_code"] == "unknown_provider"
    house.there.add("vendor")
    house.clock.pass_s(2)
    await house.heard.work_due()
    assert (await house.only())["state"] == "processed"


async def test_another_process_goes_on_with_what_was_stored(build_house):
    one = build_house()
    await one.call()
    two = build_house(one.database, one.clock)
    assert await two.heard.work_due() == 1
    assert (len(one.jobs.heard), len(two.jobs.heard)) == (0, 1)
    assert (await one.only())["state"] == "processed"


async def test_what_a_dead_process_had_in_hand_is_taken_when_its_lease_ends(build_house):
    one = build_house()
    await one.call()
    (found,) = await one.heard._due()
    await one.calls.update(
        found["_id"], {"$set": {"token": "dead", "next_at": one.clock() + 60_000}, "$inc": {"attempts": 1}}
    )
    two = build_house(one.database, one.clock)
    assert await two.heard.work_due() == 0
    one.clock.pass_s(61)
    assert await two.heard.work_due() == 1
    assert (await one.only())["state"] == "processed"


async def test_call_that_kills_every_process_is_dead(build_house):
    async def die(document):
        """Write nothing any more."""

    house = build_house()
    await house.call()
    for _ in range(3):
        killed = build_house(house.database, house.clock)
        killed.heard._work = die
        assert await killed.heard.work_due() == 1
        house.clock.pass_s(61)
    with structlog.testing.capture_logs() as logged:
        assert await house.heard.work_due() == 0
    dead = await house.only()
    assert (dead["state"], dead["error_code"], house.jobs.heard) == ("dead", "process_died", [])
    assert [(line["event"], line["document_id"]) for line in logged] == [("webhook_kills", dead["_id"])]


async def test_calls_about_one_job_are_heard_one_after_the_other_and_others_beside(house):
    gate, order = asyncio.Event(), []
    hear = house.jobs.hear

    async def slow(provider, news, token=None):
        order.append(news.provider_job_id)
        if news.provider_job_id == "v-slow":
            await gate.wait()
        return await hear(provider, news, token)

    house.jobs.hear = slow
    for job in ("v-slow", "v-slow", "v-1", "v-2"):
        await house.call(f'{{"job":"{job}","state":"running"}}'.encode())
    await house.heard.begin_due()
    async with asyncio.timeout(5):
        while len(house.jobs.heard) < 2:
            await asyncio.sleep(0)
    assert order.count("v-slow") == 1
    gate.set()
    await house.heard.work_due()
    async with asyncio.timeout(5):
        while len(house.jobs.heard) < 4:
            await house.heard.work_due()
            await asyncio.sleep(0)
    assert await house.calls.count({"state": "processed"}) == 4


async def test_stop_gives_back_what_is_cut(build_house):
    house = build_house()
    gate = asyncio.Event()

    async def hang(provider, news, token=None):
        gate.set()
        await asyncio.Event().wait()

    house.jobs.hear = hang
    await house.call()
    await house.heard.begin_due()
    await gate.wait()
    await house.ctx.close()
    call = await house.only()
    assert (call["state"], call["next_at"]) == ("received", house.clock())
    assert "token" not in call


async def test_inbox_is_listed_newest_first_and_by_vendor_and_state(house):
    for number in range(3):
        await house.call(delivery=f"msg_{number}_")
    page = await house.inbox.list_calls(CallQuery(limit=2))
    assert [item["delivery_id"] for item in page.items] == ["msg_2_", "msg_1_"]
    assert not {"body", "news", "headers"} & page.items[0].keys(), "they may have a megabyte each"
    rest = await house.inbox.list_calls(CallQuery(limit=2, cursor=page.next_cursor))
    assert [item["delivery_id"] for item in rest.items] == ["msg_0_"]
    await house.heard.work_due()
    assert not (await house.inbox.list_calls(CallQuery(state="received"))).items
    assert len((await house.inbox.list_calls(CallQuery(state="processed", provider="vendor"))).items) == 3
    assert not (await house.inbox.list_calls(CallQuery(provider="other"))).items
