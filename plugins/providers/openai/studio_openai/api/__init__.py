"""What other plugins may use: prices and the address here, a compatible vendor's chat in `studio_openai.api.chat`."""

from __future__ import annotations

from studio_openai.prices import Price, all_offered, chosen, priced
from studio_openai.server import ServerSettings

__all__ = ["Price", "ServerSettings", "all_offered", "chosen", "priced"]
