"""What other plugins may use: `bedrock = ctx.service(BedrockText)`, with `requires=("bedrock",)` in the manifest."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from studio import Actor

__all__ = ["BedrockModelId", "BedrockText", "JsonSchema", "TextAnswer"]


class BedrockModelId(StrEnum):
    """Global inference profiles; what is called is the profile's ARN in the account and region of the configuration."""

    CLAUDE_SONNET_4_6 = "global.anthropic.claude-sonnet-4-6"
    CLAUDE_OPUS_4_6 = "global.anthropic.claude-opus-4-6-v1"
    CLAUDE_OPUS_4_5 = "global.anthropic.claude-opus-4-5-20251101-v1:0"
    CLAUDE_SONNET_4_5 = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    CLAUDE_HAIKU_4_5 = "global.anthropic.claude-haiku-4-5-20251001-v1:0"

    def arn(self, region: str, account_id: str) -> str:
        """Return the profile's ARN: `arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.…`."""
        return profile_arn(self, region, account_id)


def profile_arn(profile: str, region: str, account_id: str) -> str:
    """Return the ARN of an inference profile of `account_id` (12 digits) in `region`."""
    return f"arn:aws:bedrock:{region}:{account_id}:inference-profile/{profile}"


class JsonSchema(BaseModel):
    """The shape an answer must have; `schema_` (on the wire `schema`) is a JSON Schema of an object."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str | None = Field(None, pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = Field(None, max_length=1_000)
    schema_: dict[str, Any] = Field(alias="schema")


class TextAnswer(BaseModel):
    """A finished answer. `json_` is there if a schema was given.

    `cost_uusd` is computed from the reported tokens; None: the price is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    json_: Any = None
    stop: str
    usage: dict[str, int]
    cost_uusd: int | None = None


class BedrockText(Protocol):
    """Text from a prompt in one call, for services that need no conversation."""

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
        """Ask a model; the cost is held and settled for `actor` and `project_id` ("" for none).

        Raises BudgetExceededError, InvalidInputError for a schema that is none, or a model nobody has, and the
        provider's errors.
        """
        ...
