"""What is asked of Replicate: inputs, files, headers, callbacks."""

from __future__ import annotations

import base64

import pytest

from studio import (
    BadRequestError,
    ImageEditRequest,
    ImageRequest,
    InvalidInputError,
    MusicRequest,
    ProviderRejectedError,
    VideoRequest,
)

pytestmark = pytest.mark.http
HEX = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"


def panel(**fields):
    return ImageRequest(**{"job_id": "j-1", "prompt": "A lighthouse in rain", "seed": 7} | fields)


def sent(fake):
    (call,) = fake.asked("POST", "predictions$")
    return call


async def test_official_model_gets_its_own_path_and_what_the_configuration_maps(make, fake, module):
    await make().submit(panel(params={"num_inference_steps": 4}))
    call = sent(fake)
    assert call.path == "/v1/models/black-forest-labs/flux-schnell/predictions"
    assert call.json == {
        "input": {
            "prompt": "A lighthouse in rain", "seed": 7, "aspect_ratio": "16:9",
            "num_outputs": 1, "output_format": "png", "num_inference_steps": 4,
        }
    }  # fmt: skip
    assert call.headers["authorization"] == f"Bearer {module.TOKEN}"
    assert call.headers["cancel-after"] == "3600s"
    assert "prefer" not in call.headers


@pytest.mark.parametrize(
    ("model", "path", "version"),
    [
        (f"our/style:{HEX}", "/v1/predictions", HEX),
        (HEX, "/v1/predictions", HEX),
        ("deployments/our/fast", "/v1/deployments/our/fast/predictions", None),
    ],
)
async def test_version_and_deployment_have_their_own_paths(make, fake, model, path, version):
    house = {"capability": "image", "model": model, "fields": {"prompt": "text"}}
    await make(models={"house": house}).submit(panel(model="house"))
    assert sent(fake).path == path
    assert sent(fake).json.get("version") == version
    assert sent(fake).json["input"] == {"text": "A lighthouse in rain"}


@pytest.mark.parametrize(
    "params", [{"prompt": "x"}, {"webhook": "https://x"}, {"disable_safety_checker": True}]
)
async def test_caller_sets_only_what_the_model_allows(make, fake, params):
    with pytest.raises(InvalidInputError):
        await make().submit(panel(params=params))
    assert fake.calls == []


async def test_unknown_model_is_refused_before_anything_is_sent(make, fake):
    with pytest.raises(InvalidInputError, match="flux-schnell"):
        await make().submit(panel(model="somebody/else"))
    assert fake.calls == []


async def test_operation_chooses_the_model_and_one_that_nobody_has_is_refused(make, fake, pictures):
    editor = make("image_edit")
    await editor.submit(ImageEditRequest(job_id="j", operation="upscale", image=pictures.small))
    assert sent(fake).path.endswith("recraft-crisp-upscale/predictions")
    for request in (
        ImageEditRequest(job_id="j", operation="outpaint", image=pictures.small),
        ImageEditRequest(job_id="j", operation="upscale", image=pictures.small, model="flux-kontext-pro"),
    ):
        with pytest.raises(ProviderRejectedError) as raised:
            await editor.submit(request)
        assert raised.value.extra["input"] == "operation"
    assert len(fake.calls) == 1


async def test_small_file_travels_inside_and_a_large_one_is_uploaded(make, fake, pictures):
    video = make("video")
    await video.submit(VideoRequest(job_id="j", image=pictures.small, duration_ms=2500, prompt="rain"))
    given = sent(fake).json["input"]
    prefix = "data:image/png;base64,"
    assert given["image"].startswith(prefix)
    assert base64.b64decode(given["image"].removeprefix(prefix)) == pictures.small.read_bytes()
    assert given["duration"] == 3
    assert given["fps"] == 24
    fake.calls.clear()
    await video.submit(VideoRequest(job_id="j", image=pictures.large, duration_ms=99_000))
    (upload,) = fake.asked("POST", "files$")
    assert b'name="content"; filename="input.png"' in upload.body
    (file_id,) = fake.files
    assert fake.files[file_id] == pictures.large.read_bytes()
    assert sent(fake).json["input"]["image"] == f"{fake.url}/v1/files/{file_id}"
    assert sent(fake).json["input"]["duration"] == 12


async def test_file_beyond_the_limit_is_refused(make, fake, pictures):
    with pytest.raises(BadRequestError):
        await make("video", max_input_bytes=299_999).submit(
            VideoRequest(job_id="j", image=pictures.large, duration_ms=2000)
        )
    assert fake.calls == []


async def test_references_become_a_list_and_an_empty_one_is_left_out(make, fake, pictures):
    house = {
        "capability": "image",
        "model": "our/pro",
        "fields": {"prompt": "prompt", "references": "image_input"},
    }
    drawing = make(models={"house": house})
    await drawing.submit(panel(model="house", references=(pictures.small, pictures.small)))
    assert len(sent(fake).json["input"]["image_input"]) == 2
    fake.calls.clear()
    await drawing.submit(panel(model="house"))
    assert "image_input" not in sent(fake).json["input"]


async def test_music_without_words_is_asked_for_by_its_mood(make, fake):
    await make("music").submit(
        MusicRequest(job_id="j", duration_ms=30_200, mood="tense", tempo_bpm=96, seed=3)
    )
    given = sent(fake).json["input"]
    assert given["duration"] == 31
    assert given["seed"] == 3
    assert "tense" in given["prompt"]
    assert "96 bpm" in given["prompt"]


@pytest.mark.parametrize(
    ("callback", "told"),
    [
        ("https://studio.example/api/webhooks/replicate?token=x", True),
        ("http://studio.example/x", False),
        (None, False),
    ],
)
async def test_callback_is_asked_for_the_end_only_and_over_https_only(make, fake, callback, told):
    await make().submit(panel(callback_url=callback))
    body = sent(fake).json
    assert body.get("webhook") == (callback if told else None)
    assert body.get("webhook_events_filter") == (["completed"] if told else None)


async def test_model_that_is_quick_may_be_waited_for(make, fake):
    found = await make(models={"flux-schnell": {"wait_s": 20}}).submit(panel())
    assert sent(fake).headers["prefer"] == "wait=20"
    assert found.state == "succeeded"
    assert found.files


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        ((1280, 720), "16:9"),
        ((720, 1280), "9:16"),
        ((1000, 990), "1:1"),
        ((2520, 1080), "21:9"),
        ((1024, 768), "4:3"),
    ],
)
async def test_nearest_aspect_ratio_is_asked_for(make, fake, size, ratio):
    await make().submit(panel(width=size[0], height=size[1]))
    assert sent(fake).json["input"]["aspect_ratio"] == ratio


@pytest.mark.parametrize(
    ("price", "capability", "cost"),
    [
        ({"price_kind": "per_image", "unit_price_uusd": 3000}, "image", 3000),
        ({"price_kind": "per_call", "unit_price_uusd": 0}, "image", 0),
        ({"price_kind": "per_predict_second", "unit_price_uusd": 975}, "image", None),
        ({}, "image", None),
        ({"price_kind": "per_second", "unit_price_uusd": 18_000}, "video", 90_000),
    ],
)
def test_estimate_is_the_declared_price_or_unknown(make, pictures, price, capability, cost):
    name = {"image": "flux-schnell", "video": "seedance-1-lite"}[capability]
    request = (
        panel() if capability == "image" else VideoRequest(job_id="j", image=pictures.small, duration_ms=4200)
    )
    assert make(capability, models={name: price}).estimate(request).cost_uusd == cost
