"""What must hold under real concurrency, on a real database server."""

from __future__ import annotations

import asyncio

import pytest

from studio import Generation, MediaFile
from studio_asset_gen.takes import AssetStore

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
async def real(database, tmp_path_factory, worlds):
    async with worlds.world(tmp_path_factory.mktemp("real"), database) as running:
        yield running


@pytest.fixture(scope="module")
async def made(real):
    """Return a story with a first panel, its job, and a result to accept again."""
    story = await real.story()
    job = await story.generate(0)
    path = real.fakes.folder / "again.png"
    path.write_bytes(b"again")
    file = MediaFile(mime="image/png", path=path)
    return story, job, Generation(provider_job_id="p", state="succeeded", files=(file,))


async def test_fifty_accepts_of_one_result_keep_one_take(real, made):
    story, job, result = made
    store, again = real.service(AssetStore), job | {"attempt": 2}
    before = len(await story.assets(slot="panel"))
    answers = await asyncio.gather(*(store.accept(again, result, False) for _ in range(50)))
    assert {answer["result_asset_ids"][0] for answer in answers} == {f"{job['_id']}-2-0"}
    assert len(await story.assets(slot="panel")) == before + 1


async def test_twenty_results_at_once_have_twenty_take_numbers(real, made):
    story, job, result = made
    store = real.service(AssetStore)
    before = len(await story.assets(slot="panel"))
    await asyncio.gather(*(store.accept(job | {"attempt": 100 + n}, result, False) for n in range(20)))
    takes = await story.assets(slot="panel")
    await story.read()
    assert sorted(take["take"] for take in takes) == list(range(1, before + 21))
    assert story.shots[0]["current"]["panel"] in {take["_id"] for take in takes}


async def test_fifty_selects_have_one_effect(real, made):
    story, job, _ = made
    await story.generate(0)
    first = f"{job['_id']}-1-0"
    calls = [real.post(f"/api/assetGen/assets/{first}/select") for _ in range(50)]
    answers = await asyncio.gather(*calls)
    await story.read()
    assert {answer.status for answer in answers} == {200}
    assert story.shots[0]["current"]["panel"] == first
    assert (await real.activities(story.project_id)).count("asset.selected") == 1


async def test_concurrent_first_needs_give_each_character_one_voice(real, made):
    story, _, _ = made
    bodies = [{"target": story.target(n, "voice")} for n in (0, 1, 2) * 4]
    answers = await asyncio.gather(*(real.post("/api/assetGen/generate", body) for body in bodies))
    await real.settle()
    rows = await real.db["voice_settings"].find({"project_id": story.project_id})
    assert {answer.status for answer in answers} == {202}
    assert len(rows) == len({row["voice"] for row in rows}) == 2
