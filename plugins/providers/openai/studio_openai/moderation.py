"""`OpenaiModerator`: texts and pictures judged by `/moderations`, which costs nothing and may be asked again.

Source: OpenAI's OpenAPI document, createModeration, and types/moderation.py of its SDK.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

from studio import Estimate, Generation, ProviderError, ProviderRejectedError, price_of
from studio_moderation.api import Flag, ModerationRequest, Verdict
from studio_openai.asking import calls_of
from studio_openai.at_once import AtOnce
from studio_openai.models import Judgement, Judgements
from studio_openai.prices import chosen, free_unless_priced
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from studio import Doc, PluginContext

LARGEST = 15_000_000
"""Bytes of a picture: in base64 it is a third larger, and the vendor takes 20 MB."""
UNNAMED = "flagged"


class OpenaiModerator(AtOnce):
    """Judges at once. Which categories there are is the vendor's: one that is new is an objection too."""

    def __init__(self, ctx: PluginContext) -> None:
        settings = ctx.settings(OpenaiSettings)
        self._models = free_unless_priced(settings.moderation_models, settings.prices)
        self._calls = calls_of(ctx, "moderation", settings.moderation_deadline_s)

    async def submit(self, request: ModerationRequest) -> Generation:
        """Judge one text or one picture; raises ProviderError for an answer that is no judgement."""
        model = chosen(self._models, request.model)
        body = {"model": model.name, "input": [await asyncio.to_thread(_part, request)]}
        _, answer = await self._calls.read("/moderations", Judgements, "POST", json=body)
        if answer is None:
            raise ProviderError("OpenAI answered with nothing.", code="provider_bad_answer")
        flags = [flag for result in answer.results for flag in _flags(result)]
        return Generation(
            provider_job_id=answer.id or f"moderation-{request.job_id}", state="succeeded", percent=100,
            data=Verdict(flags=tuple(flags)).model_dump(), usage={"calls": 1},
        )  # fmt: skip

    def estimate(self, request: ModerationRequest) -> Estimate:
        """Return nothing to pay, unless the operator has set a price."""
        return Estimate(
            cost_uusd=price_of(chosen(self._models, request.model), {"calls": 1}), note="by calls"
        )


def _part(request: ModerationRequest) -> Doc:
    if request.image is None:
        return {"type": "text", "text": request.text}
    if request.image.stat().st_size > LARGEST:
        raise ProviderRejectedError(f"A picture may have {LARGEST // 1_000_000} MB.", input="image")
    picture = base64.b64encode(request.image.read_bytes()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{request.mime};base64,{picture}"}}


def _flags(result: Judgement) -> list[Flag]:
    """Return what the vendor objects to; its `flagged` counts too when it names nothing."""
    names = [name for name, refused in result.categories.items() if refused]
    if result.flagged and not names:
        return [Flag(category=UNNAMED)]
    return [Flag(category=name, score=result.category_scores.get(name)) for name in names]
