"""Conformance of the work itself: submit once, poll, fail, be refused, be cancelled, be killed, cost something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from studio.providers.contract import Estimate
from studio.testing.conformance_world import PUBLIC_URL, KilledError

if TYPE_CHECKING:
    from studio.model import Doc
    from studio.testing.conformance_world import World

INTERRUPTED = "interrupted_unknown_charge"
UNITS = ("calls", "images", "seconds", "characters", "input_tokens", "output_tokens")


def expect(found: Any, wanted: Any, promise: str) -> None:
    """Fail with the promise that was broken."""
    if found != wanted:
        raise AssertionError(f"{promise}: expected {wanted!r}, found {found!r}")


def require(holds: object, promise: str) -> None:
    """Fail with the promise that was broken."""
    if not holds:
        raise AssertionError(promise)


def expect_success(world: World, job: Doc) -> None:
    """Fail unless the job succeeded, with one take and one bill."""
    expect(job["state"], "succeeded", f"the job succeeds (error: {job.get('error')})")
    expect(world.accepted, [(job["_id"], False)], "its result is kept once")
    paid = [found for found in world.settlements(job["_id"]) if found[1] != "release"]
    expect(paid, [(job["attempt"], "capture")], "it is paid once")


class WorkConformance:
    """The cases that every provider has, and those of vendors that are polled."""

    async def test_submitted_once(self, world: World) -> None:
        """One order is one call that starts work, also when many rings come."""
        job_id = await world.submitted()
        for jobs in (world.jobs, world.process(), world.process()):
            await jobs.step(job_id)
        await world.play(job_id)
        if world.case.submit_path:
            expect(world.submits(), 1, "the vendor is asked once to start the work")

    async def test_succeeds(self, world: World) -> None:
        """The work ends well: a file or data, and a cost that is an integer or not known."""
        job = await world.play(await world.submitted())
        expect_success(world, job)
        require(bool(job["files"] or job["data"]), "a success has a file or data")
        require(isinstance(job["cost_uusd"], (int, type(None))), "the cost is whole micro-USD")

    async def test_fails(self, world: World) -> None:
        """The vendor's failure is the job's, with a code and a message for the user."""
        job = await world.play(await world.submitted("failed"), "failed")
        expect(job["state"], "failed", "the job fails")
        require(bool(job["error"]["code"] and job["error"]["message"]), "the error says what went wrong")
        expect(world.accepted, [], "nothing is kept")

    async def test_refusal_names_the_input(self, world: World) -> None:
        """A refusal by moderation is not repeated, and says which input was refused."""
        job = await world.play(await world.submitted("refused"), "refused")
        expect((job["state"], job["attempt"]), ("failed", 1), "a refused job fails and is not tried again")
        require(not job["error"]["retryable"], "a refusal is final")
        require(bool(job["error"]["input"]), "the error's `input` names what was refused")

    async def test_success_without_a_result_fails(self, world: World) -> None:
        """A vendor without a word for failure, or one whose result is gone: done is not enough."""
        job = await world.play(await world.submitted("unusable"), "unusable")
        expect(job["state"], "failed", "a job that is done and has no result has failed")
        expect(world.accepted, [], "nothing is kept")

    async def test_late_success_after_cancel_is_kept(self, world: World) -> None:
        """The work ended just before the vendor heard of the cancel: the take is kept, paid and told."""
        if world.case.poll_path:
            job_id = await world.submitted()
            await world.finish(job_id)
            await world.jobs.cancel(job_id)
        else:
            job_id = await world.cancelled_while_submitting()
        job = await world.play(job_id)
        expect(job["state"], "cancelled", "a cancelled job stays cancelled")
        expect(world.accepted, [(job_id, True)], "the late take is kept, unselected")
        expect(world.settlements(job_id), [(1, "capture")], "the late take is paid once")
        expect(world.ledger.told[-1]["state"], "cancelled", "the user is told")

    async def test_cancel_reaches_the_vendor(self, polled: World) -> None:
        """Work that still runs is cancelled at the vendor; a vendor that cannot is followed to the end."""
        job_id = await polled.submitted("running")
        await polled.jobs.cancel(job_id)
        calls = len(polled.vendor.calls)
        await polled.jobs.step(job_id)
        job = await polled.play(job_id)
        expect(job["state"], "cancelled", "a cancelled job stays cancelled")
        if polled.case.submit_path:
            require(len(polled.vendor.calls) > calls, "the vendor is asked")
            expect(polled.submits(), 1, "cancelling starts nothing")

    async def test_restart_between_submit_and_commit(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The worker dies after the vendor took the work and before its id is stored: never sent twice unless free."""
        job_id = await world.order()
        repository = world.database["jobs"]
        write = repository.update

        async def deadly(where: Any, change: Any, **options: Any) -> Any:
            if change.get("$set", {}).get("state") in ("submitted", "finalizing"):
                raise KilledError
            return await write(where, change, **options)

        with monkeypatch.context() as patch:
            patch.setattr(repository, "update", deadly)
            with pytest.raises(KilledError):
                await world.jobs.step(job_id)
        world.jobs = world.process()
        job = await world.play(job_id)
        if world.bound.spec.idempotent_submit:
            expect_success(world, job)
            return
        expect(job["error"] and job["error"]["code"], INTERRUPTED, "a charge that may exist is flagged")
        expect(world.settlements(job_id), [(1, "capture")], "it counts as charged, unknown")
        expect(world.submits(), 1, "the work is not started again")

    async def test_estimate_and_price(self, world: World) -> None:
        """Money is whole micro-USD; a price that is not known is None everywhere, a free one is 0."""
        bound, request = world.bound, world.case.request("succeeded")
        estimate = bound.estimate(request)
        require(isinstance(estimate, Estimate), "`estimate` returns an Estimate")
        require((estimate.cost_uusd or 0) >= 0, "an estimate is not negative")
        for model in bound.spec.models:
            priced = model.price_kind not in ("free", "unknown")
            require(model.unit_price_uusd is not None or not priced, f"{model.name} has a unit price")
            cost = bound.price(model.name, dict.fromkeys(UNITS, 1))
            if model.price_kind == "free":
                expect(cost, 0, f"{model.name} is free")
            elif model.price_kind == "unknown":
                expect(cost, None, f"{model.name} has no known price")
            asked = model.name == request.model or len(bound.spec.models) == 1
            if asked and model.price_kind in ("free", "unknown"):
                expect(estimate.cost_uusd, cost, "the estimate agrees with the declared price")

    async def test_missing_key_is_named(self, world: World) -> None:
        """Without a key the provider is off and says which variable to set."""
        settings = world.case.without_key()
        if settings is None:
            pytest.skip("n/a: it needs no key")
        specs = world.specs(settings)
        expect([s.name for s in specs if s.missing is None], [], "without a key it is off")
        prefix = f"STUDIO_{world.case.plugin.manifest.name.upper()}__"
        require(all(prefix in (s.missing or "") for s in specs), f"`missing` names a variable {prefix}…")

    async def test_callback_address_is_sent(self, world: World) -> None:
        """The vendor is told where to call back, with this job's own token."""
        if not world.bound.spec.webhooks:
            pytest.skip("n/a: it has no webhooks")
        job_id = await world.submitted()
        job = await world.job(job_id)
        said = [unquote(f"{call.query} {call.body.decode(errors='replace')}") for call in world.vendor.calls]
        address = f"{PUBLIC_URL}/api/webhooks/{world.bound.name}"
        found = any(address in text and job["callback_token"] in text for text in said)
        require(found, "a request carries `callback_url`")
