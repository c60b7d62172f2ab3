"""The world of asset_gen with provenance in it, and a program in the place of the one that signs."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from studio_provenance.service import Provenance
from studio_provenance.settings import ProvenanceSettings

PROGRAM = """
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
order, mode = json.load(sys.stdin), (here / "mode").read_text()
(here / "order.json").write_text(json.dumps(order))
if mode == "sign":
    data = pathlib.Path(order["file"]).read_bytes()
    pathlib.Path(order["out"]).write_bytes(data + b" signed")
    print(json.dumps({"manifest": "urn:c2pa:1"}))
elif mode == "vendor":
    print(json.dumps({"signed_already": "urn:c2pa:vendor"}))
elif mode == "error":
    print(json.dumps({"error": "C2paError: the key does not fit"}))
elif mode == "garbage":
    print("not json")
elif mode == "crash":
    sys.exit("out of memory")
elif mode == "hang":
    time.sleep(60)
elif mode == "odd":
    pathlib.Path(order["out"]).write_bytes(b"x")
    print(json.dumps({"manifest": None}))
"""


class Stage:
    """A world with a program to script: `mode` is what it does next."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.ctx = world.studio.loader.records["provenance"].ctx
        self.files = {"certificate": folder / "chain.pem", "private_key": folder / "key.pem"}

    def mode(self, name):
        (self.folder / "mode").write_text(name)

    def switch(self, **settings):
        self.ctx._settings = ProvenanceSettings(**self.files | settings)
        self.ctx.provide(Provenance, Provenance(self.ctx))


@pytest.fixture(scope="package")
async def running_stage(tmp_path_factory, worlds):
    folder = tmp_path_factory.mktemp("world")
    for name, text in (("chain.pem", "chain"), ("key.pem", "key"), ("sign.py", PROGRAM)):
        (folder / name).write_text(text)
    own = {
        "STUDIO_PROVENANCE__CERTIFICATE": str(folder / "chain.pem"),
        "STUDIO_PROVENANCE__PRIVATE_KEY": str(folder / "key.pem"),
    }
    found = importlib.util.find_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: found("json" if name == "c2pa" else name))
        patch.setattr("studio_provenance.signer.PROGRAM", [sys.executable, str(folder / "sign.py")])
        async with worlds.world(folder, plugins="provenance", **own) as world:
            yield Stage(world, folder)


@pytest.fixture
def stage(running_stage):
    running_stage.switch()
    running_stage.mode("sign")
    running_stage.world.services.providers.get("provenance", "c2pa").breaker.success()
    return running_stage


@pytest.fixture
async def story(stage):
    return await stage.world.story()


@pytest.fixture(scope="session")
def open_world(worlds):
    return worlds.world
