"""Pictures: aspect ratios, edits as JSON, moderation that hides in success, cost in ticks."""

from __future__ import annotations

import pytest

from studio import ImageEditRequest, ImageRequest, OutcomeUnknownError, ProviderRejectedError
from studio_xai.asking import ratio_of
from studio_xai.models import uusd

pytestmark = pytest.mark.http
DRAW = ImageRequest(job_id="job1-1", prompt="A harbour", negative="text")
ANSWERS = [  # payload, state, error code, cost
    ("whole", "succeeded", None, 20_000),
    ("bare", "succeeded", None, None),
    ("blocked", "failed", "content_policy_violation", 20_000),
    ("blocked_without_url", "failed", "content_policy_violation", None),
    ("nothing", "failed", "content_policy_violation", 0),
]


@pytest.mark.parametrize(("name", "state", "code", "cost"), ANSWERS, ids=[a[0] for a in ANSWERS])
async def test_an_answer_means(provider, tools, name, state, code, cost):
    vendor = tools.canned(200, tools.payload("pictures")[name])
    async with vendor.serving():
        done = await provider("image", vendor).submit(DRAW)
    assert (done.state, done.cost_uusd, done.error and done.error.code) == (state, cost, code)
    assert done.provider_job_id == "image-job1-1"
    if state == "failed":
        assert (done.error.input, done.error.retryable) == ("prompt", False)
    else:
        assert (done.files[0].url, done.files[0].mime) == ("https://imgen.x.ai/1.jpeg", "image/jpeg")


async def test_a_prompt_becomes_a_picture(provider, fake):
    done = await provider("image", fake).submit(DRAW.model_copy(update={"params": {"resolution": "2k"}}))
    assert (done.state, done.usage, done.cost_uusd) == ("succeeded", {"images": 1, "calls": 1}, 20_000)
    assert fake.calls[0].json == {
        "model": "grok-imagine-image", "prompt": "A harbour\nAvoid: text", "n": 1, "response_format": "url",
        "aspect_ratio": "16:9", "resolution": "2k",
    }  # fmt: skip


async def test_a_refused_prompt_is_named(provider, fake):
    fake.draws = "moderated"
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image", fake).submit(DRAW)
    assert (caught.value.code, caught.value.extra["input"]) == ("content_policy_violation", "prompt")


async def test_edits_are_json_with_one_picture_or_several(provider, fake, picture):
    edit = ImageEditRequest(job_id="e1", operation="inpaint", image=picture(), prompt="A boat")
    assert (await provider("image_edit", fake).submit(edit)).state == "succeeded"
    two = DRAW.model_copy(update={"references": (picture("a.png"), picture("b.jpg"))})
    assert (await provider("image", fake).submit(two)).state == "succeeded"
    one, several = (call.json for call in fake.asked("POST", "/v1/images/edits$"))
    assert one["image"]["type"] == "image_url"
    assert one["image"]["url"].startswith("data:image/png;base64,")
    assert [entry["url"][:15] for entry in several["images"]] == ["data:image/png;", "data:image/jpeg"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"operation": "upscale"}, "operation"),
        ({"operation": "remove_background"}, "operation"),
        ({"mask": True}, "mask"),
        ({"prompt": ""}, "prompt"),
        ({"params": {"response_format": "b64_json"}}, "params"),
        ({"model": "grok-0"}, "model"),
    ],
)
async def test_what_the_vendor_cannot_do_is_not_sent(provider, fake, picture, changed, named):
    request = {"job_id": "e1", "operation": "inpaint", "image": picture(), "prompt": "A boat"} | changed
    request |= {"mask": picture("mask.png")} if "mask" in changed else {}
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image_edit", fake).submit(ImageEditRequest(**request))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


@pytest.mark.parametrize("mode", ["malformed", "wrong_type", "lost"])
async def test_an_answer_that_cannot_be_read_has_no_known_outcome(provider, fake, mode):
    fake.fail(mode)
    with pytest.raises(OutcomeUnknownError):
        await provider("image", fake).submit(DRAW)
    assert len(fake.calls) == 1


@pytest.mark.parametrize("capability", ["image", "image_edit"])
async def test_a_picture_cannot_be_asked_for_later(provider, fake, capability):
    with pytest.raises(ProviderRejectedError):
        await provider(capability, fake).poll("image-1")
    assert await provider(capability, fake).cancel("image-1") is False


@pytest.mark.pure
@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        (None, None),
        (0, 0),
        (-1, None),
        (-123_456, None),
        (10**20, None),
        (1, 1),
        (10_000, 1),
        (10_001, 2),
        (10_000_000_000, 1_000_000),
        (4_000_000_001, 400_001),
    ],
)
def test_ticks_become_micro_dollars_rounded_up(ticks, expected):
    assert uusd(ticks) == expected


@pytest.mark.pure
@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [(1280, 720, "16:9"), (720, 1280, "9:16"), (512, 500, "1:1"), (1024, 768, "4:3"), (600, 900, "2:3")],
)
def test_the_nearest_ratio_is_asked_for(width, height, ratio):
    assert ratio_of(width, height) == ratio
