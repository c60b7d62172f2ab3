"""What the plugin declares, and what its settings refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from studio import PluginContext
from studio.testing.kit import Services, get_logger
from studio_vidu.plugin import Plugin
from studio_vidu.settings import ViduSettings

pytestmark = pytest.mark.pure


def spec(**settings):
    ctx = PluginContext("vidu", Services(), ViduSettings(**settings), get_logger("vidu"))
    (found,) = Plugin().register_providers(ctx)
    return found


def test_videos_are_declared_and_off_without_a_key():
    found = spec()
    assert (found.name, found.capability, found.missing) == ("vidu", "video", "set STUDIO_VIDU__API_KEY")
    assert found.webhooks
    assert not found.idempotent_submit
    assert {model.price_kind for model in found.models} == {"unknown"}
    assert spec(api_key="x").missing is None


def test_price_of_a_second_is_declared_where_it_is_known():
    found = spec(credit_uusd=5_000, credits_per_s={"viduq1": 16})
    prices = {model.name: (model.price_kind, model.unit_price_uusd) for model in found.models}
    assert prices["viduq1"] == ("per_second", 80_000)
    assert prices["vidu2.0"] == ("unknown", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://api.vidu.com"},
        {"base_url": "https://api.vidu.com/ent/v2"},
        {"models": []},
        {"models": ["sora"]},
        {"models": ["viduq1/../x"]},
        {"credits_per_s": {"viduq2-fast": 1}},
        {"output_hosts": []},
        {"output_hosts": ["com"]},
        {"max_input_bytes": 15_000_000},
        {"typo": 1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValidationError):
        ViduSettings(**wrong)


@pytest.mark.child
def test_class_is_not_imported_before_it_is_used():
    code = "import sys, studio_vidu.plugin; print('studio_vidu.client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
