"""What the plugin declares, and what its settings refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from studio import PluginContext
from studio.testing.kit import Services, get_logger
from studio_replicate.plugin import Plugin
from studio_replicate.settings import ReplicateSettings

pytestmark = pytest.mark.pure
HEX = "a" * 64


def specs(**settings):
    ctx = PluginContext("replicate", Services(), ReplicateSettings(**settings), get_logger("replicate"))
    return {spec.capability: spec for spec in Plugin().register_providers(ctx)}


def test_every_capability_is_declared_and_off_without_a_token():
    found = specs()
    assert set(found) == {"image", "image_edit", "video", "music"}
    for spec in found.values():
        assert spec.name == "replicate"
        assert spec.missing == "set STUDIO_REPLICATE__API_TOKEN"
        assert spec.webhooks
        assert not spec.idempotent_submit
        assert all(model.price_kind == "unknown" for model in spec.models)
    assert specs(api_token="r8_x")["image"].missing is None


def test_capability_without_a_model_is_not_offered():
    assert "music" not in specs(models={"stable-audio-2.5": {"enabled": False}})


def test_configuration_lies_over_the_models_that_come_along():
    changed = {"flux-schnell": {"price_kind": "per_image", "unit_price_uusd": 3000}}
    spec = specs(models=changed)["image"]
    assert [(m.name, m.price_kind, m.unit_price_uusd) for m in spec.models] == [
        ("flux-schnell", "per_image", 3000)
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.replicate.com"},
        {"base_url": "https://api.replicate.com/v1"},
        {"base_url": "https://user@api.replicate.com"},
        {"webhook_secret": "whsec_!"},
        {"webhook_secret": ""},
        {"models": {"flux-schnell": {"model": "not a model"}}},
        {"models": {"flux-schnell": {"model": "../../x"}}},
        {"models": {"flux-schnell": {"unit_price_uusd": 1}}},
        {"models": {"flux-schnell": {"price_kind": "per_image"}}},
        {"models": {"flux-schnell": {"fields": {"webhook": "x"}}}},
        {"models": {"flux-schnell": {"params": ["prompt"]}}},
        {"models": {"new": {"capability": "image_edit", "model": HEX, "fields": {}}}},
        {"models": {"new": 7}},
        {"models": 7},
        {"typo": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        ReplicateSettings(**wrong)


@pytest.mark.child
def test_class_is_not_imported_before_it_is_used():
    code = "import sys, studio_replicate.plugin; print('studio_replicate.client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
