"""Requests become inputs as the configuration maps them; what a model cannot use is refused, never left out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError

from studio import (
    ImageEditRequest,
    ImageRequest,
    InvalidInputError,
    ProviderError,
    ProviderRejectedError,
    VideoRequest,
)
from studio_jobvendor.api import (
    ClipRequest,
    HostedModel,
    HostedSettings,
    Inputs,
    Places,
    ratio_of,
    seconds_of,
)

pytestmark = pytest.mark.pure
INPUTS = Inputs("Ann's")
STILL, LAST, CLIP = Path("still.png"), Path("last.png"), Path("clip.mp4")


class Settings(HostedSettings[HostedModel]):
    known: ClassVar = {
        "small": {"capability": "video", "fields": {"image": "image_url"}, "durations": [5, 10]}
    }
    output_hosts: tuple[str, ...] = ("ann.example",)
    url: str = "https://ann.example"

    @property
    def address(self):
        return self.url


def model(**fields):
    return HostedModel(capability="video", fields=fields)


def clip(**parts):
    return ClipRequest(**{"job_id": "-", "image": STILL, "duration_ms": 3000} | parts)


async def deliver(path):
    return f"at:{path.name}"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, {"image_url": "at:still.png"}),
        ({"last_image": LAST}, {"image_url": "at:still.png", "tail": "at:last.png"}),
        ({"references": (LAST, STILL)}, {"refs": ["at:last.png", "at:still.png"]}),
        ({"video": CLIP}, {"video_url": "at:clip.mp4"}),
    ],
)
async def test_parts_of_a_clip_go_where_the_model_wants_them(parts, expected):
    every = model(image="image_url", last_image="tail", references="refs", video="video_url")
    assert await INPUTS.input_of(every, clip(**parts), deliver) == expected


@pytest.mark.parametrize("parts", [{"last_image": LAST}, {"references": (LAST,)}, {"video": CLIP}])
def test_the_model_that_can_use_every_part_is_chosen_and_without_one_it_is_refused(parts):
    (part,) = parts
    plain, able = model(image="image_url"), model(image="image_url", **{part: "x"})
    assert INPUTS.choose({"plain": plain, "able": able}, clip(**parts)) == ("able", able)
    assert INPUTS.choose({"plain": plain, "able": able}, clip())[0] == "plain"
    for request in (clip(**parts), clip(**parts, model="plain")):
        with pytest.raises(ProviderRejectedError) as raised:
            INPUTS.choose({"plain": plain}, request)
        assert (raised.value.code, raised.value.extra["input"]) == ("operation_not_offered", part)
        assert f"Ann's that is asked for can do {part}." in raised.value.detail


def test_an_edit_takes_the_first_model_that_can_do_it():
    cut = HostedModel(capability="image_edit", fields={"image": "i"}, operations=("remove_background",))
    edit = ImageEditRequest(job_id="-", operation="upscale", image=STILL)
    with pytest.raises(ProviderRejectedError) as raised:
        INPUTS.choose({"cut": cut}, edit)
    assert raised.value.extra["input"] == "operation"
    same = edit.model_copy(update={"operation": "remove_background"})
    assert INPUTS.choose({"cut": cut}, same) == ("cut", cut)


async def test_a_caller_sets_only_what_the_model_lists():
    request = VideoRequest(job_id="-", image=STILL, duration_ms=1, params={"callback": "x"})
    with pytest.raises(InvalidInputError, match="callback"):
        await INPUTS.input_of(model(image="image_url"), request, deliver)
    with pytest.raises(InvalidInputError, match="no model 'none'"):
        INPUTS.choose({}, ImageRequest(job_id="-", prompt="x", model="none"))


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [(1, (), 1), (4200, (), 5), (4200, (5, 10), 5), (5001, (5, 10), 10), (60_000, (5, 10), 10)],
)
def test_length_is_the_shortest_that_is_long_enough(wanted, offered, expected):
    assert seconds_of(wanted, offered) == expected


def test_aspect_ratio_is_the_nearest_of_those_on_offer():
    assert ratio_of(1920, 1080) == "16:9"
    assert ratio_of(1000, 1000, ("16:9", "9:16", "4:3")) == "4:3"


def test_configuration_lies_over_the_known_models_key_by_key():
    changed = {"unit_price_uusd": 7, "price_kind": "per_call"}
    found = Settings(models={"small": changed, "own": {"capability": "video", "fields": {}}}).models
    assert (found["small"].durations, found["small"].unit_price_uusd) == ((5, 10), 7)
    assert list(found) == ["small", "own"]
    assert list(Settings(models={"small": {"enabled": False}}).offered("video")) == []
    with pytest.raises(ValidationError, match="belong together"):
        Settings(models={"small": {"unit_price_uusd": 7}})


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://ann.example/a.mp4", True), ("https://cdn.ann.example/a.mp4", True),
        ("https://ann.example./a.mp4", True), ("http://ann.example/a.mp4", False),
        ("https://evil-ann.example/a.mp4", False), ("https://ann.example@evil.example/a", False),
        ("https://u:p@ann.example/a", False), ("http://127.0.0.1/a", False), ("https://[::1", False), ("", False),
    ],
)  # fmt: skip
def test_results_are_taken_from_named_hosts_only(url, allowed):
    assert Places(Settings()).allows(url) is allowed


def test_this_machine_is_trusted_only_by_a_vendor_on_it():
    assert Places(Settings(url="http://127.0.0.1:9")).allows("http://127.0.0.1:9/a")
    assert Settings(url="http://127.0.0.1:9").file_hosts[-2:] == ("127.0.0.1", "localhost")
    assert Settings().file_hosts == ("ann.example", "*.ann.example")


async def test_upload_that_takes_too_long_is_no_work_that_may_have_begun(monkeypatch):
    monkeypatch.setattr("studio_jobvendor.inputs.UPLOADS_S", 0.01)

    async def never(_path):
        await asyncio.Event().wait()

    with pytest.raises(ProviderError) as raised:
        await INPUTS.input_of(model(image="image_url"), clip(), never)
    assert (raised.value.code, raised.value.retryable) == ("upload_failed", True)
