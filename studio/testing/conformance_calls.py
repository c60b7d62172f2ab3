"""Conformance of webhooks: lost, duplicate, late, out of order, forged, and racing the poll."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from studio.errors import StudioError, UnauthenticatedError
from studio.testing.conformance_work import expect, expect_success

if TYPE_CHECKING:
    from collections.abc import Callable

    from studio.providers.services import WebhookCall
    from studio.testing.conformance_world import World
    from studio.testing.providers import Outcome

DAY_S = 86_400.0
COPIES = 20


def _re_encoded(call: WebhookCall) -> WebhookCall:
    """Return the same JSON in other bytes."""
    body = json.dumps(json.loads(call.body), indent=1).encode()
    return call.model_copy(update={"body": body})


def _flipped(call: WebhookCall) -> WebhookCall:
    middle = len(call.body) // 2
    body = bytes([*call.body[:middle], call.body[middle] ^ 1, *call.body[middle + 1 :]])
    return call.model_copy(update={"body": body})


def _unsigned(call: WebhookCall) -> WebhookCall:
    kept = {name: value for name, value in call.headers.items() if name == "content-type"}
    return call.model_copy(update={"headers": kept})


def _foreign(call: WebhookCall) -> WebhookCall:
    """Return the call with letters in every header that no signature has."""
    spoiled = {name: f"{value[:-1]}é" for name, value in call.headers.items() if name != "content-type"}
    return call.model_copy(update={"headers": spoiled})


FORGERIES: dict[str, Callable[[WebhookCall], WebhookCall]] = {
    "flipped bit": _flipped,
    "truncated": lambda call: call.model_copy(update={"body": call.body[:-1]}),
    "re-encoded": _re_encoded,
    "missing headers": _unsigned,
    "letters in headers": _foreign,
    "other secret": lambda call: call,
    "old timestamp": lambda call: call,
}


def _call(
    world: World, provider_job_id: str, what: Outcome = "succeeded", *, forged: bool = False, age_s: float = 0
) -> WebhookCall:
    call = world.case.webhook(world.vendor, provider_job_id, what, forged=forged, age_s=age_s)
    if call is None:
        pytest.skip(f"n/a: the vendor never calls with {what!r}")
    return call


async def _ready(world: World) -> tuple[str, str]:
    """Submit a job and let the vendor end it; returns its id and the vendor's."""
    job_id = await world.submitted()
    await world.finish(job_id)
    return job_id, (await world.job(job_id))["provider_job_id"]


class WebhookConformance:
    """The cases of vendors that call back."""

    async def test_webhook_finishes_the_job(self, called: World) -> None:
        """A good call is believed or makes us poll at once, long before the next poll."""
        job_id, vendor_id = await _ready(called)
        token = (await called.job(job_id))["callback_token"]
        expect(await called.hear(_call(called, vendor_id), token), "heard", "the call is heard")
        called.bell.rings = [(job_id, 0.0)]
        await called.jobs.step(job_id)
        expect_success(called, await called.job(job_id))

    async def test_webhook_lost(self, called: World) -> None:
        """No call comes: polling finds the end."""
        job_id, _ = await _ready(called)
        expect_success(called, await called.play(job_id))

    async def test_webhook_duplicate(self, called: World) -> None:
        """Copies of one delivery say the same id and have one effect."""
        job_id, vendor_id = await _ready(called)
        call = _call(called, vendor_id)
        news = [await called.bound.parse_webhook(call) for _ in range(3)]
        expect(len({one.delivery_id for one in news}), 1, "every copy of a delivery has the same id")
        await asyncio.gather(*(called.hear(call) for _ in range(COPIES)))
        expect_success(called, await called.play(job_id))

    async def test_webhook_late(self, called: World) -> None:
        """A call after the poll has found the end changes nothing."""
        job_id, vendor_id = await _ready(called)
        before = await called.play(job_id)
        expect(await called.hear(_call(called, vendor_id)), "ignored", "a late call is ignored")
        expect(await called.job(job_id), before, "it changes nothing")

    async def test_webhook_out_of_order(self, called: World) -> None:
        """A call that says "running" after one that said "done" changes nothing."""
        job_id, vendor_id = await _ready(called)
        late = _call(called, vendor_id, "running")
        await called.hear(_call(called, vendor_id))
        before = await called.play(job_id)
        expect(await called.hear(late), "ignored", "a call that was overtaken is ignored")
        expect(await called.job(job_id), before, "it changes nothing")

    async def test_webhook_unknown_job(self, called: World) -> None:
        """A good call about a job that nobody knows (yet) is kept for another try."""
        _, vendor_id = await _ready(called)
        call = _call(called, vendor_id)
        await called.database["jobs"].delete({"kind": {"$gt": ""}}, many=True)
        expect(await called.hear(call), "unknown", "a call about an unknown job is kept")

    async def test_webhook_races_poll(self, called: World) -> None:
        """Calls and polls of several processes at once have one effect."""
        job_id, vendor_id = await _ready(called)
        call, others = _call(called, vendor_id), [called.process() for _ in range(5)]
        called.now_ms += 60_000
        polls = [other.step(job_id) for other in others]
        await asyncio.gather(*(called.hear(call) for _ in range(COPIES)), *polls)
        expect_success(called, await called.play(job_id))

    @pytest.mark.parametrize("how", FORGERIES)
    async def test_webhook_forged(self, called: World, how: str) -> None:
        """A call that the vendor did not make is refused with 401 and changes nothing."""
        job_id, vendor_id = await _ready(called)
        before = await called.job(job_id)
        age_s = DAY_S if how == "old timestamp" else 0.0
        call = _call(called, vendor_id, forged=how == "other secret", age_s=age_s)
        try:
            await called.hear(FORGERIES[how](call))
        except UnauthenticatedError:
            pass
        except StudioError as error:
            raise AssertionError(
                f"check the signature over the raw body first: {how} raised {error!r}"
            ) from error
        else:
            raise AssertionError(f"a forged call was believed: {how}")
        expect(await called.job(job_id), before, "it changes nothing")
