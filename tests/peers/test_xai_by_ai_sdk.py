"""Vercel's AI SDK before the fake of xAI: pictures, edits and videos are asked for as we ask for them."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest
import structlog

from studio import ImageEditRequest, ImageRequest, PluginContext, VideoRequest
from studio.testing.kit import HttpClients, Metrics, Services

pytestmark = pytest.mark.peer
SDK = "@ai-sdk/xai@3.0.138"


@pytest.fixture
async def context():
    from studio_xai.settings import XaiSettings

    services = Services()
    services.metrics = Metrics()
    services.http = HttpClients(services.metrics)

    def build(fakes, fake):
        settings = XaiSettings(api_key=fakes.KEY, base_url=f"{fake.url}/v1", allow_private=True)
        return PluginContext("xai", services, settings, structlog.get_logger())

    yield build
    await services.http.close()


async def everything(ctx, one, two, clip):
    """Ask the same as the script, in the same order, and return the finished videos."""
    from studio_jobvendor.api import ClipRequest
    from studio_xai.image import XaiImageEditor, XaiImageGenerator
    from studio_xai.video import XaiVideoGenerator

    image = XaiImageGenerator(ctx)
    await image.submit(ImageRequest(job_id="i1", prompt="A harbour"))
    edit = ImageEditRequest(job_id="e1", operation="inpaint", image=one, prompt="A boat")
    await XaiImageEditor(ctx).submit(edit)
    await image.submit(ImageRequest(job_id="i2", prompt="A boat", references=(one, two)))
    video = XaiVideoGenerator(ctx)
    films = [
        VideoRequest(job_id="v1", prompt="Rain.", image=one, duration_ms=5500),
        ClipRequest(job_id="v2", prompt="They meet.", image=one, duration_ms=5500, references=(one, two)),
        ClipRequest(job_id="v3", prompt="She leaves.", image=one, duration_ms=4000, video=clip),
    ]
    return [await made(video, request) for request in films]


async def made(video, request):
    found = await video.submit(request)
    while found.state == "running":
        found = await video.poll(found.provider_job_id)
    return found


def written(call):
    """Return what a call says; the SDK wants pictures as bytes, we as addresses."""
    body = call.json if call.body else {}
    return {name: value for name, value in body.items() if name != "response_format"}


def plain(path):
    """Return a path with the numbers of the fake's videos taken out."""
    return path[: path.index("-")].rstrip("0123456789") if "-" in path else path


async def test_the_sdk_sends_what_we_send_and_reads_what_the_fake_answers(
    load_fake, node_script, context, tmp_path
):
    fakes, script = load_fake("xai"), await asyncio.to_thread(node_script, "xai_ai_sdk.mjs", SDK)
    pictures = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "clip.mp4"]
    for number, path in enumerate(pictures):
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]))
    async with fakes.FakeXai().serving() as fake:
        fake.polls_to_end = 2
        film, *others = await everything(context(fakes, fake), *pictures)
        ours, fake.calls[:] = list(fake.calls), []
        command = ("node", script, f"{fake.url}/v1", fakes.KEY, *pictures)
        done = await asyncio.to_thread(subprocess.run, command, check=True, timeout=60, capture_output=True)
    told = json.loads(done.stdout)
    theirs = fake.calls[: len(ours)]
    for own, sdk in zip(ours, theirs, strict=True):
        assert (own.method, plain(own.path), own.query) == (sdk.method, plain(sdk.path), sdk.query)
        assert written(own) == written(sdk)
        assert own.headers["authorization"] == sdk.headers["authorization"]
    assert told["image"] == ["/9j/4AAQ", fakes.TICKS["image"]]
    assert told["video"][1:] == [film.files[0].duration_ms / 1000, fakes.TICKS["video"]]
    assert told["video"][0].startswith("https://vidgen.x.ai/")
    assert told["extended"].startswith("https://vidgen.x.ai/")
    assert [other.state for other in others] == ["succeeded", "succeeded"]
    assert told["refused"][0] == 400
    assert "Incorrect API key" in told["refused"][1]
