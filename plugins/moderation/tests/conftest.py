"""The world of asset_gen with moderation and previews in it, a judge to script, and a way to switch it on."""

from __future__ import annotations

import sys
from typing import ClassVar

import pytest

from studio import Estimate, Generation, MediaFile, ModelSpec, ProviderSpec
from studio_moderation.service import Moderation
from studio_moderation.settings import ModerationSettings

MODULE = "fake_judges_of_moderation"
HASH = {"blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj", "width": 1280, "height": 720}


class Fake:
    """Notes what it is asked in `asked`; `answers` are used up first: an error to raise, a function, or data."""

    usual: ClassVar[dict]

    def __init__(self, log, name):
        self.log, self.name, self.asked, self.answers = log, name, [], []

    async def submit(self, request):
        self.asked.append(request)
        self.log.append(self.name)
        answer = self.answers.pop(0) if self.answers else self.usual
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            answer = await answer(request)
        return Generation(
            provider_job_id=request.job_id, state="succeeded", data=answer, files=self.files(request)
        )

    def files(self, request):
        return ()

    def estimate(self, request):
        return Estimate(cost_uusd=0)


class Judge(Fake):
    usual: ClassVar = {"flags": []}


class Scorer(Fake):
    usual: ClassVar = {"scores": [{"scorer": "sharpness", "score": 0.5, "reason": ""}]}


class Thumbnailer(Fake):
    usual = HASH

    def __init__(self, log, name, folder):
        super().__init__(log, name)
        self.folder = folder

    def files(self, request):
        path = self.folder / f"{request.job_id}.jpg"
        path.write_bytes(f"small at {request.at_ms}".encode())
        return (MediaFile(mime="image/jpeg", path=path, width=480, height=270),)


class Stage:
    """A world whose chain is scripted: judge, scorer and thumbnailer; `log` has who was asked, in order."""

    def __init__(self, world, folder):
        self.world, self.log = world, []
        self.judge, self.scorer = Judge(self.log, "judge"), Scorer(self.log, "scorer")
        self.thumbnailer = Thumbnailer(self.log, "thumbnailer", folder)
        self.ctx = world.studio.loader.records["moderation"].ctx

    def register(self):
        module = sys.modules.setdefault(MODULE, sys.modules[__name__])
        table = (("moderation", "judge", self.judge), ("thumbnail", "small", self.thumbnailer))
        for capability, name, fake in (*table, ("score", "afirst", self.scorer)):
            setattr(module, f"make_{name}", lambda _ctx, fake=fake: fake)
            spec = ProviderSpec(
                name,
                capability,
                f"{MODULE}:make_{name}",
                (ModelSpec("m", "free", 0),),
                1,
                idempotent_submit=True,
            )
            self.world.services.providers.register("judges", self.ctx, [spec])
        off = ProviderSpec("nokey", "moderation", f"{MODULE}:make_judge", missing="set A_KEY")
        self.world.services.providers.register("judges", self.ctx, [off])

    def switch(self, **settings):
        """Give the plugin other settings, and a service that has them."""
        self.ctx._settings = ModerationSettings(**{"enabled": True, "providers": ["judge"]} | settings)
        self.ctx.provide(Moderation, Moderation(self.ctx))

    def reset(self):
        self.log.clear()
        for fake in (self.judge, self.scorer, self.thumbnailer):
            fake.asked.clear()
            fake.answers.clear()
        self.switch()


@pytest.fixture(scope="package")
async def running_stage(tmp_path_factory, worlds):
    folder = tmp_path_factory.mktemp("world")
    own = {"STUDIO_MODERATION__WORDS": '["ink"]', "STUDIO_MODERATION__PROVIDERS": "words"}
    async with worlds.world(folder, plugins="moderation,previews", **own) as world:
        stage = Stage(world, folder)
        stage.register()
        yield stage


@pytest.fixture
def stage(running_stage):
    running_stage.reset()
    running_stage.world.fakes.hold = False
    return running_stage


@pytest.fixture
async def story(stage):
    return await stage.world.story()


@pytest.fixture(scope="session")
def open_world(worlds):
    return worlds.world


@pytest.fixture(scope="session")
def staged():
    return Stage
