"""Conformance under faults of the vendor: what was taken is not sent again, what can be asked again is."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from studio.providers.limits import LONGEST_PAUSE_S
from studio.testing.conformance_work import INTERRUPTED, expect, expect_success, require

if TYPE_CHECKING:
    from studio.testing.conformance_world import World
    from studio.testing.vendor import FaultMode

REFUSED: tuple[FaultMode, ...] = ("413", "422")
LOST: tuple[FaultMode, ...] = ("500", "cut", "late", "lost", "malformed", "wrong_type", "huge", "endless")
ASKED_AGAIN: tuple[FaultMode, ...] = (
    "429",
    "500",
    "cut",
    "late",
    "malformed",
    "wrong_type",
    "huge",
    "endless",
)
DEADLINE_SLACK_S = 1.0
MB = 1_000_000
RETRY_AFTER_S = 7


def _needs_wire(world: World) -> None:
    if not world.case.submit_path:
        pytest.skip("n/a: it calls nobody")


async def _step(world: World, job_id: str, mode: FaultMode) -> None:
    """Step once, and hold the promises on time and memory while it lasts."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    if mode == "huge":
        tracemalloc.start()
    try:
        await world.jobs.step(job_id)
        peak = tracemalloc.get_traced_memory()[1] // MB if mode == "huge" else 0
    finally:
        tracemalloc.stop()
    took = loop.time() - start
    within = took <= world.case.deadline_s + DEADLINE_SLACK_S
    require(within, f"a call ends within `deadline_s` + {DEADLINE_SLACK_S:g} s (it took {took:.2f} s)")
    require(peak <= world.case.memory_mb, f"a huge answer stays small in memory ({peak} MB)")


class FaultConformance:
    """The cases of an unreliable vendor."""

    @pytest.mark.parametrize("mode", REFUSED)
    async def test_submit_refused(self, world: World, mode: FaultMode) -> None:
        """413 and 422: the vendor did not take it. The job fails, is not repeated and costs nothing."""
        _needs_wire(world)
        world.vendor.fail(mode, world.case.submit_path, times=9)
        job = await world.play(await world.order())
        expect((job["state"], job["attempt"]), ("failed", 1), "a refused order is not repeated")
        expect(world.settlements(job["_id"]), [(1, "release")], "nothing is charged")
        expect(world.submits(), 1, "it is sent once")

    async def test_submit_rate_limited(self, world: World) -> None:
        """429: nothing happened; the next attempt waits as long as Retry-After says, and succeeds."""
        _needs_wire(world)
        world.vendor.retry_after_s = RETRY_AFTER_S
        world.vendor.fail("429", world.case.submit_path)
        job_id = await world.order()
        start = world.now_ms
        world.bell.rings.clear()
        await world.jobs.step(job_id)
        wait_s = (await world.job(job_id))["ready_at"] / 1000 - start / 1000
        require(RETRY_AFTER_S <= wait_s <= LONGEST_PAUSE_S, f"Retry-After is kept ({wait_s:g} s)")
        job = await world.play(job_id)
        expect(job["state"], "succeeded", f"the next attempt succeeds (error: {job.get('error')})")
        expect(world.submits(), 2, "it is sent once more")

    @pytest.mark.parametrize("mode", LOST)
    async def test_submit_answer_lost(self, world: World, mode: FaultMode) -> None:
        """The work may have been started and nobody knows its id: flagged, counted as charged, never sent again."""
        _needs_wire(world)
        world.vendor.fail(mode, world.case.submit_path)
        job_id = await world.order()
        await _step(world, job_id, mode)
        job = await world.play(job_id)
        if world.bound.spec.idempotent_submit:
            expect_success(world, job)
            return
        expect(world.submits(), 1, "work that may have been started is not sent again")
        expect(job["error"] and job["error"]["code"], INTERRUPTED, "a charge that may exist is flagged")
        expect(world.settlements(job_id), [(1, "capture")], "it counts as charged")

    async def test_submit_redirected(self, world: World) -> None:
        """A redirect to loopback instead of an answer: the job fails and nothing is sent again."""
        _needs_wire(world)
        world.vendor.fail("redirect", world.case.submit_path, times=9)
        job = await world.play(await world.order())
        expect(job["state"], "failed", "a redirect is no answer")
        expect(world.submits(), 1, "the order is not repeated")

    @pytest.mark.parametrize("mode", ASKED_AGAIN)
    async def test_poll_answer_lost(self, polled: World, mode: FaultMode) -> None:
        """A question whose answer is lost is asked again; the work goes on and is not started twice."""
        _needs_wire(polled)
        job_id = await polled.submitted()
        await polled.finish(job_id)
        polled.vendor.retry_after_s = 1
        polled.vendor.fail(mode, polled.case.poll_path, times=1)
        polled.now_ms += 60_000
        await _step(polled, job_id, mode)
        expect_success(polled, await polled.play(job_id))
        expect(polled.submits(), 1, "the work is not started again")

    async def test_poll_redirected(self, polled: World) -> None:
        """A redirect to loopback instead of an answer is not followed."""
        _needs_wire(polled)
        job_id = await polled.submitted("running")
        polled.vendor.fail("redirect", polled.case.poll_path, times=5)
        polled.now_ms += 60_000
        await _step(polled, job_id, "redirect")
        expect(polled.accepted, [], "what lies behind a redirect is no result")
        expect(polled.submits(), 1, "the work is not started again")
