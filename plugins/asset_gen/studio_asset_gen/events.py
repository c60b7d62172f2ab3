"""What happens when a job moves: the front end hears of it, a failed line gets its fallback voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import TERMINAL, Actor, JobOrder, StudioError
from studio_asset_gen.models import JobPublic

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_asset_gen.takes import AssetStore

NOT_BY_ANOTHER = frozenset(
    {
        "budget_exceeded",
        "finalize_failed",
        "interrupted_unknown_charge",
        "unknown_voice",
        "moderation_refused",
        "moderation_unavailable",
        "provenance_unavailable",
    }
)
"""Failures that another voice does not mend, or that the user has to decide on."""


def job_json(job: Doc) -> Doc:
    """Return a job as the wire shows it."""
    fields = {name: job[name] for name in JobPublic.model_fields if name in job}
    return JobPublic.model_validate({**fields, "id": job["_id"]}).model_dump(mode="json", by_alias=True)


STATUS = {"succeeded": 200, "failed": 500, "cancelled": 409}
"""The existing front end reads HTTP's numbers; whatever is under way is 202."""


class JobEvents:
    """Listens to jobs."""

    def __init__(self, ctx: PluginContext, store: AssetStore) -> None:
        self._ctx, self._store = ctx, store

    async def job_changed(self, job: Doc) -> None:
        """Publish a job's new state; hand a failed line to its fallback voice."""
        data = {"job": job_json(job)}
        self._ctx.realtime.publish_room(f"project:{job['project_id']}", "job.updated", data)
        if job["kind"] == "voice.generate" and job["state"] == "failed":
            await self._fall_back(job)
        if self._store.kind_of(job["kind"]) is None:
            return
        told = {
            "status": STATUS.get(job["state"], 202),
            "message": _message(job),
            "success": job["state"] != "failed",
            "data": data,
        }
        self._ctx.realtime.publish(job["user_id"], "assetGenResponse", told)

    async def _fall_back(self, job: Doc) -> None:
        """Order the line again in its next fallback voice; that job has one fallback less."""
        given, code = job["input"], (job.get("error") or {}).get("code")
        fallbacks = given.get("fallbacks") or []
        if not fallbacks or code in NOT_BY_ANOTHER or job.get("cost_source") == "unknown":
            return  # what may have been charged already is for the user to decide
        choice, *rest = fallbacks
        order = JobOrder(
            job["kind"],
            job["project_id"],
            job["target"],
            {**given, "voice": choice["voice"], "fallbacks": rest},
            provider=choice["provider"],
            batch_id=job.get("batch_id"),
            dedupe_hash=f"fallback:{job['_id']}:{job['attempt']}",
        )
        key = job.get("api_key_id")
        actor = Actor(job["user_id"], kind="api_key" if key else "user", session_id=key)
        try:
            await self._ctx.jobs.submit(actor, order)
        except StudioError as error:
            self._ctx.log.warning("fallback_voice_failed", job=job["_id"], error=error.detail)
            return
        params = {"provider": job["provider"], "fallback": choice["provider"], "voice": choice["voice"]}
        self._ctx.activity.log_activity(
            job["project_id"], actor, "voice.fell_back", job["target"], params, job["_id"]
        )


def _message(job: Doc) -> str:
    label = job["input"].get("label") or job["kind"]
    if job["state"] == "failed":
        return f"{label}: {(job.get('error') or {}).get('message', 'failed')}"
    if job["state"] in TERMINAL:
        return f"{label} {'is ready' if job['state'] == 'succeeded' else 'was cancelled'}"
    return f"{label}: {job['state']}"
