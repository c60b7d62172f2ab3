"""ffmpeg as a child process: found, run with a deadline, its complaints turned into errors.

There is no ffprobe beside it, so `probe` reads what ffmpeg itself says of a file.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio import DeadlineExceededError, ProviderError, ProviderUnavailableError, StorageFullError
from studio_local.children.pool import child_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

INSTALL = "install it with `pip install 'studio-provider-local[media]'`"
_LAUNCHER = Path(__file__).with_name("children") / "launch.py"
_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_SIGXFSZ = 25
_DURATION = re.compile(r"Duration: (\d+):(\d\d):(\d\d\.\d+)")
_LOUDNESS = re.compile(r"\bI:\s+(-?\d+\.\d+) LUFS")
SILENCE_LUFS = -70.0
_PICTURE = re.compile(r"Stream #\S+.*?: Video: .*?, (\d{2,5})x(\d{2,5})")


def find_ffmpeg(configured: Path | None) -> Path:
    """Return the configured ffmpeg, or the one that the wheel `imageio-ffmpeg` carries.

    Raises ProviderUnavailableError with the command that installs it.
    """
    if configured is not None:
        found = shutil.which(configured)
        if found is None:
            raise ProviderUnavailableError(f"local.ffmpeg names {configured}, which is no program.")
        return Path(found).resolve()
    spec = importlib.util.find_spec("imageio_ffmpeg")
    folder = Path(spec.origin).parent / "binaries" if spec and spec.origin else None
    programs = sorted(folder.glob("ffmpeg-*")) if folder else []
    if not programs:
        raise ProviderUnavailableError(f"The local film needs ffmpeg: {INSTALL}.")
    return programs[-1]


@dataclass(frozen=True, slots=True)
class Probe:
    """What ffmpeg says of a file: length in ms (0 when it has none), size in pixels, whether it has sound."""

    duration_ms: int
    width: int
    height: int
    has_audio: bool


class Ffmpeg:
    """Runs ffmpeg, a few at a time, each with a deadline; a cancelled run kills its process."""

    def __init__(self, configured: Path | None, *, processes: int, deadline_s: float) -> None:
        self._configured = configured
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(processes)
        self.processes = processes

    def find(self) -> Path:
        """Return the program; raises ProviderUnavailableError."""
        return find_ffmpeg(self._configured)

    async def run(self, arguments: Sequence[str], *, cwd: Path) -> str:
        """Run with `cwd`, all names in `arguments` relative to it; return what ffmpeg said.

        Raises StorageFullError, DeadlineExceededError, ProviderError with ffmpeg's last line.
        """
        code, said = await self._execute(["-y", *arguments], cwd)
        self.judge(code, said)
        return said

    async def warnings(self, arguments: Sequence[str], *, cwd: Path) -> str:
        """Run as `run` does and return the warnings too."""
        code, said = await self._execute(["-y", *arguments], cwd, level="warning")
        self.judge(code, said)
        return said

    def judge(self, code: int, said: str) -> None:
        """Raise what an exit code and the words before it mean; nothing for 0."""
        if code == 0:
            return
        if code == -_SIGXFSZ or any(text in said for text in _FULL):
            raise StorageFullError("There is no room left on the disk for the film: free some, then retry.")
        lines = said.strip().splitlines() or ["it said nothing"]
        raise ProviderError(f"ffmpeg ended with code {code}: {lines[-1]}")

    async def probe(self, name: str, *, cwd: Path) -> Probe:
        """Return length and streams of a file; ProviderError when ffmpeg finds neither in it."""
        _, said = await self._execute(["-i", name], cwd, level="info")
        picture, sound = _PICTURE.search(said), ": Audio: " in said
        if not (picture or sound):
            raise ProviderError(f"{name} holds neither picture nor sound.")
        width, height = (int(picture[1]), int(picture[2])) if picture else (0, 0)
        return Probe(_milliseconds(said), width, height, sound)

    async def loudness(self, name: str, *, cwd: Path) -> float:
        """Return the integrated loudness of a file in LUFS, -70 for silence. Source: EBU R 128."""
        measure = ["-i", name, "-vn", "-af", "ebur128=framelog=quiet", "-f", "null", "-"]
        code, said = await self._execute(measure, cwd, level="info")
        self.judge(code, said)
        found = _LOUDNESS.findall(said)
        return float(found[-1]) if found else SILENCE_LUFS

    async def _execute(self, arguments: Sequence[str], cwd: Path, *, level: str = "error") -> tuple[int, str]:
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(self.find())]
        command += ["-hide_banner", "-nostdin", "-nostats", "-v", level, *arguments]
        pipe, devnull = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=cwd, stdin=devnull, stdout=devnull, stderr=pipe, env=child_environment()
            )
            try:
                _, said = await asyncio.wait_for(process.communicate(), self._deadline_s)
            except TimeoutError as error:
                message = f"ffmpeg did not end within {self._deadline_s:g} s (local.ffmpeg_deadline_s)."
                raise DeadlineExceededError(message) from error
            finally:
                if process.returncode is None:
                    await _kill(process)
        return process.returncode or 0, said.decode(errors="replace")


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()


def _milliseconds(said: str) -> int:
    found = _DURATION.search(said)
    if found is None:
        return 0
    return round((int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])) * 1000)
