"""The door: what is declared with and without a key, and what settings are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import structlog
from pydantic import ValidationError

from studio import PluginContext
from studio.testing.kit import Services
from studio_xai.plugin import Plugin
from studio_xai.settings import XaiSettings

pytestmark = pytest.mark.pure


def specs(**settings):
    ctx = PluginContext("xai", Services(), XaiSettings(**settings), structlog.get_logger())
    return list(Plugin().register_providers(ctx))


def test_without_a_key_every_provider_says_what_to_set():
    found = specs()
    assert [spec.capability for spec in found] == ["chat", "image", "image_edit", "video"]
    assert {spec.missing for spec in found} == {"set STUDIO_XAI__API_KEY"}


def test_with_a_key_they_are_on():
    found = {spec.capability: spec for spec in specs(api_key="xai-1")}
    assert all(spec.missing is None and not spec.idempotent_submit for spec in found.values())
    assert found["video"].file_hosts == ("*.x.ai",)
    assert found["video"].deadline_s > XaiSettings().video_deadline_s


def test_prices_are_the_operators_and_unknown_otherwise():
    prices = {"grok-imagine-image": {"kind": "per_image", "unit_uusd": 20_000}}
    models = {m.name: m for spec in specs(api_key="xai-1", prices=prices) for m in spec.models}
    assert models["grok-imagine-image"].unit_price_uusd == 20_000
    assert models["grok-4.5"].price_kind == "unknown"


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.x.ai/v1"},
        {"base_url": "https://user:secret@api.x.ai/v1"},
        {"base_url": "https://api.x.ai/v1?key=1"},
        {"video_models": []},
        {"file_hosts": []},
        {"unknown": 1},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValidationError):
        XaiSettings(**wrong)


def test_the_key_has_its_short_name_and_is_never_shown():
    assert XaiSettings.model_fields["api_key"].json_schema_extra == {"env": "XAI_API_KEY"}
    assert "xai-1" not in repr(XaiSettings(api_key="xai-1"))


@pytest.mark.child
def test_the_door_imports_no_provider():
    code = "import sys, studio_xai.plugin; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not {"studio_xai.chat", "studio_xai.video", "studio_openai.compatible"} & loaded
