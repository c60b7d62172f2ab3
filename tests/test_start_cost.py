"""What a start costs: vendors' SDKs and media libraries belong to children and first uses, never to the server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.child

KEPT_OUT = {
    "PIL",
    "boto3",
    "botocore",
    "c2pa",
    "cent",
    "elevenlabs",
    "espeakng_loader",
    "fal_client",
    "imageio_ffmpeg",
    "jira",
    "newrelic",
    "numpy",
    "openai",
    "opentimelineio",
    "replicate",
    "resend",
    "secantus",
}
PROBE = """
import asyncio, json, sys
from pathlib import Path
from studio.testing.client import serving

async def main():
    every = {"STUDIO_PLUGINS__DISABLED": "[]", "STUDIO_DATABASE__URL": "mongodb://127.0.0.1:1"}
    async with serving(Path(sys.argv[1]), **every) as client:
        assert (await client.get("/readyz")).status == 200
        assert (await client.get("/api/capabilities")).status == 200
        states = {r.name: str(r.state) for r in client.studio.loader.records.values()}
        print(json.dumps({"modules": list(sys.modules), "states": states}))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}
    command = [sys.executable, "-c", PROBE, str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_start_imports_no_vendor_sdk_and_no_media_library(started):
    loaded = {name.partition(".")[0] for name in started["modules"]}
    assert sorted(loaded & KEPT_OUT) == []


def test_libraries_that_are_kept_out_are_partly_installed():
    """Else the test above could not fail."""
    assert {name for name in KEPT_OUT if find_spec(name)} >= {"PIL", "numpy", "imageio_ffmpeg"}


def test_every_installed_plugin_takes_part_in_the_measured_start(started):
    assert {"auth", "embedded", "local", "streaq"} <= set(started["states"])
    assert {name for name, state in started["states"].items() if state != "ready"} == set()
