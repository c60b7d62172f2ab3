"""Videos from more pictures than one: which call they are, what it carries, and what is refused before it is sent."""

from __future__ import annotations

import base64

import pytest

from studio import InvalidInputError, ProviderRejectedError
from studio_jobvendor.api import ClipRequest

pytestmark = pytest.mark.http
PNG = "data:image/png;base64,"


@pytest.fixture
def frames(tmp_path):
    """Return a maker of pictures, by name."""

    def make(*names, size=100):
        found = []
        for name in names:
            path = tmp_path / f"{name}.png"
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode() + b"x" * size)
            found.append(path)
        return tuple(found)

    return make


def clip(image, **fields):
    given = {"job_id": "j-1", "prompt": "@ann walks", "image": image, "duration_ms": 4200}
    return ClipRequest(**given | fields)


def sent(fake):
    (call,) = fake.asked("POST", "2video$")
    return call.path, call.json


def plain(images):
    return [base64.b64decode(image.removeprefix(PNG)) for image in images]


async def test_first_and_last_picture_go_in_this_order_and_without_an_aspect_ratio(make, fake, frames):
    first, last = frames("first", "last")
    started = await make().submit(clip(first, last_image=last, params={"seed": 3}))
    path, body = sent(fake)
    assert path == "/ent/v2/start-end2video"
    assert plain(body.pop("images")) == [first.read_bytes(), last.read_bytes()]
    assert body == {
        "model": "viduq3-turbo", "prompt": "@ann walks", "duration": 5, "resolution": "720p", "payload": "j-1",
        "seed": 3,
    }  # fmt: skip
    assert (await make().poll(started.provider_job_id)).state == "succeeded"


async def test_references_go_without_the_still_and_with_an_aspect_ratio(make, fake, frames):
    still, *references = frames("still", "ann", "harbour", "lamp")
    await make().submit(clip(still, references=tuple(references), model="viduq2-pro"))
    path, body = sent(fake)
    assert path == "/ent/v2/reference2video"
    assert plain(body.pop("images")) == [path.read_bytes() for path in references]
    assert body == {
        "model": "viduq2-pro", "prompt": "@ann walks", "duration": 5, "resolution": "720p", "payload": "j-1",
        "aspect_ratio": "16:9",
    }  # fmt: skip


async def test_without_more_pictures_it_is_the_call_that_it_was(make, fake, frames):
    (still,) = frames("still")
    await make().submit(clip(still))
    path, body = sent(fake)
    assert path == "/ent/v2/img2video"
    assert plain(body["images"]) == [still.read_bytes()]


@pytest.mark.parametrize(
    ("parts", "params", "told"),
    [
        ({"last_image": 1, "references": 1}, {}, "last_image"),
        ({"last_image": 1}, {"mode": "text2video"}, "last_image"),
        ({"video": 1}, {}, "video"),
        ({"references": 8}, {}, "references"),
    ],
)
async def test_what_does_not_go_together_is_refused_before_it_is_sent(
    make, fake, frames, parts, params, told
):
    still, *more = frames("still", *map(str, range(8)))
    given = {name: more[0] if name != "references" else tuple(more[:n]) for name, n in parts.items()}
    with pytest.raises(ProviderRejectedError) as raised:
        await make().submit(clip(still, params=params, **given))
    assert raised.value.extra["input"] == told
    assert fake.calls == []


async def test_references_need_a_prompt(make, fake, frames):
    with pytest.raises(InvalidInputError):
        await make().submit(clip(frames("still")[0], references=frames("ann"), prompt=""))
    assert fake.calls == []


async def test_pictures_that_fit_alone_and_not_together_are_refused(make, fake, frames):
    first, last = frames("first", "last", size=7_500_000)
    with pytest.raises(ProviderRejectedError) as raised:
        await make().submit(clip(first, last_image=last))
    assert (raised.value.code, raised.value.extra["input"]) == ("image_refused", "image")
    assert fake.calls == []
