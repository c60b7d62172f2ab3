"""Results that wait on disk until they are fetched, so that `poll` answers after a restart too."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from studio import Generation, ProviderRejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAFE = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TIDY_S = 600.0


class Kept:
    """One folder for each result below `root`, removed `keep_h` hours after it was written."""

    def __init__(self, root: Path, keep_h: float) -> None:
        self._root, self._keep_s = root.absolute(), keep_h * 3600
        self._tidied = 0.0

    def folder(self, job_id: str) -> Path:
        """Return a job's folder; raises ProviderRejectedError for what is no id."""
        if not SAFE.fullmatch(job_id):
            raise ProviderRejectedError("This is no id of a result.", code="unknown_job")
        return self._root / job_id

    async def put(
        self, job_id: str, name: str, audio: bytes, told: Callable[[Path], Generation]
    ) -> Generation:
        """Write the audio, then what `told` says of its path, and return that."""
        return await asyncio.to_thread(self._put, self.folder(job_id), name, audio, told)

    async def get(self, job_id: str) -> Generation:
        """Return what was put; raises ProviderRejectedError once it is gone."""
        kept = self.folder(job_id) / "generation.json"
        try:
            return Generation.model_validate_json(await asyncio.to_thread(kept.read_bytes))
        except FileNotFoundError as error:
            raise ProviderRejectedError("There is no such result here.", code="unknown_job") from error

    def _put(self, folder: Path, name: str, audio: bytes, told: Callable[[Path], Generation]) -> Generation:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(audio)
        generation = told(path)
        (folder / "generation.json").write_text(generation.model_dump_json())
        self._tidy(folder)  # only now: the result is paid, and nothing may come between it and the disk
        return generation

    def _tidy(self, fresh: Path) -> None:
        """Remove what nobody has fetched in time, now and then, but not `fresh`; never raises OSError."""
        now = time.time()
        if now - self._tidied < _TIDY_S:
            return
        self._tidied = now
        with suppress(OSError):
            for folder in self._root.iterdir():
                with suppress(OSError):  # another process tidies too
                    if folder != fresh and now - folder.stat().st_mtime > self._keep_s:
                        shutil.rmtree(folder, ignore_errors=True)
