"""`OpenaiImageGenerator` and `OpenaiImageEditor`: GPT image models, whose pictures come in the answer."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
from typing import TYPE_CHECKING, Any

from studio import (
    BadRequestError,
    Estimate,
    Generation,
    MediaFile,
    OutcomeUnknownError,
    ProviderRejectedError,
    data_uri,
    price_of,
)
from studio_openai.asking import calls_of
from studio_openai.at_once import AtOnce
from studio_openai.files import OutputFolder
from studio_openai.models import EditParams, ImageParams, Pictures, params_of
from studio_openai.prices import chosen, priced
from studio_openai.settings import OpenaiSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from studio import Doc, ImageEditRequest, ImageRequest, ModelSpec, PluginContext
    from studio_openai.models import Picture

FORMATS = ("image/png", "image/jpeg", "image/webp")
_ANY_SIZE = "gpt-image-2"
_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
_STEP, _LONGEST, _FLATTEST = 16, 3840, 3.0
_PNG, _PNG_HEAD = b"\x89PNG\r\n\x1a\n", 24
_MOST_PIXELS = 3840 * 2160
PROMPT_LETTERS, MOST_IMAGES, URI_BYTES, MASK_BYTES = 32_000, 16, 15_000_000, 4_000_000
_OPERATIONS = {
    "inpaint": "",
    "outpaint": "Extend the picture beyond its borders until it fills the frame; change nothing of what is there.",
    "remove_background": "Remove the background and leave the subject as it is.",
    "variation": "Make a variation of this picture.",
}


class _Pictures(AtOnce):
    """What drawing and editing share: the connection, the models, the files. Nothing can be asked for later."""

    capability: str

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = settings = ctx.settings(OpenaiSettings)
        self._models = priced(settings.image_models, settings.prices, FORMATS)
        self._calls = calls_of(ctx, self.capability, settings.image_deadline_s)
        self._files = OutputFolder(settings.work_dir, keep_h=settings.keep_files_h)

    def estimate(self, request: Any) -> Estimate:
        """Return the price of one picture, where the operator has set one; tokens are known afterwards only."""
        model = chosen(self._models, request.model)
        return Estimate(cost_uusd=price_of(model, {"images": 1, "calls": 1}), note="one picture")

    async def _draw(self, path: str, job_id: str, **content: Any) -> Generation:
        found, request_id = await self._calls.created(path, Pictures, **content)
        usage = {"images": 1, "calls": 1}
        if found.usage is not None:
            usage |= {"input_tokens": found.usage.input_tokens, "output_tokens": found.usage.output_tokens}
        return Generation(
            provider_job_id=request_id or f"image-{job_id}",
            state="succeeded",
            percent=100,
            files=(await self._file(found, job_id),),
            usage=usage,
        )

    async def _file(self, found: Pictures, job_id: str) -> MediaFile:
        picture = found.data[0]
        meta = {"revised_prompt": picture.revised_prompt} if picture.revised_prompt else {}
        data = await self._bytes(picture)
        mime = _mime(data)
        path = await self._files.put(f"{self.capability}-{job_id}", f".{mime.partition('/')[2]}", data)
        return MediaFile(mime=mime, path=path, meta=meta, **_sides(found.size or "", data))

    async def _bytes(self, picture: Picture) -> bytes:
        """Return the picture; other servers may name an address instead, which is fetched here, at once.

        Nobody could do it later: the operator's own server may have a private address.
        """
        if picture.url and not picture.b64_json:
            return await self._calls.fetched(picture.url)
        try:
            return base64.b64decode(picture.b64_json or "", validate=True)
        except binascii.Error as error:
            raise OutcomeUnknownError("OpenAI answered with a picture that is no base64.") from error

    async def _edit(self, job_id: str, images: Sequence[Path], mask: Path | None, body: Doc) -> Generation:
        if self._settings.image_edit_form == "multipart":
            name = "image" if len(images) == 1 else "image[]"
            parts = [(name, await _part(image, URI_BYTES)) for image in images]
            parts += [("mask", await _part(mask, MASK_BYTES))] if mask else []
            fields = {key: str(value) for key, value in body.items()}
            return await self._draw("/images/edits", job_id, data=fields, files=parts)
        sent = body | {"images": [{"image_url": await _uri(image, URI_BYTES)} for image in images]}
        if mask:
            sent["mask"] = {"image_url": await _uri(mask, MASK_BYTES)}
        return await self._draw("/images/edits", job_id, json=sent)


class OpenaiImageGenerator(_Pictures):
    """Draws from a prompt; with references it edits them into a new picture."""

    capability = "image"

    async def submit(self, request: ImageRequest) -> Generation:
        """Draw one picture. The vendor knows no seed and no negative prompt: the latter joins the prompt."""
        model, params = chosen(self._models, request.model), params_of(ImageParams, request.params)
        prompt = f"{request.prompt}\nAvoid: {request.negative}" if request.negative else request.prompt
        body = _body(model, prompt, request.width, request.height) | params.given()
        _check_background(body)
        if not request.references:
            return await self._draw("/images/generations", request.job_id, json=body)
        if len(request.references) > MOST_IMAGES:
            raise ProviderRejectedError(f"At most {MOST_IMAGES} references are taken.", input="references")
        if "moderation" in body:
            raise ProviderRejectedError("params.moderation: not together with references.", input="params")
        return await self._edit(request.job_id, request.references, None, body)


class OpenaiImageEditor(_Pictures):
    """Changes a picture as its operation says; it cannot upscale."""

    capability = "image_edit"

    async def submit(self, request: ImageEditRequest) -> Generation:
        """Change one picture."""
        if request.operation not in _OPERATIONS:
            raise ProviderRejectedError(f"OpenAI cannot {request.operation}.", input="operation")
        model, params = chosen(self._models, request.model), params_of(EditParams, request.params)
        prompt = " ".join(filter(None, (_OPERATIONS[request.operation], request.prompt)))
        body = _body(model, prompt, request.width, request.height) | params.given()
        if request.operation == "remove_background":
            body["background"] = "transparent"
        _check_background(body)
        return await self._edit(request.job_id, [request.image], request.mask, body)


def _body(model: ModelSpec, prompt: str, width: int, height: int) -> Doc:
    if not prompt.strip() or len(prompt) > PROMPT_LETTERS:
        raise ProviderRejectedError(f"A prompt has 1 to {PROMPT_LETTERS} characters.", input="prompt")
    return {"model": model.name, "prompt": prompt, "n": 1, "size": size_of(model.name, width, height)}


def size_of(model: str, width: int, height: int) -> str:
    """Return the size to ask for: as wanted in steps of 16 where the model can, else the nearest of three."""
    if min(width, height) < 1:
        raise ProviderRejectedError(f"{width}x{height} is no size.", input="size")
    if not model.startswith(_ANY_SIZE):
        wanted = math.log(width / height)
        best = min(_SIZES, key=lambda size: abs(math.log(size[0] / size[1]) - wanted))
        return f"{best[0]}x{best[1]}"
    sides = [max(_STEP, round(side / _STEP) * _STEP) for side in (width, height)]
    flat = max(sides) / min(sides) > _FLATTEST
    if flat or max(sides) > _LONGEST or sides[0] * sides[1] > _MOST_PIXELS:
        raise ProviderRejectedError(
            f"{width}x{height}: at most {_LONGEST} pixels a side, 3840x2160 in all, and 3:1.", input="size"
        )
    return f"{sides[0]}x{sides[1]}"


def _check_background(body: Doc) -> None:
    if body.get("background") == "transparent" and body.get("output_format") == "jpeg":
        raise ProviderRejectedError("A transparent picture needs png or webp.", input="params")


def _sides(told: str, data: bytes) -> dict[str, int]:
    """Return width and height: of a PNG by its head, else as the vendor says."""
    if data.startswith(_PNG) and len(data) >= _PNG_HEAD:
        return {"width": int.from_bytes(data[16:20]), "height": int.from_bytes(data[20:24])}
    size = re.fullmatch(r"(\d{1,5})x(\d{1,5})", told)
    return {"width": int(size[1]), "height": int(size[2])} if size else {}


def _mime(data: bytes) -> str:
    """Return the kind by the file's first bytes; raises OutcomeUnknownError for what is no picture."""
    if data.startswith(_PNG):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    raise OutcomeUnknownError("OpenAI answered with a picture of no known kind.")


async def _uri(path: Path, limit: int) -> str:
    try:
        return await asyncio.to_thread(data_uri, path, limit)
    except BadRequestError as error:
        raise ProviderRejectedError(error.detail, input="image") from error


async def _part(path: Path, limit: int) -> tuple[str, bytes, str]:
    """Return a part of a form: name, bytes, kind."""
    mime, _, data = (await _uri(path, limit)).partition(";base64,")
    return path.name, base64.b64decode(data), mime.removeprefix("data:")
