"""A kill between two steps on a real database server: the pending take is found, fenced and finished there."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.database


class KilledError(BaseException):
    """What kill -9 is to the code: nothing after it runs."""


@pytest.fixture(scope="module")
async def real(database, tmp_path_factory, open_world, staged):
    folder = tmp_path_factory.mktemp("real")
    async with open_world(folder, database, plugins="moderation,previews") as world:
        stage = staged(world, folder)
        stage.register()
        stage.switch()
        yield stage


async def test_chain_goes_on_behind_the_last_step_that_was_stored(real):
    story = await real.world.story()
    jobs = real.world.services.jobs
    made = await real.world.post("/api/assetGen/generate", {"target": story.target(0)})
    job_id = made.json["job"]["id"]
    real.thumbnailer.answers = [KilledError()]
    with pytest.raises(KilledError):
        await jobs.step(job_id)
    (pending,) = await story.assets()
    assert (pending["state"], pending["finalizing"]["done"]) == ("pending", ["moderation", "asset_gen"])
    real.log.clear()
    await real.world.settle()
    assert real.log == ["thumbnailer"]
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"], "finalizing" in asset) == ("ready", True, False)
    assert (asset["created_at"], asset["take"]) == (pending["created_at"], 1)
    assert (await jobs.get(job_id))["state"] == "succeeded"
