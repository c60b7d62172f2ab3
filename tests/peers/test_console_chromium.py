"""The console in a real Chromium, from the sign-in to the changed film, with the local providers."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.peer
SCRIPT = Path(__file__).with_name("console_journey.mjs")
LIMIT_S = 240


@pytest.fixture(scope="session")
def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("needs Chromium: tests/peers/install")
    return found


@pytest.fixture(scope="session")
def journey(tmp_path_factory):
    if not shutil.which("npm"):
        pytest.skip("needs Node and npm: tests/peers/install")
    folder = tmp_path_factory.mktemp("console")
    subprocess.run(
        [
            "npm",
            "install",
            "--silent",
            "--no-fund",
            "--no-audit",
            "--prefix",
            str(folder),
            "playwright-core@1",
        ],
        check=True,
        timeout=120,
    )
    return shutil.copy(SCRIPT, folder)


async def test_console_goes_from_script_to_changed_film(journey, chromium, tmp_path):
    pytest.importorskip("studio_local")
    async with serving(tmp_path, STUDIO_ENV="development") as client:
        base = str(client._base)
        child = await asyncio.create_subprocess_exec(
            "node", journey, base, chromium, "ann@example.org", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, error = await asyncio.wait_for(child.communicate(), LIMIT_S)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
    assert child.returncode == 0, error.decode()
    seen = json.loads(out)
    assert seen["complaints"] == []
    assert seen["scenes"] == 3
    assert seen["shots"] >= 3
    assert seen["price"].endswith("$0.00 (local)")
    assert {"mp4", "srt", "otio", "edl"} <= set(seen["files"])
    assert min(seen["files"].values()) > 0
    assert (seen["staleVoices"], seen["stalePanels"]) == (1, 0)
    assert seen["again"].startswith("1 job,")
    assert len(seen["feed"]) > 5
    assert seen["cookies"] == 0
