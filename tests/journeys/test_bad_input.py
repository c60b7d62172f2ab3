"""`studio demo --story X` with everything that is no story: one message, exit code 1, and nothing left behind."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from studio.testing.client import Client

pytestmark = pytest.mark.child
STORY = Path(__file__).with_name("the-long-night.fountain")
FDX = b'<?xml version="1.0"?><FinalDraft DocumentType="Script"><Content><Paragraph Type="Scene Heading">'
STORIES = {
    "broken.fountain": (b"\x00\x01INT. \xff\xfe ROOM\x00\x00 - DAY\n\n" * 20, "text"),
    "broken.fdx": (FDX, "xml|final draft|fdx"),
    "utf16-without-bom.fountain": ("INT. ROOM - DAY\n\nIt rains.\n".encode("utf-16-le"), "utf-8|utf-16"),
    "picture.fountain": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "text"),
    "empty.fountain": (b"", "empty"),
    "no-scenes.fountain": (b"Title: Nothing\n\n", "scene"),
    "large.fountain": (b"a" * 50_000_000, "MB"),
}
MISSING = "there-is-none.fountain"


async def demo(installation, *arguments):
    """Run `studio demo` in the installation's folder; return (exit code, stdout, stderr)."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "studio", "demo", *arguments, cwd=installation.folder,
        env=installation.environ, stdout=pipe, stderr=pipe,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 180)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_what_is_no_story_is_refused_with_one_message_and_leaves_no_project(installation, tmp_path):
    await installation.start()
    for name, (data, _) in STORIES.items():
        (tmp_path / name).write_bytes(data)
    said = {}
    for name in (*STORIES, MISSING):
        said[name] = await demo(installation, "--url", installation.base, "--story", name)
    for name, (code, out, err) in said.items():
        print(f"{name}: {code}: {err.strip()}")
        assert (code, err.count("studio demo: ")) == (1, 1), (name, out, err)
        assert "Traceback" not in out + err
        assert "MP4" not in out
        assert len(err.strip().splitlines()) <= 2, err
    for name, (_, wanted) in STORIES.items():
        assert re.search(wanted, said[name][2], re.IGNORECASE), said[name]
    assert MISSING in said[MISSING][2]
    assert not (tmp_path / "out").exists()
    assert await projects(installation) == []


async def test_scenes_that_the_story_does_not_have_are_refused_at_the_import(installation):
    await installation.start()
    for scenes, wanted in (("7-99", "There is no scene '99'"), ("3-1", "backwards"), ("x y", "scenes")):
        code, out, err = await demo(
            installation, "--url", installation.base, "--story", str(STORY), "--scenes", scenes
        )
        assert (code, err.count("studio demo: ")) == (1, 1), (scenes, out, err)
        assert wanted in err
        assert "breakdown" not in out
    assert await projects(installation) == []


async def projects(installation):
    """Return the projects of the user that `studio demo` signs in as."""
    async with ClientSession(timeout=ClientTimeout(30)) as session:
        nobody = Client(session, installation.base, installation.folder / ".studio" / "outbox")
        client = await nobody.sign_in("demo@studio.example")
        return (await client.get("/api/workbench/projects?limit=100")).json["items"]
