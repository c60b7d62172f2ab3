"""`generate_text`: one prompt, one answer, through the wrapped provider, so that its cost is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from studio import ChatMessage, ChatRequest, InvalidInputError, new_id
from studio_bedrock.api import BedrockModelId, JsonSchema, TextAnswer

if TYPE_CHECKING:
    from studio import Actor, PluginContext


class BedrockTextService:
    """Implements `studio_bedrock.api.BedrockText`."""

    def __init__(self, ctx: PluginContext) -> None:
        self._ctx = ctx

    async def generate_text(
        self,
        user_prompt: str,
        system_prompt: str | None = None,
        model_id: BedrockModelId | str = BedrockModelId.CLAUDE_SONNET_4_6,
        json_schema: JsonSchema | dict[str, Any] | None = None,
        *,
        actor: Actor,
        project_id: str,
    ) -> TextAnswer:
        """Ask a model, as the protocol says."""
        wanted = _schema(json_schema)
        system = (ChatMessage(role="system", text=system_prompt),) if system_prompt else ()
        given = {"schema_name": wanted.name, "schema_description": wanted.description} if wanted else {}
        request = ChatRequest(
            job_id=new_id(),
            model=str(model_id),
            messages=(*system, ChatMessage(role="user", text=user_prompt)),
            json_schema=wanted.schema_ if wanted else None,
            params={name: value for name, value in given.items() if value is not None},
        )
        generation = await self._ctx.providers.generate_now("chat", request, actor, project_id, "bedrock")
        said = generation.data
        return TextAnswer(
            text=said["text"],
            json_=said["json"],
            stop=said["stop"],
            usage=generation.usage,
            cost_uusd=generation.cost_uusd,
        )


def _schema(given: JsonSchema | dict[str, Any] | None) -> JsonSchema | None:
    """Read a schema as the original takes it: {name, description, schema}."""
    if given is None or isinstance(given, JsonSchema):
        return given
    try:
        return JsonSchema.model_validate(given)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidInputError(f"The JSON schema cannot be used: {told}.") from error
