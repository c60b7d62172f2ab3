"""The chat protocol that many vendors speak, and calls to a vendor that does. Imported at a provider's first use."""

from __future__ import annotations

from studio_openai.at_once import AtOnce
from studio_openai.client import VendorCalls, Words, retry_after_s
from studio_openai.compatible import CompletionsChat, most_tokens
from studio_openai.completions import Believed, CompletionUsage, Wire
from studio_openai.models import Params, params_of

__all__ = [
    "AtOnce",
    "Believed",
    "CompletionUsage",
    "CompletionsChat",
    "Params",
    "VendorCalls",
    "Wire",
    "Words",
    "most_tokens",
    "params_of",
    "retry_after_s",
]
