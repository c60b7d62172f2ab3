"""Hooks of the plugin `local`: wiring only. A provider's module is imported at its first use."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from studio import Manifest, ModelSpec, ProviderSpec, ProviderUnavailableError, StudioHooks, hookimpl
from studio_local.ffmpeg import INSTALL, find_ffmpeg
from studio_local.runtime import runtime_of
from studio_local.settings import LocalSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from studio import PluginContext

_PRIORITY = 900
"""Behind every vendor that is configured."""
_TARGETS = {
    "breakdown": ("breakdown.analyst:LocalScriptAnalyst", "local-rules", ("application/json",)),
    "image": ("image:LocalImageGenerator", "local-panel", ("image/jpeg",)),
    "voice": ("voice:LocalVoiceGenerator", "espeak-ng", ("audio/wav",)),
    "music": ("music:LocalMusicGenerator", "local-bed", ("audio/wav",)),
    "video": ("video:LocalVideoGenerator", "local-ken-burns", ("video/mp4",)),
    "film": ("film.renderer:LocalFilmRenderer", "local-animatic", ("video/mp4",)),
    "score": ("score:LocalAssetScorer", "local-measures", ("application/json",)),
    "thumbnail": ("thumbnail:LocalThumbnailer", "local-thumbnail", ("image/jpeg", "image/webp")),
    "storage": ("storage:LocalFileStorage", "local-disk", ()),
    "mail": ("mail:LocalOutboxMailer", "local-outbox", ("message/rfc822",)),
}


class Plugin(StudioHooks):
    """Every step from script to film, without a key."""

    manifest = Manifest(name="local", settings=LocalSettings)

    @hookimpl
    def register_providers(self, ctx: PluginContext) -> Iterable[ProviderSpec]:
        """Return one free provider per capability; those whose program is not installed say so."""
        missing = _missing(ctx.settings(LocalSettings))
        return [
            ProviderSpec(
                name="local", capability=capability, target=f"studio_local.{target}", priority=_PRIORITY,
                models=(ModelSpec(model, price_kind="free", unit_price_uusd=0, formats=formats),),
                missing=missing.get(capability), idempotent_submit=True,
            )
            for capability, (target, model, formats) in _TARGETS.items()
        ]  # fmt: skip

    @hookimpl
    def lifespan(self, ctx: PluginContext) -> AbstractAsyncContextManager[None]:
        """Tidy the job folders while the server runs; stop every task and child at its end."""
        return runtime_of(ctx).running()


def _missing(settings: LocalSettings) -> dict[str, str]:
    """Return why a capability is off, for those that are."""
    reasons: dict[str, str] = {}
    if importlib.util.find_spec("espeakng_loader") is None:
        reasons["voice"] = f"espeak-ng is not installed: {INSTALL}"
    try:
        find_ffmpeg(settings.ffmpeg)
    except ProviderUnavailableError as error:
        reasons["video"] = reasons["film"] = error.detail
    return reasons
