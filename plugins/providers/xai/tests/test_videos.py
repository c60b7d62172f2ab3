"""Videos: what is asked, and every state of the job, as the vendor sends it."""

from __future__ import annotations

import base64

import pytest

from studio import ProviderError, ProviderRejectedError, VideoRequest
from studio_jobvendor.api import ClipRequest
from studio_xai.video import resolution_of

pytestmark = pytest.mark.http
STATES = [  # payload, state, percent, error code, input, cost
    ("accepted_empty", "running", None, None, None, None),
    ("accepted_body", "running", 40, None, None, None),
    ("pending_as_200", "running", 12, None, None, None),
    ("done", "succeeded", 100, None, None, 400_001),
    ("done_without_status", "succeeded", 100, None, None, None),
    ("blocked", "failed", None, "content_policy_violation", "prompt", 400_001),
    ("blocked_with_url", "failed", None, "content_policy_violation", "prompt", 400_001),
    ("nothing", "failed", None, "provider_no_result", None, 400_001),
    ("failed", "failed", None, "provider_failed", None, None),
    ("failed_by_moderation", "failed", None, "content_policy_violation", "prompt", None),
    ("failed_with_text", "failed", None, "provider_failed", None, None),
    ("expired", "failed", None, "provider_expired", None, None),
]


@pytest.fixture
def film(picture):
    def make(**more):
        return VideoRequest(
            **{"job_id": "v1", "prompt": "Rain.", "image": picture(), "duration_ms": 5200} | more
        )

    return make


@pytest.mark.parametrize(
    ("name", "state", "percent", "code", "named", "cost"), STATES, ids=[s[0] for s in STATES]
)
async def test_a_state_means(provider, tools, name, state, percent, code, named, cost):
    found = tools.payload("videos")[name]
    vendor = tools.canned(found["status"], found["body"])
    async with vendor.serving():
        told = await provider("video", vendor).poll("abc-1")
    assert (told.state, told.percent, told.cost_uusd) == (state, percent, cost)
    assert (told.error and told.error.code, told.error and told.error.input) == (code, named)
    assert told.retry_after_s == (5.0 if state == "running" else None)
    assert told.error is None or not told.error.retryable
    charged = state == "succeeded" or code == "provider_no_result"  # it says that it has worked
    assert bool(told.usage) == charged
    if state == "succeeded":
        file = told.files[0]
        assert (file.url, file.mime, file.duration_ms) == ("https://vidgen.x.ai/a.mp4", "video/mp4", 6000)
        assert told.usage == {"seconds": 6, "calls": 1}


@pytest.mark.parametrize("figure", ["-6", "1e300", "Infinity", "NaN", '"long"'])
async def test_a_figure_that_cannot_be_loses_no_film(provider, tools, figure):
    body = f'{{"status": "done", "video": {{"url": "https://vidgen.x.ai/a.mp4", "duration": {figure}}}}}'
    running = f'{{"status": "pending", "progress": {figure}}}'
    for text, state in ((body, "succeeded"), (running, "running")):
        vendor = tools.canned(200, text)
        async with vendor.serving():
            told = await provider("video", vendor).poll("abc-1")
        assert (told.state, told.usage) == (state, {})


@pytest.mark.parametrize("body", [{"status": "complete"}, {"status": None}, None, ["nothing"]])
async def test_an_answer_that_is_not_known_is_an_error_to_ask_again(provider, tools, body):
    vendor = tools.canned(200, body)
    async with vendor.serving():
        with pytest.raises(ProviderError) as caught:
            await provider("video", vendor).poll("abc-1")
    assert (caught.value.code, caught.value.retryable) == ("provider_bad_answer", True)


async def test_a_still_is_animated(provider, fake, film):
    video = provider("video", fake)
    started = await video.submit(film())
    assert (started.state, started.retry_after_s) == ("running", 5.0)
    sent = fake.calls[0].json
    image = sent.pop("image")["url"]
    assert image.startswith("data:image/png;base64,")
    assert sent == {
        "model": "grok-imagine-video", "prompt": "Rain. The camera slowly pushes in.", "duration": 6,
        "aspect_ratio": "16:9", "resolution": "720p",
    }  # fmt: skip
    for empty in (True, False):
        fake.empty_while_pending = empty
        assert (await video.poll(started.provider_job_id)).state == "running"
    assert await video.cancel(started.provider_job_id) is False
    fake.end(started.provider_job_id, "succeeded")
    assert (await video.poll(started.provider_job_id)).state == "succeeded"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"duration_ms": 15_001}, "duration_ms"),
        ({"duration_ms": 0}, "duration_ms"),
        ({"params": {"resolution": "1080p"}}, "params"),
        ({"params": {"output": {"upload_url": "http://127.0.0.1"}}}, "params"),
        ({"model": "sora"}, "model"),
        ({"width": 0}, "size"),
    ],
)
async def test_what_would_be_refused_is_not_sent(provider, fake, film, changed, named):
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("video", fake).submit(film(**changed))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


