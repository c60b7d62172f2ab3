"""The C2PA library itself signs through the plugin `provenance`, and reads back what stands in the files."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.peer
SDK = ["c2pa-python==0.38.1", "cryptography>=44"]
KINDS = {
    "a.jpg": "image/jpeg",
    "a.png": "image/png",
    "a.webp": "image/webp",
    "a.wav": "audio/wav",
    "a.mp4": "video/mp4",
}
NOTE = b"a note in the file"


def make_files(folder):
    from PIL import Image

    from studio_local.ffmpeg import find_ffmpeg

    for name in ("a.jpg", "a.png", "a.webp"):
        more = {"comment": NOTE} if name == "a.jpg" else {}
        Image.effect_mandelbrot((320, 180), (-2, -1, 1, 1), 20).save(folder / name, **more)
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 22_050, 0, "NONE", ""))
        file.writeframes(bytes(44_100))
    source = ["-f", "lavfi", "-i", "testsrc=size=320x180:duration=1", "-pix_fmt", "yuv420p"]
    command = [find_ffmpeg(None), "-v", "error", "-nostdin", *source, folder / "a.mp4"]
    subprocess.run(command, check=True, timeout=60)


@pytest.fixture
async def signer(tmp_path, oracle, monkeypatch):
    from studio_provenance.settings import ProvenanceSettings
    from studio_provenance.signer import PROGRAM, C2paSigner

    await asyncio.to_thread(oracle, "c2pa_sdk.py", SDK, "keys", str(tmp_path))
    uv = str(Path(sys.executable).with_name("uv"))
    wanted = [part for package in SDK for part in ("--with", package)]
    run = [uv, "run", "--quiet", "--offline", "--no-project", "--python", sys.executable, *wanted, "python"]
    monkeypatch.setattr("studio_provenance.signer.PROGRAM", [*run, *PROGRAM[1:]])
    files = {"certificate": tmp_path / "chain.pem", "private_key": tmp_path / "key.pem"}
    settings = ProvenanceSettings(**files, deadline_s=9.5)
    spawned = []
    ctx = SimpleNamespace(
        settings=lambda _: settings, spawn=lambda work, name: spawned.append(asyncio.create_task(work))
    )
    yield C2paSigner(ctx)
    for task in spawned:
        task.cancel()
    await asyncio.gather(*spawned, return_exceptions=True)


async def test_the_library_reads_a_valid_manifest_in_every_kind_of_file(signer, oracle, tmp_path):
    from PIL import Image

    from studio_provenance.api import ProvenanceRequest
    from studio_provenance.service import manifest_of
    from studio_provenance.settings import ProvenanceSettings

    make_files(tmp_path)
    asset = {"_id": "j-1-0", "role": "panel", "provider": "fal", "model": "flux"}
    manifest = manifest_of(asset, ProvenanceSettings())
    signed = {}
    for name, mime in KINDS.items():
        request = ProvenanceRequest(job_id=name, file=tmp_path / name, mime=mime, manifest=manifest)
        done = await signer.submit(request)
        signed[name] = done.files[0].path, mime, done.data["manifest"]
        again = await signer.submit(request.model_copy(update={"file": done.files[0].path}))
        assert (again.data["c2pa"], again.files) == ("vendor", ())
    pairs = [str(part) for path, mime, _ in signed.values() for part in (path, mime)]
    told = json.loads(await asyncio.to_thread(oracle, "c2pa_sdk.py", SDK, "read", *pairs))
    for found, (_, _, label) in zip(told, signed.values(), strict=True):
        assert found["state"] == "Valid"
        assert found["manifest"]["label"] == label
        assert found["manifest"]["claim_generator_info"][0]["name"] == "Studio"
        assert found["manifest"]["signature_info"]["common_name"] == "Signer"
        (actions,) = [one for one in found["manifest"]["assertions"] if one["label"] == "c2pa.actions.v2"]
        (created,) = actions["data"]["actions"]
        assert created["action"] == "c2pa.created"
        assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
        assert created["softwareAgent"]["name"] == "fal flux"
    with Image.open(signed["a.jpg"][0]) as image:
        assert image.info["comment"] == NOTE  # the local film reads its slate from there
    broken = bytearray(signed["a.png"][0].read_bytes())
    broken[-40] ^= 1
    (tmp_path / "broken.png").write_bytes(broken)
    (after,) = json.loads(
        await asyncio.to_thread(oracle, "c2pa_sdk.py", SDK, "read", str(tmp_path / "broken.png"), "image/png")
    )
    assert after["state"] == "Invalid"


async def test_a_file_that_is_none_and_a_key_that_does_not_fit_are_refused(signer, tmp_path):
    from studio import ProviderRejectedError
    from studio_provenance.api import ProvenanceRequest

    (tmp_path / "a.png").write_bytes(b"no picture")
    request = ProvenanceRequest(job_id="x", file=tmp_path / "a.png", mime="image/png", manifest={})
    with pytest.raises(ProviderRejectedError, match="could not be signed"):
        await signer.submit(request)
    make_files(tmp_path)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(ProviderRejectedError) as caught:
        await signer.submit(request)
    assert "AAAA" not in caught.value.detail
