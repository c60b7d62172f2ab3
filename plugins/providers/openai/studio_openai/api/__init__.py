"""What other plugins may use: prices by model here, a compatible vendor's chat in `studio_openai.api.chat`."""

from __future__ import annotations

from studio_openai.prices import Price, chosen, priced

__all__ = ["Price", "chosen", "priced"]
