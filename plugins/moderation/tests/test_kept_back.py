"""What keeps a take back besides moderation: a step's own fault, its word, a worker that was overtaken."""

from __future__ import annotations

import asyncio
import sys

import pytest

from studio import (
    ConflictError,
    Generation,
    InvalidInputError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from studio_asset_gen.takes import AssetStore
from studio_previews.service import Previews

pytestmark = pytest.mark.http
PASSED, FLAGGED = {"flags": []}, {"flags": [{"category": "violence"}]}


class KilledError(BaseException):
    """What kill -9 is to the code: nothing after it runs."""


def step_of_previews(stage, monkeypatch, answer):
    """Let the last step do `answer`: return something, or raise it."""

    async def finalize(_asset):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(stage.world.service(Previews), "finalize", finalize)


@pytest.fixture
def two_files(stage, monkeypatch):
    fakes = sys.modules["asset_gen_world"].FakeImages
    one = fakes.files

    def two(self, request):
        (file,) = one(self, request)
        other = file.path.with_name(f"second-{file.path.name}")
        other.write_bytes(b"another picture")
        return (file, file.model_copy(update={"path": other}))

    monkeypatch.setattr(fakes, "files", two)


@pytest.mark.parametrize(
    ("slot", "fault"), [("panel", RuntimeError("a bug")), ("panel", TimeoutError()), ("voice", KeyError("x"))]
)
async def test_fault_of_a_step_keeps_the_take_back_and_loses_nothing(stage, story, monkeypatch, slot, fault):
    world = stage.world
    with monkeypatch.context() as patch:
        step_of_previews(stage, patch, fault)
        job = await story.generate(0, slot)
    assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "finalize_failed", 1)
    assert type(fault).__name__ in job["error"]["message"]
    assert job["cost_uusd"] == {"panel": 1_000, "voice": 10}[slot]
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"]) == ("quarantined", False)
    assert (
        len(await world.jobs(story.project_id)) == 1
    )  # no other voice is bought: it would meet the same fault
    answer = await world.post(f"/api/assetGen/jobs/{job['_id']}/release")
    assert [take["state"] for take in answer.json["items"]] == ["ready"]


async def test_refusal_of_any_kind_keeps_the_other_files_of_the_job(stage, story, monkeypatch, two_files):
    answers = [None, InvalidInputError("not this one")]

    async def finalize(_asset):
        answer = answers.pop(0)
        if answer:
            raise answer

    monkeypatch.setattr(stage.world.service(Previews), "finalize", finalize)
    job = await story.generate(0)
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_input")
    states = [(one["state"], one["selected"]) for one in await story.assets()]
    assert states == [("ready", False), ("quarantined", False)]


async def test_released_take_is_told_of_although_the_next_one_is_not_released(
    stage, story, monkeypatch, two_files
):
    world, told = stage.world, []
    stage.judge.answers = [PASSED, ProviderUnavailableError("down"), PASSED, ProviderUnavailableError("down")]
    job = await story.generate(0)
    monkeypatch.setattr(
        world.services.realtime, "publish_room", lambda room, event, data: told.append((event, data["id"]))
    )
    stage.judge.answers = [PASSED, PASSED, PASSED, FLAGGED]
    answer = await world.post(f"/api/assetGen/jobs/{job['_id']}/release")
    assert (answer.status, answer.json["code"]) == (422, "moderation_refused")
    first, second = await story.assets()
    assert (first["state"], second["state"]) == ("ready", "rejected")
    assert told == [("asset.ready", first["_id"])]
    assert "asset.released" in await world.activities(story.project_id)


@pytest.mark.parametrize("word", ["quarantined", "pending"])
async def test_take_that_a_step_has_put_aside_is_not_released(stage, story, monkeypatch, word):
    world = stage.world
    step_of_previews(stage, monkeypatch, {"state": word})
    job = await story.generate(0)
    (asset,) = await story.assets()
    assert (asset["state"], asset["selected"]) == ("quarantined", False)
    again = await world.service(AssetStore).accept(job, await generation_of(stage, job), False)
    assert again["result_asset_ids"] == [asset["_id"]]  # a repetition after a crash finds it
    assert (await world.post(f"/api/assetGen/jobs/{job['_id']}/release")).status == 409
    assert (await world.get(f"/api/assetGen/assets/{asset['_id']}/file")).status == 404


async def generation_of(stage, job):
    done = sys.modules["asset_gen_world"].FakeImages(None).files(stage.world.fakes.requests[-1])
    return Generation(provider_job_id=job["provider_job_id"], state="succeeded", files=done)


async def test_worker_that_takes_over_wins_over_the_one_before(stage, story):
    world = stage.world
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    stage.thumbnailer.answers = [KilledError()]
    with pytest.raises(KilledError):
        await world.services.jobs.step(made.json["job"]["id"])
    job = await world.services.jobs.get(made.json["job"]["id"])
    generation, store = Generation.model_validate(job["generation"]), world.service(AssetStore)
    here, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request):
        here.set()
        await go_on.wait()
        return stage.thumbnailer.usual | {"blurhash": "00TSUA"}

    async def while_the_first_ends(_request):
        go_on.set()
        with pytest.raises(ConflictError, match="Another worker"):
            await first
        return stage.thumbnailer.usual

    stage.thumbnailer.answers = [slow, while_the_first_ends]
    first = asyncio.create_task(store.accept(job, generation, False))
    await here.wait()
    await store.accept(job, generation, False)
    (asset,) = await story.assets()
    assert (asset["state"], asset["blurhash"]) == ("ready", stage.thumbnailer.usual["blurhash"])


async def test_refusal_by_a_worker_that_was_faster_holds(stage, story):
    world = stage.world
    made = await world.post("/api/assetGen/generate", {"target": story.target(0)})
    stage.judge.answers = [KilledError()]
    with pytest.raises(KilledError):
        await world.services.jobs.step(made.json["job"]["id"])
    job = await world.services.jobs.get(made.json["job"]["id"])
    generation, store = Generation.model_validate(job["generation"]), world.service(AssetStore)

    async def meanwhile(_request):
        stage.judge.answers = [FLAGGED, PASSED]
        with pytest.raises(ProviderRejectedError):
            await store.accept(job, generation, False)
        return PASSED

    stage.judge.answers = [PASSED, meanwhile]
    with pytest.raises(ProviderRejectedError) as raised:
        await store.accept(job, generation, False)
    assert raised.value.code == "moderation_refused"
    assert [one["state"] for one in await story.assets()] == ["rejected"]
