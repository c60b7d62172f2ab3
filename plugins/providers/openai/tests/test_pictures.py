"""Pictures: sizes, files, references, edits in both forms, and what is refused before it is sent."""

from __future__ import annotations

import base64
import struct

import pytest
from aiohttp import web

from studio import (
    ImageEditRequest,
    ImageRequest,
    OutcomeUnknownError,
    ProviderRejectedError,
    StorageFullError,
    price_of,
)
from studio.testing.vendor import FakeVendor
from studio_openai.api import Price, priced
from studio_openai.image import size_of

pytestmark = pytest.mark.http
PRICES = {
    "gpt-image-2": {"kind": "per_1m_tokens", "unit_uusd": 5_000_000, "output_uusd": 30_000_000},
    "gpt-image-1.5": {"kind": "per_image", "unit_uusd": 40_000},
}


def draw(prompt="A harbour", **more):
    return ImageRequest(job_id="job1-1", prompt=prompt, **more)


@pytest.fixture
def picture(tmp_path, openai_fakes):
    def make(name="panel.png", width=64, height=32):
        (tmp_path / name).write_bytes(openai_fakes.png(width, height))
        return tmp_path / name

    return make


async def test_a_picture_lies_in_a_file_of_the_wanted_size(provider, fake):
    done = await provider("image", fake, prices=PRICES).submit(
        draw(negative="text", params={"quality": "low"})
    )
    file = done.files[0]
    data = file.path.read_bytes()
    assert (file.mime, file.width, file.height) == ("image/png", 1280, 720)
    assert struct.unpack(">II", data[16:24]) == (1280, 720)
    assert file.path.suffix == ".png"
    assert done.usage == {"images": 1, "calls": 1, "input_tokens": 14, "output_tokens": 272}
    model = priced(["gpt-image-2"], {name: Price(**price) for name, price in PRICES.items()})[0]
    assert (done.cost_uusd, price_of(model, done.usage)) == (None, 70 + 8160)
    assert done.provider_job_id.startswith("req_")
    sent = fake.calls[0].json
    assert sent["prompt"] == "A harbour\nAvoid: text"
    assert (sent["model"], sent["n"], sent["quality"]) == ("gpt-image-2", 1, "low")
    assert "response_format" not in sent


@pytest.mark.pure
@pytest.mark.parametrize(
    ("model", "width", "height", "size"),
    [
        ("gpt-image-2", 1280, 720, "1280x720"),
        ("gpt-image-2-2026-04-21", 1920, 1080, "1920x1088"),
        ("gpt-image-2", 3840, 2160, "3840x2160"),
        ("gpt-image-1.5", 1280, 720, "1536x1024"),
        ("gpt-image-1.5", 720, 1280, "1024x1536"),
        ("gpt-image-1.5", 1000, 1100, "1024x1024"),
    ],
)
def test_the_size_that_is_asked_for(model, width, height, size):
    assert size_of(model, width, height) == size


@pytest.mark.pure
@pytest.mark.parametrize(("width", "height"), [(3200, 1000), (4096, 2160), (3840, 3840), (0, 5)])
def test_a_size_that_nobody_draws_is_refused(width, height):
    with pytest.raises(ProviderRejectedError) as caught:
        size_of("gpt-image-2", width, height)
    assert caught.value.extra["input"] == "size"


async def test_a_refused_prompt_is_named(provider, fake):
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image", fake).submit(draw("forbidden"))
    assert (caught.value.code, caught.value.extra["input"]) == ("content_policy_violation", "prompt")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 32_001}, "prompt"),
        ({"model": "dall-e-9"}, "model"),
        ({"params": {"response_format": "url"}}, "params"),
        ({"params": {"n": 9}}, "params"),
        ({"params": {"background": "transparent", "output_format": "jpeg"}}, "params"),
    ],
)
async def test_what_would_be_refused_is_not_sent(provider, fake, changed, named):
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image", fake).submit(draw(**changed))
    assert caught.value.extra["input"] == named
    assert fake.calls == []


@pytest.mark.parametrize("data", ["!!!", base64.b64encode(b"<svg onload=alert(1)>").decode(), None])
async def test_a_picture_that_is_none_has_no_known_outcome(provider, tools, data):
    vendor = tools.canned(200, {"created": 1, "data": [{"b64_json": data}]})
    async with vendor.serving():
        with pytest.raises(OutcomeUnknownError):
            await provider("image", vendor).submit(draw())


@pytest.fixture
async def gallery(openai_fakes):
    """Return a server on this machine that answers with the address `url`; its pictures need the key."""

    class Gallery(FakeVendor):
        url_of_picture, shown = "", 200

        def routes(self):
            return [web.post("/v1/images/generations", self._draw), web.get("/files/1", self._show)]

        async def _draw(self, _):
            return web.json_response({"created": 1, "data": [{"url": self.url_of_picture}]})

        async def _show(self, request):
            assert request.headers["Authorization"].startswith("Bearer sk-")
            return web.Response(body=openai_fakes.png(64, 32), status=self.shown)

    vendor = Gallery()
    async with vendor.serving():
        vendor.url_of_picture = f"{vendor.url}/files/1"
        yield vendor


