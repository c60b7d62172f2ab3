"""The console in a real Chromium, from the sign-in to the changed film, with the local providers."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from studio.testing.client import serving

pytestmark = pytest.mark.peer
LIMIT_S = 480


@pytest.fixture(scope="session")
def chromium(program):
    return program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def journey(node_script):
    return node_script("console_journey.mjs", "playwright-core@1.65")


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
