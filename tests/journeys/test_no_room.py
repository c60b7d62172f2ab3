"""A disk that fills up while a film is rendered, and an ffmpeg that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.child
LIMIT_KB = 8


def encoder(path: Path, limit: str) -> Path:
    """Write an ffmpeg that can write files of a limited size only: to it the disk is full."""
    path.write_text(f'#!/bin/sh\n{limit}\nexec "{get_ffmpeg_exe()}" "$@"\n')
    path.chmod(0o755)
    return path


async def drawn(film):
    """Draw one panel and return a timeline of the scene it belongs to."""
    tree = await film.answer("GET", f"/api/stories/{film.story['id']}/tree")
    target = {"type": "shot", "id": tree["shots"][0]["id"], "slot": "panel"}
    made = await film.answer("POST", "/api/assetGen/generate", {"target": target})
    await film.done([made["job"]["id"]], 30)
    return await film.timeline("1")


async def test_full_disk_and_missing_ffmpeg_are_named_and_lose_nothing(installation, film, tmp_path):
    timeline = await drawn(film)
    await installation.terminate()

    installation.environ["STUDIO_LOCAL__FFMPEG"] = str(tmp_path / "nowhere" / "ffmpeg")
    await installation.start()
    models = await film.answer("GET", "/api/assetGen/models?capability=film")
    reasons = [row["reason"] for row in models["items"] if not row["available"]]
    path = f"/api/workbench/timelines/{timeline['id']}/render"
    refused = await film.client.post(path)
    print(refused.status, refused.json["detail"])
    assert 400 <= refused.status < 600
    assert refused.status != 500
    for said in (*reasons, refused.json["detail"]):
        assert "local.ffmpeg names" in said
        assert "which is no program" in said
    assert len(reasons) == 1
    await installation.terminate()

    program = encoder(tmp_path / "ffmpeg", f"ulimit -f {LIMIT_KB * 2}")  # in blocks of 512 bytes
    installation.environ |= {"STUDIO_LOCAL__FFMPEG": str(program), "STUDIO_JOBS__RETRY_S": "0.1"}
    await installation.start()
    job_id = await film.render(timeline)
    jobs = await film.until([job_id], lambda jobs: jobs[0]["state"] in ("failed", "succeeded"), 30)
    print(jobs[0]["attempt"], jobs[0]["error"])
    assert (jobs[0]["state"], jobs[0]["error"]["code"]) == ("failed", "storage_full")
    assert "no room left on the disk" in jobs[0]["error"]["message"]
    assert timeline["id"] not in {owner for owner, _ in await film.takes()}
    assert (await film.client.get(f"/api/workbench/timelines/{timeline['id']}")).json["renderAssetId"] is None

    encoder(program, "")
    await film.answer("POST", f"/api/assetGen/jobs/{job_id}/retry")
    await film.done([job_id], 40)
    assert (await film.export(timeline, "mp4"))[4:8] == b"ftyp"
    assert "Traceback" not in installation.log
