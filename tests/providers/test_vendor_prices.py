"""No vendor's price is built in; each can be set, as its README prints it, and what is not set stays unknown."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

pytestmark = pytest.mark.pure
FOLDER = Path(__file__).parents[2] / "plugins" / "providers"
VENDORS = ("elevenlabs", "fal", "openai", "replicate", "vidu", "xai")
PRICED = {
    "elevenlabs": {"eleven_multilingual_v2": 300_000, "eleven_flash_v2_5": 150_000, "music_v2": 5_000},
    "fal": {"flux-schnell": 3_000, "seedance-1-lite": 36_000},
    "openai": {"gpt-5.4-mini": 750_000, "gpt-image-2": 40_000, "gpt-4o-mini-tts": 15_000},
    "replicate": {"flux-kontext-pro": 40_000, "seedance-1-lite": 18_000},
    "vidu": {"viduq3-turbo": 100_000, "viduq3-pro": 150_000},
    "xai": {"grok-imagine-image": 20_000, "grok-imagine-video": 50_000, "grok-4.5": 2_000_000},
}
"""What the examples of the READMEs come to: micro-USD for one unit, by model."""


class Context:
    """What a plugin needs to declare its providers."""

    def __init__(self, settings):
        self._settings = settings

    def settings(self, model):
        return self._settings


def section(vendor):
    """Return the example that stands under "Prices" in a vendor's README."""
    prices = (FOLDER / vendor / "README.md").read_text().partition("\n## Prices\n")[2]
    found = re.search(r"```toml\n(.*?)```", prices, re.DOTALL)
    assert found, f"show under '## Prices' in {vendor}/README.md how a price is set"
    return tomllib.loads(found[1])[vendor]


def models(vendor, values):
    plugin = importlib.import_module(f"studio_{vendor}.plugin").Plugin
    settings = plugin.manifest.settings.model_validate(values)
    specs = plugin().register_providers(Context(settings))
    return {m.name: m for spec in specs if spec.capability != "moderation" for m in spec.models}


@pytest.mark.parametrize("vendor", VENDORS)
def test_no_price_is_built_in(vendor):
    found = {(m.price_kind, m.unit_price_uusd, m.output_price_uusd) for m in models(vendor, {}).values()}
    assert found == {("unknown", None, None)}


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_example_of_the_readme_prices_its_models_and_no_other(vendor):
    found = models(vendor, section(vendor))
    known = {name: m.unit_price_uusd for name, m in found.items() if m.price_kind != "unknown"}
    assert known == PRICED[vendor]


@pytest.mark.parametrize(
    ("vendor", "values"),
    [
        ("elevenlabs", {"prices": {"eleven_multilingual_v3": 1}}),
        ("elevenlabs", {"music_prices": {"music_v3": 1}}),
        ("fal", {"models": {"flux-schnel": {"price_kind": "per_image", "unit_price_uusd": 1}}}),
        ("fal", {"models": {"flux-schnell": {"unit_price_uusd": 1}}}),
        ("openai", {"prices": {"gpt-image-3": {"kind": "per_image", "unit_uusd": 1}}}),
        ("replicate", {"models": {"flux-schnel": {"price_kind": "per_image", "unit_price_uusd": 1}}}),
        ("vidu", {"credits_per_s": {"viduq3-max": 1}}),
        ("xai", {"prices": {"grok-imagine-vdeo": {"kind": "per_second", "unit_uusd": 1}}}),
        ("xai", {"prices": {"grok-imagine-video": {"kind": "per_second", "unit_uusd": -1}}}),
    ],
)
def test_a_price_that_would_count_for_nothing_is_an_error(vendor, values):
    with pytest.raises(ValidationError):
        models(vendor, values)
