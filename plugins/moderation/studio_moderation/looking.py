"""What there is to see of a take: the picture itself, a smaller one where it is too large, frames of a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio import Actor, ProviderError, ProviderRejectedError, new_id
from studio_previews.api import CAPABILITY, ThumbnailRequest

if TYPE_CHECKING:
    from pathlib import Path

    from studio import Doc, PluginContext

AS_IT_IS = ("image/jpeg", "image/png", "image/webp")
LARGEST = 3_000_000
"""Bytes of a picture that is sent as it is; a larger one is made smaller first, by the capability "thumbnail"."""
LONG_SIDE = 1_536
STEP_MS = 1_000
"""Between the frames of a video whose length nobody knows."""


class Looking:
    """Makes pictures to judge; `frames` of a video."""

    def __init__(self, ctx: PluginContext, frames: int) -> None:
        self._ctx, self._frames = ctx, frames

    async def at(self, asset: Doc) -> list[tuple[Path, str]]:
        """Return (path, type) of each picture to judge; none for what only sounds. Raises when one cannot be made."""
        if asset["kind"] not in ("image", "video"):
            return []
        blob = asset["blob"]
        path = await self._ctx.providers.get("storage").path(blob["key"])
        if asset["kind"] == "image" and blob["mime"] in AS_IT_IS and blob["bytes"] <= LARGEST:
            return [(path, blob["mime"])]
        if asset["kind"] == "image":
            return [await self._small(asset, path, 0)]
        return await self._seen(asset, path)

    async def _seen(self, asset: Doc, path: Path) -> list[tuple[Path, str]]:
        length = asset["media"].get("duration_ms")
        if length:
            return [await self._small(asset, path, at_ms) for at_ms in spread(length, self._frames)]
        seen = [await self._small(asset, path, 0)]
        try:
            for number in range(1, self._frames):
                seen.append(await self._small(asset, path, number * STEP_MS))  # noqa: PERF401 - kept up to the end
        except ProviderRejectedError:  # it is over
            pass
        return seen

    async def _small(self, asset: Doc, path: Path, at_ms: int) -> tuple[Path, str]:
        request = ThumbnailRequest(
            job_id=f"look-{new_id()}", file=path, mime=asset["blob"]["mime"], long_side=LONG_SIDE, at_ms=at_ms
        )
        actor = Actor(asset["user_id"])
        done = await self._ctx.providers.generate_now(CAPABILITY, request, actor, asset["project_id"])
        if not done.files or done.files[0].path is None:
            raise ProviderError("There is no picture to judge.")
        return done.files[0].path, done.files[0].mime


def spread(length_ms: int, frames: int) -> list[int]:
    """Return `frames` times in the middle of equal parts of a video."""
    return [length_ms * (2 * number + 1) // (2 * frames) for number in range(frames)]
