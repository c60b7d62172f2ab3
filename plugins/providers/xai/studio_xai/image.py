"""`XaiImageGenerator` and `XaiImageEditor`: pictures that come at once, as addresses that soon die."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from studio import Estimate, Generation, GenerationError, MediaFile, ProviderRejectedError, price_of
from studio_openai.api import chosen, priced
from studio_openai.api.chat import AtOnce, params_of
from studio_xai.asking import calls_of, ratio_of, uri_of
from studio_xai.models import ImageParams, Pictures, uusd
from studio_xai.settings import XaiSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from studio import Doc, ImageEditRequest, ImageRequest, PluginContext

FORMATS = ("image/jpeg", "image/png", "image/webp")
BLOCKED = GenerationError(
    code="content_policy_violation", message="xAI's moderation kept the result back.", input="prompt"
)
_OPERATIONS = {
    "inpaint": "",
    "outpaint": "Extend the picture beyond its borders; change nothing of what is there.",
    "variation": "Make a variation of this picture.",
}


class _Pictures(AtOnce):
    """What drawing and editing share. Nothing can be asked for later."""

    capability: str

    def __init__(self, ctx: PluginContext) -> None:
        settings = ctx.settings(XaiSettings)
        self._models = priced(settings.image_models, settings.prices, FORMATS)
        self._calls = calls_of(ctx, self.capability, settings.image_deadline_s)

    def estimate(self, request: Any) -> Estimate:
        """Return the price of one picture, where the operator has set one."""
        model = chosen(self._models, request.model)
        return Estimate(cost_uusd=price_of(model, {"images": 1, "calls": 1}), note="one picture")

    def _body(self, request: Any, prompt: str) -> Doc:
        if not prompt.strip():
            raise ProviderRejectedError("A prompt is needed.", input="prompt")
        model, params = chosen(self._models, request.model), params_of(ImageParams, request.params)
        body = {"model": model.name, "prompt": prompt, "n": 1, "response_format": "url"}
        return body | {"aspect_ratio": ratio_of(request.width, request.height)} | params.given()

    async def _edit(self, job_id: str, body: Doc, images: Sequence[Path]) -> Generation:
        sent = [{"url": uri, "type": "image_url"} for uri in await asyncio.gather(*map(uri_of, images))]
        pictures = {"image": sent[0]} if len(sent) == 1 else {"images": sent}
        return await self._draw("/images/edits", job_id, body | pictures)

    async def _draw(self, path: str, job_id: str, body: Doc) -> Generation:
        found, request_id = await self._calls.created(path, Pictures, json=body)
        told = uusd(found.usage.cost_in_usd_ticks) if found.usage else None
        common = {"provider_job_id": request_id or f"image-{job_id}"}
        picture = found.data[0] if found.data else None
        if picture is None or not picture.url or picture.respect_moderation is False:
            return Generation(state="failed", error=BLOCKED, cost_uusd=told, **common)
        usage = {"images": 1, "calls": 1}
        meta = {"revised_prompt": picture.revised_prompt} if picture.revised_prompt else {}
        file = MediaFile(mime=picture.mime_type or FORMATS[0], url=picture.url, meta=meta)
        return Generation(
            state="succeeded", percent=100, files=(file,), usage=usage, cost_uusd=told, **common
        )


class XaiImageGenerator(_Pictures):
    """Draws from a prompt; with references it edits them into a new picture."""

    capability = "image"

    async def submit(self, request: ImageRequest) -> Generation:
        """Draw one picture. The vendor knows no negative prompt: it joins the prompt."""
        prompt = f"{request.prompt}\nAvoid: {request.negative}" if request.negative else request.prompt
        body = self._body(request, prompt)
        if request.references:
            return await self._edit(request.job_id, body, request.references)
        return await self._draw("/images/generations", request.job_id, body)


class XaiImageEditor(_Pictures):
    """Changes a whole picture by words; it takes no mask."""

    capability = "image_edit"

    async def submit(self, request: ImageEditRequest) -> Generation:
        """Change one picture."""
        if request.operation not in _OPERATIONS:
            raise ProviderRejectedError(f"xAI cannot {request.operation}.", input="operation")
        if request.mask is not None:
            raise ProviderRejectedError("xAI takes no mask.", input="mask")
        prompt = " ".join(filter(None, (_OPERATIONS[request.operation], request.prompt)))
        body = self._body(request, prompt)
        return await self._edit(request.job_id, body, [request.image])
