"""`WordsModerator`: the operator's own list of words, without a key and without a call."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from studio import Estimate, Generation, ProviderRejectedError
from studio_moderation.api import Flag, ModerationRequest, Verdict
from studio_moderation.settings import ModerationSettings

if TYPE_CHECKING:
    from studio import PluginContext

CATEGORY = "refused_word"


class WordsModerator:
    """Refuses a text that has one of the words, whole and in any case. Of pictures it has no opinion."""

    def __init__(self, ctx: PluginContext) -> None:
        words = ctx.settings(ModerationSettings).words
        parts = "|".join(r"\s+".join(map(re.escape, plain(word).split())) for word in words)
        self._refused = re.compile(rf"(?<!\w)(?:{parts})(?!\w)")

    async def submit(self, request: ModerationRequest) -> Generation:
        """Judge at once."""
        refused = request.text is not None and self._refused.search(plain(request.text))
        verdict = Verdict(flags=(Flag(category=CATEGORY, score=1.0),) if refused else ())
        return Generation(
            provider_job_id=request.job_id, state="succeeded", data=verdict.model_dump(), cost_uusd=0
        )

    async def poll(self, provider_job_id: str) -> Generation:
        """Refuse: judgements come at once."""
        raise ProviderRejectedError(f"{provider_job_id[:40]!r} came at once: there is nothing to ask for.")

    async def cancel(self, provider_job_id: str) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: what came at once cannot be stopped."""
        return False

    def estimate(self, request: ModerationRequest) -> Estimate:  # noqa: ARG002 - as above
        """Return nothing to pay."""
        return Estimate(cost_uusd=0)


def plain(text: str) -> str:
    """Return a text as it is compared: one form of each letter, no case, nothing invisible between letters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(letter for letter in folded if unicodedata.category(letter) != "Cf")
