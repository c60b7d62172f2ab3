"""The kinds of job: each asset kind builds the request, the store keeps the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio import Doc, Generation, GenerationRequest, JobKind
from studio_asset_gen.takes import AssetStore

if TYPE_CHECKING:
    from studio import PluginContext

KINDS = {
    "image.generate": ("Draw a panel", "image", 900.0),
    "voice.generate": ("Speak a line", "voice", 300.0),
    "video.generate": ("Animate a shot", "video", 1800.0),
    "music.generate": ("Compose music", "music", 900.0),
}
"""Job kind → (title, capability, deadline in seconds)."""


def job_kinds(ctx: PluginContext) -> list[JobKind]:
    """Return the kinds; the services behind them are there once the plugin has started."""
    return [_kind(ctx, name, *declared) for name, declared in KINDS.items()]


def _kind(ctx: PluginContext, name: str, title: str, capability: str, deadline_s: float) -> JobKind:
    async def request(job: Doc) -> GenerationRequest:
        kind = ctx.service(AssetStore).kind_of(name)
        assert kind is not None  # noqa: S101 - lifespan joins all four before a job can run
        return await kind.request(job)

    async def accept(job: Doc, generation: Generation, late: bool) -> dict[str, Any]:  # noqa: FBT001 - the shape of JobKind.accept
        return await ctx.service(AssetStore).accept(job, generation, late)

    return JobKind(name, title, capability, request, accept, deadline_s=deadline_s)