@pytest.fixture
def clip(film, tmp_path):
    """Return a maker of requests with more than a still; `video` is an MP4 of its own."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"the clip before")

    def make(**more):
        plain = film()
        return ClipRequest(**plain.model_dump() | more)

    make.video = path
    return make


async def test_references_go_in_order_without_the_still_and_never_sharp(provider, fake, clip, picture):
    named = (picture("ann.png"), picture("harbour.png"))
    request = clip(references=named, model="grok-imagine-video-1.5", width=1920, height=1080)
    await provider("video", fake).submit(request)
    (call,) = fake.asked("POST")
    references = [one["url"] for one in call.json.pop("reference_images")]
    assert call.path == "/v1/videos/generations"
    assert [base64.b64decode(url.partition(",")[2]) for url in references] == [p.read_bytes() for p in named]
    assert call.json.keys() == {
        "model",
        "prompt",
        "duration",
        "aspect_ratio",
        "resolution",
        "reference_images",
    }
    assert call.json["resolution"] == "720p"


async def test_a_clip_goes_on_as_large_as_it_is(provider, fake, clip):
    started = await provider("video", fake).submit(clip(video=clip.video, duration_ms=1200))
    (call,) = fake.asked("POST")
    assert (call.path, started.state) == ("/v1/videos/extensions", "running")
    uri = "data:video/mp4;base64," + base64.b64encode(b"the clip before").decode()
    assert call.json == {
        "model": "grok-imagine-video", "prompt": "Rain. The camera slowly pushes in.", "duration": 2,
        "video": {"url": uri},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"last_image": "still"}, "last_image"),
        ({"video": "clip", "references": "still"}, "references"),
        ({"video": "still"}, "video"),
        ({"video": "clip", "duration_ms": 10_001}, "duration_ms"),
        ({"video": "clip", "params": {"resolution": "480p"}}, "params"),
        ({"references": "still", "params": {"resolution": "1080p"}}, "params"),
    ],
)
async def test_what_the_vendor_cannot_make_of_a_clip_is_not_sent(provider, fake, clip, picture, parts, named):
    files = {"still": picture(), "clip": clip.video}
    given = {
        name: files.get(value, value) if isinstance(value, str) else value for name, value in parts.items()
    }
    if "references" in given:
        given["references"] = (given["references"],)
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("video", fake).submit(clip(model="grok-imagine-video-1.5", **given))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


async def test_what_is_added_is_what_is_paid(provider, fake, clip):
    prices = {"grok-imagine-video": {"kind": "per_second", "unit_uusd": 50_000}}
    request = clip(video=clip.video, duration_ms=3500)
    assert provider("video", fake, prices=prices).estimate(request).cost_uusd == 200_000


@pytest.mark.parametrize("job_id", ["../files", "a/b", "a?b=c", "", "é"])
async def test_an_id_that_is_no_id_never_leaves_the_house(provider, fake, job_id):
    with pytest.raises(ProviderRejectedError):
        await provider("video", fake).poll(job_id)
    assert fake.calls == []


async def test_a_video_that_nobody_knows_is_refused(provider, fake):
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("video", fake).poll("unknown-1")
    assert caught.value.code == "provider_not_found"


async def test_the_price_goes_by_whole_seconds(provider, fake, film):
    prices = {"grok-imagine-video": {"kind": "per_second", "unit_uusd": 50_000}}
    assert provider("video", fake, prices=prices).estimate(film()).cost_uusd == 300_000
    assert provider("video", fake).estimate(film()).cost_uusd is None


@pytest.mark.pure
@pytest.mark.parametrize(
    ("model", "width", "height", "lines"),
    [
        ("grok-imagine-video", 640, 360, "480p"),
        ("grok-imagine-video", 1280, 720, "720p"),
        ("grok-imagine-video", 1920, 1080, "720p"),
        ("grok-imagine-video-1.5", 1920, 1080, "1080p"),
        ("grok-imagine-video-1.5", 720, 1280, "720p"),
    ],
)
def test_the_resolution_goes_as_far_as_the_model(model, width, height, lines):
    assert resolution_of(width, height, sharp="1.5" in model) == lines
