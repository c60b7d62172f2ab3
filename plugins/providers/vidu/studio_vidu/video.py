"""Animates stills with Vidu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from studio import BadRequestError, Estimate, WebhookNews
from studio_vidu.client import ViduClient
from studio_vidu.models import (
    body_of,
    family_of,
    generation_of,
    mode_of,
    model_of,
    params_of,
    price_per_s,
    seconds_of,
    task_id_of,
)
from studio_vidu.settings import ViduSettings
from studio_vidu.webhooks import Signatures

if TYPE_CHECKING:
    from studio import Generation, PluginContext, VideoRequest, WebhookCall


class ViduVideoGenerator:
    """A still, a first and a last one, references, or a text alone become a video of whole seconds."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(ViduSettings)
        self._client = ViduClient(ctx, settings)
        self._signatures = Signatures(settings.api_key.get_secret_value() if settings.api_key else "")

    async def submit(self, request: VideoRequest) -> Generation:
        """Start a task."""
        params = params_of(request)
        mode, pictures = mode_of(request, params)
        body = body_of(request, model_of(self._settings, request), params, mode)
        if pictures:
            body["images"] = await self._client.pictures(pictures)
        return generation_of(*await self._client.create(mode, body), self._settings)

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask for a task."""
        return generation_of(provider_job_id, await self._client.get(provider_job_id), self._settings)

    async def cancel(self, provider_job_id: str) -> bool:
        """Cancel a task that still waits."""
        return await self._client.cancel(provider_job_id)

    def estimate(self, request: VideoRequest) -> Estimate:
        """Say what a request would cost, where the credits of a second and their price are configured."""
        model = model_of(self._settings, request)
        price = price_per_s(self._settings, model)
        if price is None:
            return Estimate(cost_uusd=None, note=f"no price is configured for {model}")
        return Estimate(cost_uusd=price * seconds_of(request.duration_ms, family_of(model)))

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check a callback; its body is not signed, so it only says which task to ask for."""
        nonce = self._signatures.verify(call)
        try:
            raw = orjson.loads(call.body)
        except orjson.JSONDecodeError as error:
            raise BadRequestError("The body is no JSON.") from error
        task_id = task_id_of(raw) if isinstance(raw, dict) else None
        if task_id is None:
            raise BadRequestError("The body names no task.")
        kind = raw.get("state") or raw.get("status")
        return WebhookNews(
            delivery_id=nonce, kind=kind if isinstance(kind, str) else "", provider_job_id=task_id
        )
