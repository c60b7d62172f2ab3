"""`XaiChatModel`: `/chat/completions`, with the cost that the vendor reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio_openai.api import priced
from studio_openai.api.chat import CompletionsChat
from studio_xai.asking import calls_of
from studio_xai.models import ChatParams, uusd
from studio_xai.settings import XaiSettings

if TYPE_CHECKING:
    from studio import PluginContext
    from studio_openai.api.chat import CompletionUsage


class XaiChatModel(CompletionsChat):
    """Answers at once."""

    def __init__(self, ctx: PluginContext) -> None:
        settings = ctx.settings(XaiSettings)
        calls = calls_of(ctx, "chat", settings.chat_deadline_s)
        super().__init__(calls, priced(settings.chat_models, settings.prices), ChatParams)

    def counts(self, usage: CompletionUsage) -> dict[str, int]:
        """Return the tokens; those of the reasoning are not among the answer's here, and are charged too.

        Source: @ai-sdk/xai, convert-xai-chat-usage.ts.
        """
        found = super().counts(usage)
        return found | {"output_tokens": found["output_tokens"] + found.get("reasoning_tokens", 0)}

    def told(self, usage: CompletionUsage) -> int | None:
        """Return the vendor's own figure; without one the kernel prices the tokens."""
        return uusd(usage.cost_in_usd_ticks)
