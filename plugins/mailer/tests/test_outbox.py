"""The outbox on the in-memory repository: once per key, tried again, never two at a time."""

from __future__ import annotations

import asyncio
import json

import pytest

from studio import (
    Actor,
    ConflictError,
    DatabaseUnavailableError,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    RateLimitedError,
    UnavailableError,
)
from studio_mailer.models import Figures
from studio_mailer.samples import SAMPLES

pytestmark = pytest.mark.memory
ADMIN = Actor("root")


async def test_mail_is_stored_before_it_is_sent_and_its_text_goes_when_it_is(office):
    mail = await office.enqueue()
    assert (mail["state"], mail["attempts"], mail["to"]) == ("queued", 0, "ann@example.org")
    assert json.loads(mail["content"])["project"] == "The Last Reel"
    assert await office.delivery.deliver_due() == 1
    done = await office.now()
    assert (done["state"], done["attempts"], done["next_at"]) == ("sent", 1, 0)
    assert (done["provider"], done["message_id"]) == ("post", f"<{mail['_id']}@post>")
    assert "content" not in done
    assert "invitations/sample" not in repr(done), "a link with its token stays nowhere"
    assert [m.to for m in office.post.sent] == ["ann@example.org"]


async def test_second_mail_under_a_key_is_not_sent(office):
    await office.enqueue()
    await office.enqueue(project="Another")
    await office.delivery.deliver_due()
    await office.enqueue()
    assert await office.delivery.deliver_due() == 0
    assert len(office.post.sent) == 1
    await office.enqueue(key="k2")
    assert await office.delivery.deliver_due() == 1


async def test_enqueue_wakes_the_delivery(office):
    rung = []
    office.mails.ring = lambda: rung.append(1)
    await office.enqueue()
    await office.enqueue()
    assert rung == [1]


async def test_code_is_never_stored(office):
    with pytest.raises(ValueError, match="send_now"):
        await office.enqueue(template="otp")
    await office.mails.send_now("otp", "ann@example.org", SAMPLES["otp"], key="challenge-1")
    assert office.post.keys == ["challenge-1"]
    assert await office.box.count({}) == 0


async def test_failed_send_now_tells_the_caller_and_stores_nothing(office):
    office.post.troubles.append(ProviderError("No."))
    with pytest.raises(ProviderError):
        await office.mails.send_now("otp", "ann@example.org", SAMPLES["otp"], key="challenge-1")
    assert await office.box.count({}) == 0


@pytest.mark.parametrize("to", ["a@x.org\r\nBcc: b@x.org", "a@x.org, b@x.org", "Ann <a@x.org>"])
async def test_bad_address_is_refused_before_anything_is_stored(office, to):
    with pytest.raises(InvalidInputError):
        await office.enqueue(to=to)
    with pytest.raises(InvalidInputError):
        await office.mails.send_now("otp", to, SAMPLES["otp"], key="k")
    assert await office.box.count({}) == 0
    assert office.post.calls == 0


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_key_that_is_none_is_refused(office, key):
    with pytest.raises(ValueError, match="occasion"):
        await office.enqueue(key=key)


@pytest.mark.parametrize(
    "trouble", [ProviderError("Down."), OutcomeUnknownError("Who knows?"), UnavailableError("Later.")]
)
async def test_trouble_is_tried_again_later_and_later_under_the_same_key(build_office, trouble):
    office = build_office(retry_s=5, retry_cap_s=30)
    mail = await office.enqueue()
    waits = []
    for _ in range(5):
        office.post.troubles.append(trouble)
        assert await office.delivery.deliver_due() == 1
        waiting = await office.now()
        assert (waiting["state"], waiting["error"]) == ("queued", trouble.detail)
        waits.append((waiting["next_at"] - office.clock()) / 1000)
        assert await office.delivery.deliver_due() == 0, "not before its time"
        office.clock.pass_s(waits[-1])
    assert waits == [5, 10, 20, 30, 30]
    await office.delivery.deliver_due()
    done = await office.now()
    assert (done["state"], done["attempts"]) == ("sent", 6)
    assert "error" not in done
    assert office.post.keys == [mail["_id"]]


async def test_jitter_stays_between_half_and_the_whole(build_office):
    office = build_office(retry_s=10)
    office.delivery._chance = lambda low, high: (low + high) / 2
    await office.enqueue()
    office.post.troubles.append(ProviderError("Down."))
    await office.delivery.deliver_due()
    assert (await office.now())["next_at"] - office.clock() == 7_500


