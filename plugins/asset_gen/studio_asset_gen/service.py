"""What the routes do: generate, batch, estimate, and look after jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Actor, JobOrder, NotFoundError
from studio_asset_gen.orders import Orders

if TYPE_CHECKING:
    from studio import Doc, PluginContext
    from studio_asset_gen.models import (
        BatchRequest,
        CancelRequest,
        EstimateRequest,
        GenerateRequest,
    )
    from studio_asset_gen.takes import AssetStore
    from studio_asset_gen.voice_models import PreviewRequest
    from studio_asset_gen.voices import VoiceService

GENERATED = ("image", "image_edit", "video", "voice", "music", "film", "score", "breakdown", "chat")


class AssetGenService:
    """Generations of a project."""

    def __init__(self, ctx: PluginContext, store: AssetStore, voices: VoiceService) -> None:
        self._ctx, self._store, self._voices = ctx, store, voices
        self.orders = Orders(ctx, store)

    async def generate(self, actor: Actor, body: GenerateRequest, once: str | None = None) -> Doc:
        """Order `n` takes for one slot; several wanted at once come back as several jobs."""
        ordered = await self.orders.single(body)
        jobs = await self.orders.submit(actor, ordered, idempotency_key=once)
        self._log(
            actor, jobs[0]["project_id"], "generation.started", {"count": len(jobs), "slot": body.target.slot}
        )
        return {"job": jobs[0], "jobs": jobs}

    async def batch(self, actor: Actor, body: BatchRequest) -> Doc:
        """Order what a story lacks, in one batch."""
        view = await self.orders.view(body.story_id, body.scenes)
        ordered, blocked = await self.orders.many(view, body)
        jobs = await self.orders.submit(actor, ordered)
        batch_id = ordered[0][2].batch_id if ordered else ""
        if jobs:
            params = {"count": len(jobs), "kinds": ", ".join(dict.fromkeys(body.kinds)), "batch_id": batch_id}
            self._log(actor, view.project["_id"], "batch.started", params)
        return {"batch_id": batch_id, "total": len(jobs), "jobs": jobs, "blocked": blocked}

    async def estimate(self, body: EstimateRequest) -> Doc:
        """Price a batch or one generation."""
        if body.story_id is None:
            return await self.orders.estimate(await self.orders.single(body))
        ordered, blocked = await self.orders.many(await self.orders.view(body.story_id, body.scenes), body)
        return await self.orders.estimate(ordered) | {"blocked": blocked}

    async def stale(self, body: EstimateRequest) -> Doc:
        """Say what would be made again, and what it would cost."""
        view = await self.orders.view(body.story_id or "")
        found = await self.orders.stale(view)
        names = list(dict.fromkeys(kind.name for kind, _ in found))
        asked = body.model_copy(update={"kinds": names, "only": "stale"})
        ordered, blocked = await self.orders.many(view, asked)
        items = [
            {
                "kind": kind.name,
                "target": slot.target,
                "label": slot.label,
                "asset_id": slot.asset_id,
                "reason": slot.stale,
            }
            for kind, slot in found
        ]
        estimate = await self.orders.estimate(ordered) | {"blocked": blocked}
        return {"items": items, "total": len(items), "estimate": estimate}

    def models(self, capability: str | None) -> list[Doc]:
        """Return who generates what, and why not."""
        rows = self._ctx.providers.describe()
        chosen = GENERATED if capability is None else (capability,)
        return [row for row in rows if row["capability"] in chosen]

    # ------------------------------------------------------------ jobs

    async def cancel(self, actor: Actor, job: Doc) -> Doc:
        """Cancel a job."""
        cancelled = await self._ctx.jobs.cancel(job["_id"])
        self._log(actor, job["project_id"], "generation.cancelled", {"kind": job["kind"]}, job["_id"])
        return cancelled

    async def retry(self, actor: Actor, job: Doc) -> Doc:
        """Begin another attempt of a failed or cancelled job."""
        again = await self._ctx.jobs.retry(job["_id"])
        self._log(actor, job["project_id"], "generation.retried", {"kind": job["kind"]}, job["_id"])
        return again

    async def cancel_pending(self, actor: Actor, body: CancelRequest) -> int:
        """Cancel the queued jobs of a batch, or of the project; a batch of another project has none."""
        if body.batch_id is None:
            count = await self._ctx.jobs.cancel_pending(project_id=body.project_id)
        else:
            page = await self._ctx.jobs.page(body.project_id, batch_id=body.batch_id, limit=1)
            if not page.items:
                raise NotFoundError("There is no such batch in this project.")
            count = await self._ctx.jobs.cancel_pending(batch_id=body.batch_id)
        if count:
            self._log(actor, body.project_id, "batch.cancelled", {"count": count})
        return count

    async def pause(self, actor: Actor, *, paused: bool) -> Doc:
        """Leave queued jobs where they are, or let them run; returns the state of the queue."""
        await self._ctx.jobs.pause(paused=paused)
        self._ctx.log.warning("queue_paused" if paused else "queue_resumed", user_id=actor.user_id)
        return {"paused": paused}

    # ------------------------------------------------------------ previews

    async def preview(self, actor: Actor, setting: Doc, body: PreviewRequest) -> Doc:
        """Order a short sample of a voice; a job like any other, so that its cost is held like any other."""
        choice = await self._voices.choice(setting, None, None)
        kept = {key: setting[key] for key in ("language", "rate", "pitch", "character_id")}
        given = {**kept, "text": body.text, "voice": choice["voice"], "fallbacks": choice["fallbacks"]}
        given |= {"label": f"Preview {setting['name']}"}
        target = {"type": "voice_setting", "id": setting["_id"], "slot": "preview"}
        order = JobOrder("voice.generate", setting["project_id"], target, given, provider=choice["provider"])
        return await self._ctx.jobs.submit(actor, order)

    def _log(
        self, actor: Actor, project_id: str, action: str, params: Doc, job_id: str | None = None
    ) -> None:
        self._ctx.activity.log_activity(project_id, actor, action, None, params, job_id)
