"""`LocalScriptAnalyst`: a breakdown by rules, without a model."""

from __future__ import annotations

import asyncio
from typing import Any

from studio import ProviderRejectedError
from studio_local.breakdown.plan import break_down
from studio_local.jobs import Job, LocalGenerator, Outcome
from studio_local.runtime import runtime_of
from studio_stories.api import BreakdownRequest


class LocalScriptAnalyst(LocalGenerator[BreakdownRequest]):
    """Breaks scripts down in a thread: 120 scenes take a tenth of a second, so `submit` has the answer."""

    kind = "breakdown"
    request_type = BreakdownRequest

    def __init__(self, ctx: Any) -> None:
        super().__init__(runtime_of(ctx).jobs)

    async def check(self, request: BreakdownRequest) -> None:
        """Refuse a script without scenes."""
        if not request.scenes:
            raise ProviderRejectedError("There is no scene to break down.", input="scenes")

    async def produce(self, request: BreakdownRequest, job: Job) -> Outcome:  # noqa: ARG002 - a plan leaves no file
        """Return `data["breakdown"]`."""
        plan = await asyncio.to_thread(break_down, request.scenes)
        return Outcome(data={"breakdown": plan.model_dump(mode="json")})
