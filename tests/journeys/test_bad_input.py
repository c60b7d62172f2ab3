"""`studio demo --story X` with everything that is no story: one message, exit code 1, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import suppress
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


async def test_folder_that_cannot_be_written_is_said_before_the_work(installation, tmp_path):
    (tmp_path / "file").write_text("in the way")
    for out in ("file", "file/film"):
        code, told, err = await demo(installation, "--story", str(STORY), "--out", out)
        assert (code, err.count("studio demo: ")) == (1, 1), (told, err)
        assert f"{out} cannot be written" in err
        assert "--out" in err
        assert told == ""
    assert not (tmp_path / ".studio").exists()


async def test_film_that_cannot_take_its_place_is_said_without_a_traceback(installation, tmp_path):
    await installation.start()
    (tmp_path / "film" / "one.mp4").mkdir(parents=True)
    (tmp_path / "one.txt").write_text("A dog sleeps on the roof.")
    code, out, err = await demo(
        installation, "--url", installation.base, "--story", "one.txt", "--out", "film"
    )
    assert (code, "Traceback" in out + err) == (1, False)
    assert "film/one.mp4 cannot be written: Is a directory." in err


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_server_of_a_killed_demo_ends_and_gives_the_folder_back(installation):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "studio", "demo", "--story", str(STORY), cwd=installation.folder,
        env=installation.environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(120):
        pids = []
        while len(pids) < 2:
            await asyncio.sleep(0.05)
            with suppress(FileNotFoundError, KeyError, ValueError):
                pids = [installation.server_pid(name) for name in ("database", "cache")]
        process.kill()
        await process.wait()
        while any(map(alive, pids)):
            await asyncio.sleep(0.05)


async def test_interrupted_demo_cancels_what_had_not_ended(installation):
    await installation.start()
    async with ClientSession(timeout=ClientTimeout(30)) as session, asyncio.timeout(120):
        nobody = Client(session, installation.base, installation.folder / ".studio" / "outbox")
        client = await nobody.sign_in("demo@studio.example")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "studio", "demo", "--url", installation.base, "--story", str(STORY),
            cwd=installation.folder, env=installation.environ, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        while (await jobs(client)).count("succeeded") < 3:
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
        assert re.search(rb"Stopped: \d+ jobs are cancelled", out)
        while not set(await jobs(client)) <= {"succeeded", "cancelled"}:
            await asyncio.sleep(0.05)
        assert "cancelled" in await jobs(client)


async def jobs(client):
    """Return the states of all jobs of the client's projects."""
    states = []
    for project in (await client.get("/api/workbench/projects?limit=100")).json["items"]:
        page = (await client.get(f"/api/assetGen/jobs?projectId={project['id']}&limit=200")).json
        states += [job["state"] for job in page["items"]]
    return states


async def projects(installation):
    """Return the projects of the user that `studio demo` signs in as."""
    async with ClientSession(timeout=ClientTimeout(30)) as session:
        nobody = Client(session, installation.base, installation.folder / ".studio" / "outbox")
        client = await nobody.sign_in("demo@studio.example")
        return (await client.get("/api/workbench/projects?limit=100")).json["items"]
