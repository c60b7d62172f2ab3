"""Hooks of the plugin `previews`: wiring only."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from studio import Doc, Manifest, PluginContext, StudioHooks, hookimpl
from studio_previews.service import Previews
from studio_previews.settings import PreviewsSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Plugin(StudioHooks):
    """A thumbnail and a blurhash for every new picture and video."""

    manifest = Manifest(name="previews", after=("asset_gen", "moderation"), settings=PreviewsSettings)
    """After moderation: of what is refused no thumbnail is made."""

    @hookimpl
    @asynccontextmanager
    async def lifespan(self, ctx: PluginContext) -> AsyncIterator[None]:
        """Make the service."""
        ctx.provide(Previews, Previews(ctx))
        yield

    @hookimpl
    async def finalize_asset(self, ctx: PluginContext, asset: Doc) -> Doc | None:
        """Add thumbnail and blurhash."""
        return await ctx.service(Previews).finalize(asset)
