"""One generator per capability, all alike: map, create, poll, cancel, price, and read webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from studio import BadRequestError, ProviderError, WebhookNews
from studio_jobvendor.api import Inputs, estimate_of
from studio_replicate.client import client_of
from studio_replicate.models import Reader, happened_ms, read_prediction

if TYPE_CHECKING:
    from studio import Estimate, Generation, GenerationRequest, PluginContext, WebhookCall

INPUTS = Inputs("Replicate")
LATER = {"per_predict_second": "billed by the seconds that the machine works"}


class ReplicateGenerator:
    """What Replicate does, whatever the medium."""

    capability: ClassVar[str]

    def __init__(self, ctx: PluginContext) -> None:
        self._client = client_of(ctx)
        settings = self._client.settings
        self._models = settings.offered(self.capability)
        self._reader = Reader(settings, self.capability)

    async def submit(self, request: GenerationRequest) -> Generation:
        """Start a prediction."""
        _, model = INPUTS.choose(self._models, request)
        given = await INPUTS.input_of(model, request, self._client.deliver)
        return self._reader.generation(await self._client.create(model, given, request.callback_url))

    async def poll(self, provider_job_id: str) -> Generation:
        """Ask for a prediction."""
        return self._reader.generation(await self._client.get(provider_job_id))

    async def cancel(self, provider_job_id: str) -> bool:
        """Cancel a prediction."""
        return await self._client.cancel(provider_job_id)

    def estimate(self, request: GenerationRequest) -> Estimate:
        """Say what a request would cost, where its price does not depend on how long the machine works."""
        return estimate_of(INPUTS, *INPUTS.choose(self._models, request), request, LATER)

    async def parse_webhook(self, call: WebhookCall) -> WebhookNews:
        """Check and read a call: its body is the prediction; one of a model that is not configured is asked for."""
        delivery_id = await self._client.verify(call)
        try:
            raw: Any = orjson.loads(call.body)
            prediction = read_prediction(raw)
            generation = self._reader.generation(prediction)
        except (orjson.JSONDecodeError, ProviderError) as error:
            raise BadRequestError("The body is no prediction.") from error
        return WebhookNews(
            delivery_id=delivery_id,
            kind=prediction.status,
            provider_job_id=prediction.id,
            generation=generation if self._reader.knows(prediction) else None,
            at_ms=happened_ms(prediction),
        )


class ReplicateImageGenerator(ReplicateGenerator):
    """Draws panels."""

    capability = "image"


class ReplicateImageEditor(ReplicateGenerator):
    """Changes pictures."""

    capability = "image_edit"


class ReplicateVideoGenerator(ReplicateGenerator):
    """Animates stills."""

    capability = "video"


class ReplicateMusicGenerator(ReplicateGenerator):
    """Composes beds."""

    capability = "music"
