"""Centrifugo's server API: `POST /api/{method}`, whose errors come as HTTP 200.

Source: Centrifugo server API, versions 5 and 6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from studio import ProviderError, ProviderRejectedError, ProviderUnavailableError, json_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studio import PluginContext
    from studio_centrifugo.settings import CentrifugoSettings

OK, UNAUTHORIZED, MAX_BYTES = 200, 401, 1_000_000
USELESS, UNREADABLE = (400, 413, 422), "centrifugo_unreadable"
"""Statuses with which the same body would get the same answer, and the code of that error."""


class CentrifugoApi:
    """Repeats a call that got lost: a message is known by its idempotency key, the other calls set a state."""

    def __init__(self, ctx: PluginContext, settings: CentrifugoSettings) -> None:
        url = (settings.api_url or "").rstrip("/")
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._http = ctx.http.client(
            "centrifugo",
            url,
            settings.deadline_s,
            MAX_BYTES,
            headers={"X-API-Key": key, "Content-Type": "application/json"},
            allow_private=(urlsplit(url).hostname or "",),
        )

    async def batch(self, commands: Sequence[bytes]) -> list[dict[str, Any]]:
        """Run the commands and return one reply for each, `{method: result}` or `{"error": {code, message}}`."""
        body = b'{"commands":[' + b",".join(commands) + b"]}"
        answer = await self._post("batch", content=body)
        replies = answer.get("replies")
        if not isinstance(replies, list) or len(replies) != len(commands):
            raise ProviderError("Centrifugo left commands without a reply.", code="provider_bad_answer")
        return [reply if isinstance(reply, dict) else {} for reply in replies]

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of one method; raises ProviderError for an error inside the answer."""
        answer = await self._post(method, json=params)
        if error := answer.get("error"):
            raise ProviderRejectedError(f"Centrifugo: {told(error)}", code="centrifugo_error")
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    async def _post(self, method: str, **content: Any) -> dict[str, Any]:
        answer = await self._http.request("POST", f"/{method}", kind="safe", **content)
        if answer.status == UNAUTHORIZED:
            raise ProviderUnavailableError("Centrifugo refuses the API key.", code="provider_key_refused")
        if answer.status in USELESS:
            raise ProviderRejectedError(f"Centrifugo answered {answer.status}.", code=UNREADABLE)
        if answer.status != OK:
            raise ProviderUnavailableError(f"Centrifugo answered {answer.status}: is the address right?")
        return json_object(answer)


def told(error: Any) -> str:
    """Return an error's code and message as one line."""
    code, message = code_of(error), error.get("message") if isinstance(error, dict) else None
    return f"{code} {str(message or '')[:200]}".strip()


def code_of(error: Any) -> int:
    """Return the code of an error, 0 where there is none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else 0
