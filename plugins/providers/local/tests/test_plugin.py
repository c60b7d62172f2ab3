"""The wiring: what is offered, for nothing, and why something is off."""

from __future__ import annotations

import importlib
import importlib.util

import pytest
import structlog

from studio import MusicRequest, PluginContext
from studio.testing.kit import Services
from studio_local.plugin import Plugin
from studio_local.runtime import runtime_of
from studio_local.settings import LocalSettings

pytestmark = pytest.mark.pure
CAPABILITIES = {
    "breakdown", "image", "voice", "music", "video", "film", "score", "thumbnail", "storage", "mail",
}  # fmt: skip


def specs(ctx):
    return {spec.capability: spec for spec in Plugin().register_providers(ctx)}


def test_every_capability_is_offered_once_and_free(warm):
    offered = specs(warm)
    assert set(offered) == CAPABILITIES
    for spec in offered.values():
        assert (spec.name, spec.missing, spec.idempotent_submit) == ("local", None, True)
        assert [(model.price_kind, model.unit_price_uusd) for model in spec.models] == [("free", 0)]


def test_every_target_is_a_class_made_from_a_context(warm):
    for spec in specs(warm).values():
        module, _, name = spec.target.partition(":")
        assert getattr(importlib.import_module(module), name)(warm)


def test_missing_wheels_switch_off_what_needs_them_and_say_how_to_get_them(fresh, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    off = {name: spec.missing for name, spec in specs(fresh()).items() if spec.missing}
    assert set(off) == {"voice", "video", "film"}
    assert all("pip install 'studio-provider-local[media]'" in reason for reason in off.values())


def test_configured_ffmpeg_that_is_no_program_is_named(fresh):
    off = specs(fresh(ffmpeg="/no/such/ffmpeg"))
    assert "/no/such/ffmpeg" in off["film"].missing


def test_estimate_is_nothing_to_pay(warm):
    from studio_local.music import LocalMusicGenerator

    estimate = LocalMusicGenerator(warm).estimate(MusicRequest(job_id="x", duration_ms=1000))
    assert estimate.cost_uusd == 0


async def test_lifespan_runs_and_ends(fresh):
    ctx = fresh()
    async with Plugin().lifespan(ctx):
        assert runtime_of(ctx) is runtime_of(ctx)
    assert "workers" not in runtime_of(ctx).__dict__


async def test_providers_of_one_plugin_context_share_their_runtime(tmp_path):
    settings = LocalSettings(work_dir=tmp_path)
    ctx = PluginContext("local", Services(), settings, structlog.get_logger())
    providers = [
        getattr(importlib.import_module(s.target.split(":")[0]), s.target.split(":")[1])(ctx)
        for s in specs(ctx).values()
    ]
    runtimes = {id(provider._runtime) for provider in providers if hasattr(provider, "_runtime")}
    assert runtimes == {id(runtime_of(ctx))}
