"""Counts the starts that failed; after three in a row the next one is a recovery.

A start has a file of its own, held by a lock while its process lives. A file that nobody holds is a start that
failed: the process died before it had proved good. No clock and no process id can be mistaken for another.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Self

from studio.model import new_id
from studio.settings import load_plugin_choice

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from studio.settings import PluginsSettings

GOOD_AFTER_S = 60.0
KEPT = 10
"""So many failed starts are remembered; a loop of crashes must not fill the disk."""


class Starts:
    """The starts of one installation that are not known to be good; a folder that cannot be written has none."""

    def __init__(self, settings: PluginsSettings) -> None:
        self._folder, self._limit, self._core = (
            settings.starts_dir,
            settings.recovery_after,
            settings.recovery,
        )
        self._own: Path | None = None
        self._handle = -1

    @classmethod
    def configured(cls) -> Self:
        """Read where they are kept, before any plugin is imported; raises ConfigError."""
        return cls(load_plugin_choice()[1])

    def failed(self) -> list[str]:
        """Return what each start that failed was doing, oldest first."""
        return [path.read_text("utf-8", "replace").strip() or "its imports" for path in self._dead()]

    def recovery(self) -> str | None:
        """Return why the next start is a recovery, and how to leave it; None for a whole start."""
        failed = self.failed()
        if not self._limit or len(failed) < self._limit:
            return None
        last = "; ".join(dict.fromkeys(failed[-self._limit :]))
        return (
            f"recovery mode: the last {len(failed)} starts failed in: {last}. "
            f"Only the kernel and {', '.join(self._core)} run (plugins.recovery). "
            "Mend or switch off what failed (STUDIO_PLUGINS__DISABLED=<name>), then stop and start again: "
            "that start is a whole one. STUDIO_PLUGINS__RECOVERY_AFTER=0 leaves this mode off."
        )

    def begin(self) -> None:
        """Count this process as a start that is not good yet."""
        if sys.platform == "win32":
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._dead()[:-KEPT]:
                old.unlink(missing_ok=True)
            new = self._folder / f".{new_id()}"
            self._handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            self._own = new.rename(new.with_name(new.name[1:]))  # nobody sees it without its lock
        except OSError as error:  # it must not hold the start; but mails and files are often kept beside it
            where = f"{self._folder.absolute()} cannot be written: {error.strerror}"
            sys.stderr.write(f"studio: warning: {where}. Failed starts are not counted, and jobs may fail\n")

    def note(self, doing: str) -> None:
        """Write down what the start does now, so that a crash has a name."""
        if self._own:
            with contextlib.suppress(OSError):
                os.pwrite(self._handle, doing[:200].encode("utf-8", "replace").ljust(200), 0)

    def forget(self) -> None:
        """Leave this start out: what ended it is no plugin's fault."""
        if self._own:
            self._own.unlink(missing_ok=True)
            self._own = None

    def good(self) -> None:
        """Forget this start and all that failed before it."""
        self.forget()
        for path in self._dead():
            path.unlink(missing_ok=True)

    def _dead(self) -> list[Path]:
        return sorted(path for path in self._files() if not _held(path))

    def _files(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from (path for path in self._folder.iterdir() if not path.name.startswith("."))


def _held(path: Path) -> bool:
    """Return whether a living process has the file's lock; a file that just went is nobody's failure either."""
    if sys.platform == "win32":
        return True
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False
