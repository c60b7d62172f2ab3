from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

NAME = "asset_gen_world"
WORLD = Path(__file__).parents[2] / "asset_gen" / "tests" / "world.py"


def load_world():
    """Load world.py once per run; the fake providers are found under its name."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(NAME, WORLD)
        assert spec
        assert spec.loader
        sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[NAME])
    return sys.modules[NAME]


@pytest.fixture(scope="package")
async def running_world(tmp_path_factory):
    module = load_world()
    async with module.world(tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest.fixture
def world(running_world):
    fakes = running_world.fakes
    fakes.requests.clear()
    fakes.failing.clear()
    fakes.hold = fakes.broken_scores = False
    return running_world


@pytest.fixture
async def story(world):
    return await world.story()
