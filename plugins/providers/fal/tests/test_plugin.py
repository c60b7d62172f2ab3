"""What the plugin declares, and what its settings refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from studio import PluginContext
from studio.testing.kit import Services, get_logger
from studio_fal.plugin import Plugin
from studio_fal.settings import FalSettings

pytestmark = pytest.mark.pure


def specs(**settings):
    ctx = PluginContext("fal", Services(), FalSettings(**settings), get_logger("fal"))
    return {spec.capability: spec for spec in Plugin().register_providers(ctx)}


def test_every_capability_is_declared_and_off_without_a_key():
    found = specs()
    assert set(found) == {"image", "image_edit", "video", "music"}
    for spec in found.values():
        assert spec.name == "fal"
        assert spec.missing == "set STUDIO_FAL__API_KEY"
        assert spec.webhooks
        assert not spec.idempotent_submit
        assert all(model.price_kind == "unknown" for model in spec.models)
    assert specs(api_key="x")["image"].missing is None


def test_capability_without_a_model_is_not_offered():
    assert "music" not in specs(models={"stable-audio": {"enabled": False}})


def test_configuration_lies_over_the_models_that_come_along():
    changed = {"flux-schnell": {"price_kind": "per_image", "unit_price_uusd": 3000}}
    spec = specs(models=changed)["image"]
    assert [(m.name, m.price_kind, m.unit_price_uusd) for m in spec.models] == [
        ("flux-schnell", "per_image", 3000),
        ("flux-dev", "unknown", None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue_url": "http://queue.fal.run"},
        {"queue_url": "https://queue.fal.run/x"},
        {"rest_url": "https://user@rest.fal.ai"},
        {"start_timeout_s": 1},
        {"queue_priority": "high"},
        {"models": {"flux-schnell": {"endpoint": "flux"}}},
        {"models": {"flux-schnell": {"endpoint": "fal-ai/../x"}}},
        {"models": {"flux-schnell": {"endpoint": "https://evil.example/x"}}},
        {"models": {"a|b": {"capability": "image", "endpoint": "a/b", "fields": {}}}},
        {"models": {"flux-schnell": {"unit_price_uusd": 1}}},
        {"models": {"flux-schnell": {"price_kind": "per_image"}}},
        {"models": {"flux-schnell": {"fields": {"webhook": "x"}}}},
        {"models": {"flux-schnell": {"params": ["prompt"]}}},
        {"models": {"new": {"capability": "image_edit", "endpoint": "a/b", "fields": {}}}},
        {"models": {"new": 7}},
        {"models": 7},
        {"typo": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        FalSettings(**wrong)


@pytest.mark.child
def test_class_is_not_imported_before_it_is_used():
    code = "import sys, studio_fal.plugin; print('studio_fal.client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
