"""The world of asset_gen with this plugin in it, and a provider of thumbnails to script."""

from __future__ import annotations

import sys

import pytest

from studio import Estimate, Generation, MediaFile, ModelSpec, ProviderSpec

MODULE = "fake_thumbnails_of_previews"


class Thumbnailer:
    """Answers with a small file; `answer` is what it does instead: an error to raise, or other data."""

    def __init__(self, folder):
        self.folder, self.requests, self.answer = folder, [], None

    async def submit(self, request):
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            await self.answer()
        path = self.folder / "small.jpg"
        path.write_bytes(b"small picture of " + request.file.read_bytes()[:20])
        file = MediaFile(mime=f"image/{request.format}", path=path, width=480, height=270)
        data = self.answer if isinstance(self.answer, dict) else {"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}
        data = {"width": 1920, "height": 1080} | data
        return Generation(provider_job_id=request.job_id, state="succeeded", files=(file,), data=data)

    def estimate(self, request):
        return Estimate(cost_uusd=0)


@pytest.fixture(scope="package")
async def running_world(tmp_path_factory, worlds):
    folder = tmp_path_factory.mktemp("world")
    sys.modules[MODULE] = sys.modules[__name__]
    async with worlds.world(
        folder, plugins="previews", STUDIO_PREVIEWS__LONG_SIDE="480", STUDIO_PREVIEWS__DEADLINE_S="0.2"
    ) as running:
        running.thumbnailer = Thumbnailer(folder)
        globals()["make"] = lambda _ctx: running.thumbnailer
        spec = ProviderSpec("small", "thumbnail", f"{MODULE}:make", (ModelSpec("s", "free", 0),))
        running.services.providers.register("previews", running.studio.loader.records["previews"].ctx, [spec])
        yield running


@pytest.fixture
def world(running_world):
    running_world.thumbnailer.answer = None
    running_world.thumbnailer.requests.clear()
    return running_world


@pytest.fixture
async def story(world):
    return await world.story()
