"""One POST to New Relic: gzipped, small enough, and what its answer means.

202 (logs) and 200 (events) say "taken", not "good": what New Relic cannot read it tells later, as `NrIntegrationError`.
"""

from __future__ import annotations

import asyncio
import gzip
from enum import Enum
from typing import TYPE_CHECKING

import orjson

from studio import OutcomeUnknownError, ProviderRejectedError, StudioError

if TYPE_CHECKING:
    from typing import Any

    from studio import PluginContext
    from studio_newrelic.settings import NewrelicSettings

TAKEN, TOO_LARGE, TOO_MANY, KEY_TROUBLE = (200, 202), 413, 429, (401, 403)
ITS_FAULT, MAX_ANSWER = (500, 502, 503, 504), 100_000


class Said(Enum):
    """What is to be done with a batch after its POST."""

    TAKEN = "taken"
    LOST = "lost"
    """It may have arrived: sending it again would show it twice."""
    REFUSED = "refused"
    TOO_LARGE = "too large"
    WAIT_A_MINUTE = "too many"
    AWAY = "away"


class Collector:
    """One address of New Relic."""

    def __init__(
        self, ctx: PluginContext, settings: NewrelicSettings, name: str, url: str, path: str
    ) -> None:
        key = settings.license_key.get_secret_value() if settings.license_key else ""
        local = ("127.0.0.1", "localhost") if url.startswith("http://") else ()
        headers = {"Api-Key": key, "Content-Type": "application/json", "Content-Encoding": "gzip"}
        self._path, self._log, self._warned = path, ctx.log, ""
        self._http = ctx.http.client(
            name, url, settings.deadline_s, MAX_ANSWER, headers=headers, allow_private=local
        )

    async def post(self, document: Any) -> Said:
        """Send a document and return what New Relic says; never raises for what a network can do."""
        body = await asyncio.to_thread(gzip.compress, orjson.dumps(document), 6)
        try:
            answer = await self._http.request(
                "POST", self._path, content=body, returned=(TOO_MANY, *ITS_FAULT)
            )
        except (OutcomeUnknownError, ProviderRejectedError):
            return Said.LOST
        except StudioError as error:
            return self._say(Said.AWAY, error.detail)
        if answer.status in TAKEN:
            self._warned = ""
            return Said.TAKEN
        if answer.status in (TOO_MANY, TOO_LARGE):
            return Said.WAIT_A_MINUTE if answer.status == TOO_MANY else Said.TOO_LARGE
        if answer.status in ITS_FAULT:
            return self._say(Said.AWAY, f"New Relic answered {answer.status}.")
        what = "refuses the license key" if answer.status in KEY_TROUBLE else f"answered {answer.status}"
        return self._say(Said.REFUSED, f"New Relic {what}.")

    def _say(self, said: Said, why: str) -> Said:
        """Log once per trouble, as a warning: an error would come back to us."""
        if self._warned != said.value:
            self._warned = said.value
            self._log.warning("newrelic_trouble", said=said.value, error=why)
        return said