async def test_a_picture_at_an_address_of_the_same_server_is_fetched_at_once(provider, gallery):
    done = await provider("image", gallery).submit(draw())
    file = done.files[0]
    assert (file.url, file.mime, file.width, file.height) == (None, "image/png", 64, 32)
    assert file.path.read_bytes().startswith(b"\x89PNG")
    assert done.provider_job_id == "image-job1-1"


@pytest.mark.parametrize(
    "address",
    [
        "https://files.example/1.png", "http://127.0.0.1:1/files/1", "https://127.0.0.1:{port}/files/1", "/files/1",
        "http://127.0.0.1:x/", "http://[", "file:///etc/passwd",
    ],
)  # fmt: skip
async def test_a_picture_that_lies_elsewhere_is_not_fetched_and_was_paid(provider, gallery, address):
    gallery.url_of_picture = address.replace("{port}", gallery.url.rpartition(":")[2])
    with pytest.raises(OutcomeUnknownError) as caught:
        await provider("image", gallery).submit(draw())
    assert caught.value.code == "foreign_file"
    assert len(gallery.calls) == 1


async def test_a_picture_that_does_not_come_is_not_paid_twice(provider, gallery):
    gallery.shown = 404
    with pytest.raises(OutcomeUnknownError, match="does not come"):
        await provider("image", gallery).submit(draw())


async def test_references_make_it_an_edit(provider, fake, picture):
    paths = (picture("a.png"), picture("b.png"))
    done = await provider("image", fake).submit(draw(references=paths))
    assert done.state == "succeeded"
    call = fake.calls[0]
    assert call.path == "/v1/images/edits"
    uris = [entry["image_url"] for entry in call.json["images"]]
    assert [base64.b64decode(uri.partition(",")[2]) for uri in uris] == [p.read_bytes() for p in paths]
    with pytest.raises(ProviderRejectedError):
        await provider("image", fake).submit(draw(references=paths * 9))


@pytest.mark.parametrize("form", ["json", "multipart"])
async def test_a_part_of_a_picture_is_changed(provider, fake, picture, form):
    editor = provider("image_edit", fake, image_edit_form=form)
    pictures = {"image": picture(), "mask": picture("mask.png")}
    request = ImageEditRequest(
        job_id="e1", operation="inpaint", prompt="A boat", width=64, height=32, **pictures
    )
    done = await editor.submit(request)
    assert (done.files[0].width, done.files[0].height) == (64, 32)
    with pytest.raises(
        ProviderRejectedError
    ) as caught:  # the vendor compares the sizes: both pictures arrived
        await editor.submit(request.model_copy(update={"mask": picture("mask2.png", 16, 16)}))
    assert caught.value.extra["input"] == "image"


async def test_a_background_is_removed_into_transparency(provider, fake, picture):
    request = ImageEditRequest(
        job_id="e1", operation="remove_background", image=picture(), width=64, height=64
    )
    await provider("image_edit", fake).submit(request)
    assert fake.calls[0].json["background"] == "transparent"
    assert "Remove the background" in fake.calls[0].json["prompt"]


async def test_what_the_vendor_cannot_do_is_refused(provider, fake, picture):
    upscale = ImageEditRequest(job_id="e1", operation="upscale", image=picture())
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image_edit", fake).submit(upscale)
    assert caught.value.extra["input"] == "operation"
    assert fake.calls == []


async def test_a_picture_that_is_too_large_is_not_read(provider, fake, tmp_path):
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(15_000_001)
    request = ImageEditRequest(job_id="e1", operation="variation", image=large)
    with pytest.raises(ProviderRejectedError) as caught:
        await provider("image_edit", fake).submit(request)
    assert caught.value.extra["input"] == "image"


async def test_prices_by_picture_are_known_before_and_after(provider, fake):
    image = provider("image", fake, prices=PRICES)
    request = draw(model="gpt-image-1.5")
    assert image.estimate(request).cost_uusd == 40_000
    model = priced(["gpt-image-1.5"], {name: Price(**price) for name, price in PRICES.items()})[0]
    done = await image.submit(request)
    assert (done.cost_uusd, price_of(model, done.usage)) == (None, 40_000)
    assert image.estimate(draw()).cost_uusd is None  # tokens are known afterwards only
    assert image.estimate(draw(model="gpt-image-1-mini")).cost_uusd is None


@pytest.mark.parametrize("capability", ["image", "image_edit"])
async def test_a_picture_cannot_be_asked_for_later(provider, fake, capability):
    with pytest.raises(ProviderRejectedError):
        await provider(capability, fake).poll("req_1")
    assert await provider(capability, fake).cancel("req_1") is False


async def test_a_full_disk_is_told(provider, fake, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("studio_openai.files._write", full)
    with pytest.raises(StorageFullError):
        await provider("image", fake).submit(draw())
