"""Scores for pictures; an asset never fails because nobody could judge it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from studio import Actor, InvalidInputError, ScoreRequest, StudioError, new_id

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Doc, PluginContext
    from studio_asset_gen.takes import AssetStore

LIMIT_S = 6.0
"""Inside the chain that finishes an asset; a judgement that takes longer can be asked for later."""


class Scoring:
    """Asks the scorer."""

    def __init__(self, ctx: PluginContext, store: AssetStore) -> None:
        self._ctx, self._store = ctx, store

    async def score(self, actor: Actor, asset: Doc) -> Doc:
        """Judge a picture now and keep the scores; raises InvalidInputError for what is no picture."""
        if asset["kind"] != "image":
            raise InvalidInputError("Only pictures can be scored.", code="not_an_image")
        path = await self._store.path(asset)
        return await self._store.set_scores(asset, await self._judge(actor, asset["project_id"], path))

    async def finalize(self, asset: Doc) -> Doc | None:
        """Return the scores of a new picture, None when there is nobody to give any."""
        if asset["kind"] != "image" or not self._free_scorer():
            return None
        try:
            async with asyncio.timeout(LIMIT_S):
                path = await self._store.path(asset)
                return {"scores": await self._judge(Actor(asset["user_id"]), asset["project_id"], path)}
        except (StudioError, TimeoutError) as error:
            self._ctx.log.warning("scoring_failed", asset=asset["_id"], error=repr(error))
            return None

    def _free_scorer(self) -> bool:
        """Say whether the first scorer that is on costs nothing: nobody ordered these scores."""
        on = [
            row for row in self._ctx.providers.describe() if row["capability"] == "score" and row["available"]
        ]
        return bool(on) and all(model["price_kind"] == "free" for model in on[0]["models"])

    async def _judge(self, actor: Actor, project_id: str, path: Path) -> list[Doc]:
        request = ScoreRequest(job_id=f"score-{new_id()}", image=path)
        generation = await self._ctx.providers.generate_now("score", request, actor, project_id)
        return [
            {
                "scorer": score["scorer"],
                "score": float(score["score"]),
                "reason": str(score.get("reason", "")),
            }
            for score in generation.data.get("scores", ())
        ]