@pytest.mark.parametrize("kind", [ProviderError, RateLimitedError])
async def test_provider_that_names_a_time_is_not_asked_sooner(office, kind):
    await office.enqueue()
    office.post.troubles.append(kind("Slow down.", retry_after=500))
    await office.delivery.deliver_due()
    mail = await office.now()
    assert (mail["state"], mail["next_at"] - office.clock()) == ("queued", 500_000)


async def test_mail_is_dead_after_the_last_try(build_office):
    office = build_office(tries=3)
    await office.enqueue()
    office.post.troubles.extend([ProviderError("Down.")] * 3)
    for _ in range(3):
        await office.delivery.deliver_due()
        office.clock.pass_s(10_000)
    mail = await office.now()
    assert (mail["state"], mail["attempts"], mail["next_at"]) == ("dead", 3, 0)
    assert await office.delivery.deliver_due() == 0


@pytest.mark.parametrize("refusal", [ProviderRejectedError("Unknown domain."), InvalidInputError("No.")])
async def test_refused_mail_has_failed_at_once(office, refusal):
    await office.enqueue()
    office.post.troubles.append(refusal)
    await office.delivery.deliver_due()
    mail = await office.now()
    assert (mail["state"], mail["error"], mail["error_code"]) == ("failed", refusal.detail, refusal.code)
    office.clock.pass_s(10_000)
    assert await office.delivery.deliver_due() == 0


@pytest.mark.parametrize("state", ["dead", "failed"])
async def test_dead_and_failed_mails_can_be_retried(build_office, state):
    office = build_office(tries=1)
    mail = await office.enqueue()
    office.post.troubles.append(
        ProviderError("Down.") if state == "dead" else ProviderRejectedError("No such domain.")
    )
    await office.delivery.deliver_due()
    assert (await office.now())["state"] == state
    again = await office.mails.retry_mail(ADMIN, mail["_id"])
    assert (again["state"], again["attempts"]) == ("queued", 0)
    assert "expires_at" not in again
    await office.delivery.deliver_due()
    assert (await office.now())["state"] == "sent"


async def test_only_what_ended_badly_can_be_retried(office):
    mail = await office.enqueue()
    with pytest.raises(ConflictError, match="queued"):
        await office.mails.retry_mail(ADMIN, mail["_id"])
    await office.delivery.deliver_due()
    with pytest.raises(ConflictError, match="sent"):
        await office.mails.retry_mail(ADMIN, mail["_id"])
    with pytest.raises(NotFoundError):
        await office.mails.retry_mail(ADMIN, "nobody")


async def test_waiting_for_a_provider_costs_no_tries(office):
    await office.enqueue()
    office.open = False
    for _ in range(50):
        assert await office.delivery.deliver_due() == 0
    office.open, office.post.breaker.wait_s = True, 3.0
    assert await office.delivery.deliver_due() == 0
    assert (await office.now())["attempts"] == 0
    office.post.breaker.wait_s = 0.0
    assert await office.delivery.deliver_due() == 1


async def test_two_processes_send_each_mail_once(build_office):
    one = build_office()
    two = build_office(one.database, one.clock, one.post)
    one.post.keys = _Forgetful()
    for number in range(60):
        await one.enqueue(key=f"k{number}", to=f"a{number}@example.org")
    while sum(await asyncio.gather(one.delivery.deliver_due(), two.delivery.deliver_due())):
        pass
    assert sorted(m.to for m in one.post.sent) == sorted(f"a{n}@example.org" for n in range(60))


class _Forgetful(list):
    """The keys of a provider that knows none: a second send would be seen."""

    def __contains__(self, key):
        return False


async def test_what_a_dead_process_had_in_hand_is_sent_when_its_lease_ends(build_office):
    one = build_office()
    one.post.gate = asyncio.Event()
    mail = await one.enqueue()
    dying = asyncio.ensure_future(one.delivery.deliver_due())
    while not one.post.calls:
        await asyncio.sleep(0)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert (await one.now())["state"] == "sending"
    one.post.gate.set()
    two = build_office(one.database, one.clock, one.post)
    assert await two.delivery.deliver_due() == 0, "the lease holds"
    two.clock.pass_s(91)
    assert await two.delivery.deliver_due() == 1
    assert ((await two.now())["state"], two.post.keys) == ("sent", [mail["_id"]])


async def test_outcome_of_a_claim_that_was_lost_is_not_written(build_office):
    one = build_office()
    one.post.gate = asyncio.Event()
    await one.enqueue()
    slow = asyncio.ensure_future(one.delivery.deliver_due())
    while not one.post.calls:
        await asyncio.sleep(0)
    one.clock.pass_s(91)  # the process stood still for longer than its lease
    two = build_office(one.database, one.clock)
    assert await two.delivery.deliver_due() == 1
    one.post.troubles.append(ProviderRejectedError("Late."))
    one.post.gate.set()
    await slow
    assert (await one.now())["state"] == "sent"


