from __future__ import annotations

import pytest


@pytest.fixture(scope="package")
async def running_world(tmp_path_factory, worlds):
    async with worlds.world(tmp_path_factory.mktemp("world")) as running:
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
