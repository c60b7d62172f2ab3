"""What is asked of fal: inputs, files, headers, callbacks, and the addresses of the answer."""

from __future__ import annotations

import base64
import json

import pytest

from studio import (
    BadRequestError,
    ImageEditRequest,
    ImageRequest,
    InvalidInputError,
    MusicRequest,
    OutcomeUnknownError,
    ProviderRejectedError,
    VideoRequest,
)

pytestmark = pytest.mark.http


def panel(**fields):
    return ImageRequest(**{"job_id": "j-1", "prompt": "A lighthouse in rain", "seed": 7} | fields)


def sent(fake):
    (call,) = [call for call in fake.asked("POST") if "/storage/" not in call.path]
    return call


async def test_request_is_queued_with_what_the_configuration_maps(make, fake, module):
    await make().submit(panel(model="flux-dev", params={"guidance_scale": 3.5}))
    call = sent(fake)
    assert call.path == "/fal-ai/flux/dev"
    assert call.json == {
        "prompt": "A lighthouse in rain", "seed": 7, "image_size": {"width": 1280, "height": 720},
        "num_images": 1, "output_format": "png", "guidance_scale": 3.5,
    }  # fmt: skip
    assert call.headers["authorization"] == f"Key {module.KEY}"
    assert json.loads(call.headers["x-fal-object-lifecycle-preference"]) == {
        "expiration_duration_seconds": 86_400
    }
    assert not {"x-fal-queue-priority", "x-fal-request-timeout", "x-fal-store-io"} & set(call.headers)


async def test_wishes_of_the_operator_are_sent_as_headers(make, fake):
    await make(queue_priority="low", start_timeout_s=60, keep_outputs_s=None).submit(panel())
    headers = sent(fake).headers
    assert headers["x-fal-queue-priority"] == "low"
    assert headers["x-fal-request-timeout"] == "60.0"
    assert "x-fal-object-lifecycle-preference" not in headers


@pytest.mark.parametrize("params", [{"prompt": "x"}, {"enable_safety_checker": False}, {"fal_webhook": "x"}])
async def test_caller_sets_only_what_the_model_allows(make, fake, params):
    with pytest.raises(InvalidInputError):
        await make().submit(panel(params=params))
    assert fake.calls == []


async def test_model_that_is_not_offered_is_refused_before_anything_is_sent(make, fake, pictures):
    with pytest.raises(InvalidInputError):
        await make().submit(panel(model="somebody/else"))
    with pytest.raises(ProviderRejectedError):
        await make("image_edit").submit(
            ImageEditRequest(job_id="j", operation="outpaint", image=pictures.small)
        )
    assert fake.calls == []


async def test_callback_carries_the_model_and_goes_over_https_only(make, fake):
    await make().submit(panel(callback_url="https://studio.example/api/webhooks/fal?job=j&token=a%26b"))
    (callback,) = [made["webhook"] for made in fake.requests.values()]
    assert callback == "https://studio.example/api/webhooks/fal?job=j&token=a%26b&fal_model=flux-schnell"
    fake.calls.clear()
    await make().submit(panel(callback_url="http://studio.example/x"))
    assert sent(fake).query == ""


async def test_small_file_travels_inside_and_a_large_one_goes_to_the_storage(make, fake, pictures):
    video = make("video")
    await video.submit(VideoRequest(job_id="j", image=pictures.small, duration_ms=2500, prompt="rain"))
    given = sent(fake).json
    prefix = "data:image/png;base64,"
    assert base64.b64decode(given["image_url"].removeprefix(prefix)) == pictures.small.read_bytes()
    assert given["duration"] == "3"
    fake.calls.clear()
    await video.submit(VideoRequest(job_id="j", image=pictures.large, duration_ms=2500))
    ((name, stored),) = fake.files.items()
    assert stored == ("image/png", pictures.large.read_bytes())
    assert sent(fake).json["image_url"] == f"https://v3.fal.media/files/{name}"


async def test_key_does_not_go_to_the_storage_of_somebody_else(make, fake, pictures, module):
    """`localhost` is another origin than `127.0.0.1`, as the bucket behind an upload address is."""
    fake_url, fake.url = fake.url, fake.url.replace("127.0.0.1", "localhost")
    video = make("video", rest_url=fake_url, queue_url=fake.url)
    await video.submit(VideoRequest(job_id="j", image=pictures.large, duration_ms=2500))
    (put,) = fake.asked("PUT")
    assert put.headers["host"].startswith("localhost")
    assert "authorization" not in put.headers


async def test_file_beyond_the_limit_is_refused(make, fake, pictures):
    request = VideoRequest(job_id="j", image=pictures.large, duration_ms=2000)
    with pytest.raises(BadRequestError):
        await make("video", max_input_bytes=999_999).submit(request)
    assert fake.calls == []


async def test_music_is_asked_for_by_mood_and_length(make, fake):
    await make("music").submit(MusicRequest(job_id="j", duration_ms=99_000, mood="sad"))
    assert sent(fake).json["seconds_total"] == 47
    assert "sad" in sent(fake).json["prompt"]


@pytest.mark.parametrize(
    ("endpoint", "app"),
    [
        ("fal-ai/flux/dev", "fal-ai/flux"),
        ("fal-ai/bytedance/seedance/v1/lite/image-to-video", "fal-ai/bytedance"),
        ("fal-ai/birefnet", "fal-ai/birefnet"),
        ("workflows/our/chain", "workflows/our/chain"),
    ],
)
async def test_subpath_is_used_for_the_submit_only(make, fake, endpoint, app):
    house = {"capability": "image", "endpoint": endpoint, "fields": {"prompt": "prompt"}}
    drawing = make(models={"house": house})
    started = await drawing.submit(panel(model="house"))
    name, found, request_id = started.provider_job_id.split("|")
    assert (name, found) == ("house", app)
    await drawing.poll(started.provider_job_id)
    assert [call.path for call in fake.asked("GET")] == [
        f"/{app}/requests/{request_id}/status",
        f"/{app}/requests/{request_id}",
    ]


@pytest.mark.parametrize(
    "origin",
    [
        "https://queue.fal.run.example.com",
        "https://evil.example",
        "http://127.0.0.1:9",
        "//evil.example",
        "file://",
        "https://user@queue.fal.run",
    ],
)
async def test_address_on_another_host_is_never_asked_with_the_key(make, fake, origin):
    fake.origin = origin
    with pytest.raises(OutcomeUnknownError):
        await make().submit(panel())
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("price", "cost"),
    [
        ({"price_kind": "per_image", "unit_price_uusd": 3000}, 3000),
        ({"price_kind": "per_unit", "unit_price_uusd": 3000}, None),
        ({}, None),
    ],
)
def test_estimate_is_the_declared_price_or_unknown(make, price, cost):
    assert make(models={"flux-schnell": price}).estimate(panel()).cost_uusd == cost


def test_estimate_of_a_video_counts_the_seconds_that_are_asked_for(make, pictures):
    priced = {"seedance-1-lite": {"price_kind": "per_second", "unit_price_uusd": 18_000}}
    request = VideoRequest(job_id="j", image=pictures.small, duration_ms=4200)
    assert make("video", models=priced).estimate(request).cost_uusd == 90_000
