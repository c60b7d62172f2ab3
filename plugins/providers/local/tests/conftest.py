"""Fixtures of the local pack: a context, one warm runtime for all tests, small media, and a decoder."""

from __future__ import annotations

import array
import asyncio
import math
import re
import subprocess
import wave
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from studio_local.ffmpeg import find_ffmpeg
from studio_local.runtime import LocalRuntime, runtime_of
from studio_local.settings import LocalSettings

if TYPE_CHECKING:
    from pathlib import Path


class Context:
    """What a provider needs of a plugin context."""

    def __init__(self, root: Path, **changes) -> None:
        folders = {"work_dir": root / "work", "storage_dir": root / "storage", "outbox_dir": root / "outbox"}
        self._settings = LocalSettings(**(folders | changes))

    def settings(self, model):
        assert model is LocalSettings
        return self._settings


@pytest.fixture(scope="session")
async def warm(tmp_path_factory):
    """One context whose worker processes serve all tests."""
    ctx = Context(tmp_path_factory.mktemp("local"))
    yield ctx
    await runtime_of(ctx).close()


@pytest.fixture
async def fresh(tmp_path):
    """Return a maker of contexts over one folder: each is a server that knows nothing of the other."""
    made = []

    def make(**changes):
        made.append(Context(tmp_path, **changes))
        return made[-1]

    yield make
    for ctx in made:
        await runtime_of(ctx).close()


async def finished(provider, request):
    """Submit and wait for the end of the work."""
    generation = await provider.submit(request)
    return await settled(provider, generation)


async def settled(provider, generation):
    task = provider._jobs._tasks.get(generation.provider_job_id)
    if task is not None:
        await asyncio.wait({task})
    return await provider.poll(generation.provider_job_id)


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(
        finished=finished, settled=settled, tone=tone, still=still, decode=decode, pixels=pixels, sound=sound,
        ffmpeg=ffmpeg, file_limit=file_limit, context=Context, runtime=LocalRuntime,
    )  # fmt: skip


def still(path: Path, colour=(60, 90, 140), size=(320, 180)) -> Path:
    """Write a panel with something to see moving in it."""
    image = Image.new("RGB", size, colour)
    draw = ImageDraw.Draw(image)
    for i in range(0, size[0], 40):
        draw.rectangle((i, 40, i + 18, 100), fill=(200, i % 256, 90))
    image.save(path, quality=92)
    return path


def tone(path: Path, seconds: float, hertz: float = 220.0, rate: int = 22050, level: int = 9000) -> Path:
    samples = (int(level * math.sin(2 * math.pi * hertz * i / rate)) for i in range(int(rate * seconds)))
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(array.array("h", samples).tobytes())
    return path


def ffmpeg(*arguments, cwd=None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(find_ffmpeg(None)), "-hide_banner", "-nostdin", *map(str, arguments)],
        capture_output=True, check=False, cwd=cwd, timeout=60,
    )  # fmt: skip


@dataclass
class Decoded:
    """What the decoder found in a file."""

    said: str
    frames: int
    duration_ms: int
    video: str
    audio: str


def decode(path: Path) -> Decoded:
    """Decode every frame and sample; an error of the decoder fails the test."""
    done = ffmpeg("-xerror", "-i", path, "-f", "null", "-")
    said = done.stderr.decode()
    assert done.returncode == 0, said
    clock = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", said)
    frames = re.findall(r"frame=\s*(\d+)", said)
    video, audio = (re.search(rf"Stream #\S+: {kind}: (.*)", said) for kind in ("Video", "Audio"))
    duration = round((int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])) * 1000)
    return Decoded(
        said, int(frames[-1]) if frames else 0, duration, video[1] if video else "", audio[1] if audio else ""
    )


def pixels(path: Path, at_s: float, size: str = "320x180") -> Image.Image:
    """Return the frame at a time."""
    done = ffmpeg(
        "-v",
        "error",
        "-ss",
        at_s,
        "-i",
        path,
        "-frames:v",
        1,
        "-s",
        size,
        "-pix_fmt",
        "rgb24",
        "-f",
        "rawvideo",
        "-",
    )
    width, height = map(int, size.split("x"))
    return Image.frombytes("RGB", (width, height), done.stdout)


def sound(path: Path, rate: int = 48000):
    """Return the decoded sound, mono, as floats."""
    import numpy as np

    done = ffmpeg("-v", "error", "-i", path, "-ac", 1, "-ar", rate, "-f", "s16le", "-")
    return np.frombuffer(done.stdout, dtype="<i2").astype(np.float64) / 32768


@contextmanager
def file_limit(size: int):
    """Let no file of this process, or of a child born inside, grow beyond `size` bytes: a disk that is full."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