async def test_mail_that_kills_its_process_is_buried(build_office):
    office = build_office(tries=2)
    mail = await office.enqueue()
    lost = {"$set": {"state": "sending", "attempts": 2, "next_at": office.clock() - 1}}
    await office.box.update(mail["_id"], lost)
    await office.delivery.deliver_due()
    found = await office.now()
    assert (found["state"], found["error_code"], office.post.calls) == ("dead", "process_died", 0)


@pytest.mark.parametrize(
    ("field", "ends"),
    [
        ("template", "failed"),
        ("to", "failed"),
        ("content", "failed"),
        ("attempts", "sent"),
        ("state", "sent"),
    ],
)
async def test_mail_that_lacks_a_field_ends_and_the_others_go_on(office, field, ends):
    strange = await office.enqueue()
    await office.enqueue(key="k2")
    await office.box.update(strange["_id"], {"$unset": {field: ""}})
    await office.delivery.deliver_due()
    assert [(await office.now(key))["state"] for key in ("k1", "k2")] == [ends, "sent"]


async def test_mail_of_another_release_fails_with_its_reason_and_the_others_go_on(office):
    await office.enqueue()
    await office.enqueue(key="k2")
    await office.box.update({"key": "k1"}, {"$set": {"template": "gone"}})
    await office.enqueue(key="k3")
    await office.box.update({"key": "k3"}, {"$set": {"content": "{}"}})
    await office.delivery.deliver_due()
    assert (await office.now("k1"))["error_code"] == "template_changed"
    assert (await office.now("k3"))["state"] == "failed"
    assert (await office.now("k2"))["state"] == "sent"


async def test_records_go_after_their_time_and_the_key_with_them(build_office):
    office = build_office(keep_d=1)
    await office.enqueue()
    await office.delivery.deliver_due()
    office.clock.pass_s(86_399)
    assert await office.now() is not None
    office.clock.pass_s(2)
    assert await office.now() is None


async def test_waiting_mail_never_goes_by_age(build_office):
    office = build_office(keep_d=1)
    await office.enqueue()
    office.clock.pass_s(90 * 86_400)
    assert (await office.now())["state"] == "queued"


async def test_figures_and_health_tell_what_waits_and_what_died(build_office):
    office = build_office(tries=1)
    assert await office.mails.figures() == Figures()
    for key, trouble in (("a", ProviderError("Down.")), ("b", ProviderRejectedError("No."))):
        await office.enqueue(key=key)
        office.post.troubles.append(trouble)
        await office.delivery.deliver_due()
    await office.enqueue(key="c")
    office.clock.pass_s(60)
    assert await office.mails.figures() == Figures(queued=1, dead=2, oldest_s=60.0)
    probe = office.mails.health_check().probe
    assert await probe() == "1 queued, the oldest for 60 s; 2 dead"
    office.clock.pass_s(3_000)
    with pytest.raises(UnavailableError, match=r"3060 s.*provider"):
        await probe()


async def test_delivery_runs_until_it_is_stopped_and_survives_a_database_that_is_away(office, monkeypatch):
    find, troubles = office.box.find, [DatabaseUnavailableError("Away.")] * 2

    async def flaky(*args, **kwargs):
        if troubles:
            raise troubles.pop()
        return await find(*args, **kwargs)

    monkeypatch.setattr(office.box, "find", flaky)
    office.mails.ring = office.delivery.ring
    running = asyncio.ensure_future(office.delivery.run(office.mails.figures))
    try:
        async with asyncio.timeout(20):
            for key in ("a", "b", "c"):
                await office.mails.enqueue("invitation", "a@x.org", SAMPLES["invitation"], key=key)
            while len(office.post.sent) < 3:
                office.delivery.ring()
                await asyncio.sleep(0.01)
            await office.delivery.stop()
            await running
    finally:
        running.cancel()
    assert {m["state"] for m in await office.box.find({})} == {"sent"}


async def test_stop_waits_for_the_mail_under_way(office):
    office.post.gate = asyncio.Event()
    office.mails.ring = office.delivery.ring
    running = asyncio.ensure_future(office.delivery.run(office.mails.figures))
    async with asyncio.timeout(20):
        await office.enqueue()
        while not office.post.calls:
            await asyncio.sleep(0.01)
        stopping = asyncio.ensure_future(office.delivery.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        office.post.gate.set()
        await stopping
        await running
    assert (await office.now())["state"] == "sent"
