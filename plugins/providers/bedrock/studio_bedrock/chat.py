"""`BedrockChatModel`: chat over Converse. The answer comes with the call: `submit` succeeds, or fails, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import ChatDelta, Estimate, OutcomeUnknownError, ProviderRejectedError
from studio_bedrock.client import BedrockClient
from studio_bedrock.models import body_of, cost_of, models_of, most_cost
from studio_bedrock.reply import Reply
from studio_bedrock.settings import BedrockSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from studio import ChatRequest, Generation, PluginContext


class BedrockChatModel:
    """Answers by the models of the configured account and region."""

    def __init__(self, ctx: PluginContext) -> None:
        self._settings = ctx.settings(BedrockSettings)
        self._client = BedrockClient(ctx, self._settings)
        self._known = {model.name for model in models_of(self._settings)}

    async def submit(self, request: ChatRequest) -> Generation:
        """Ask. Raises ProviderRejectedError for what the API cannot take, before a call."""
        profile, body = self._profile(request), body_of(request, self._settings.cache_ttl)
        document, call_id = await self._client.converse(profile, body)
        return self._concluded(Reply.of(document), request, profile, call_id)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatDelta]:
        """Yield the answer piece by piece; raises OutcomeUnknownError when it breaks off: it is charged."""
        profile, body = self._profile(request), body_of(request, self._settings.cache_ttl)
        reply = Reply()
        async with self._client.events(profile, body) as (events, call_id):
            async for kind, event in events:
                if text := reply.add(kind, event):
                    yield ChatDelta(text=text)
        if not reply.stop:
            raise OutcomeUnknownError("Bedrock ended its answer before it was whole.")
        yield ChatDelta(done=self._concluded(reply, request, profile, call_id))

    async def poll(self, provider_job_id: str) -> Generation:
        """Refuse: every answer came with its call."""
        raise ProviderRejectedError(
            f"{provider_job_id[:100]!r} came at once: there is nothing to ask for.", code="unknown_job"
        )

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the contract names it
        """Say no: an answer is there when `submit` returns."""
        return False

    def estimate(self, request: ChatRequest) -> Estimate:
        """Return the most that the answer may cost, with one token for each byte of the question."""
        profile = self._profile(request)
        cost = most_cost(self._settings, profile, request)
        note = "at most, by the length of the question" if cost is not None else ""
        return Estimate(cost_uusd=cost, note=note or f"set the price of {profile} in bedrock.prices")

    def _profile(self, request: ChatRequest) -> str:
        profile = request.model or self._settings.default_model
        if profile not in self._known:
            raise ProviderRejectedError(
                f"The profile {profile[:100]!r} is not in bedrock.profiles.", input="model"
            )
        return profile

    def _concluded(self, reply: Reply, request: ChatRequest, profile: str, call_id: str) -> Generation:
        # Computed here from the reported tokens: a ModelSpec has no prices for those of the cache.
        cost = cost_of(self._settings, profile, reply.usage)
        wants_json = request.json_schema is not None
        return reply.conclude(call_id or f"chat-{request.job_id}", cost, wants_json=wants_json)
