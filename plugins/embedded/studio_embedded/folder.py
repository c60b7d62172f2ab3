"""The folder `.studio`: locks, state file, credentials, logs; all of it for its owner's eyes only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import time
from typing import TYPE_CHECKING, Any

from studio_embedded.errors import EmbeddedServerError, FolderInUseError
from studio_embedded.process import describe_self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)
_MAX_LOG_BYTES = 5_000_000
_LOG_TAIL_BYTES = 1_500


class DataFolder:
    """The data folder of the embedded servers; several servers share it, each with a lock of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.state_file = self.path / "embedded.json"
        self.logs = self.path / "logs"

    def prepare(self, *subfolders: str) -> None:
        """Create what is missing; raises EmbeddedServerError when the folder cannot be written."""
        try:
            if not self.path.exists():
                self.path.mkdir(mode=0o700, parents=True)
                (self.path / ".gitignore").write_text("*\n")
            for name in ("logs", *subfolders):
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
            self.write_private("write-test", "")
            (self.path / "write-test").unlink(missing_ok=True)
        except OSError as error:
            raise EmbeddedServerError(
                f"The data folder {self.path} cannot be written ({error.strerror}): make it writable, or"
                " name another one by STUDIO_EMBEDDED__DATA_DIR."
            ) from error

    def lock(self, name: str) -> int:
        """Return a lock on `name`, to be closed; raises FolderInUseError naming the process that has it."""
        descriptor = os.open(self._lock_path(name), os.O_RDWR | os.O_CREAT, 0o600)
        if not _try_lock(descriptor):
            os.close(descriptor)
            raise FolderInUseError(
                f"The embedded {name} in {self.path} belongs to {self.holder(name)}. Stop it, or name"
                " another folder by STUDIO_EMBEDDED__DATA_DIR, or let this process use the running servers:"
                " `studio embedded urls` prints what to set."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} ({describe_self()})".encode())
        return descriptor

    def holder(self, name: str) -> str:
        """Return who wrote the lock last; true only while the lock is held."""
        try:
            return self._lock_path(name).read_text(errors="replace") or "another process"
        except OSError:
            return "another process"

    def locked(self, name: str) -> bool:
        """Return whether a living process owns the server `name`."""
        try:
            descriptor = os.open(self._lock_path(name), os.O_RDONLY)
        except OSError:
            return False
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def _lock_path(self, name: str) -> Path:
        return self.path / f"{name}.lock"

    def read_state(self, name: str) -> dict[str, Any]:
        """Return what is known of the server `name`, or {}. A file that cannot be read is put aside."""
        entry = self._read_states().get(name)
        return entry if isinstance(entry, dict) else {}

    def write_state(self, name: str, entry: dict[str, Any]) -> None:
        """Store what is known of one server; the others' entries stay, the file is replaced in one step."""
        with self._state_guard():
            states = self._read_states() | {name: entry}
            self.write_private(self.state_file.name, json.dumps(states, indent=1))

    def _read_states(self) -> dict[str, Any]:
        try:
            states = json.loads(self.state_file.read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            return self._put_state_aside()
        return states if isinstance(states, dict) else self._put_state_aside()

    def _put_state_aside(self) -> dict[str, Any]:
        aside = self.state_file.with_suffix(".json.corrupt")
        logger.warning("%s cannot be read; it is now %s", self.state_file, aside.name)
        with contextlib.suppress(FileNotFoundError):  # another server of this folder was faster
            self.state_file.replace(aside)
        return {}

    @contextlib.contextmanager
    def _state_guard(self) -> Iterator[None]:
        descriptor = os.open(self._lock_path("embedded.json"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for the length of one write
            yield
        finally:
            os.close(descriptor)

    def credentials(self, name: str) -> dict[str, Any]:
        """Return the stored credentials of the server `name`; made anew when missing or unreadable."""
        path = self.path / f"{name}.secret.json"
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(path.read_text())
            if isinstance(stored, dict) and isinstance(stored.get("password"), str):
                return stored
        fresh = {"user": "studio", "password": secrets.token_urlsafe(24)}
        self.write_credentials(name, fresh)
        return fresh

    def write_credentials(self, name: str, credentials: dict[str, Any]) -> None:
        """Store credentials, mode 0600."""
        self.write_private(f"{name}.secret.json", json.dumps(credentials))

    def write_private(self, relative: str, text: str) -> Path:
        """Write a file of mode 0600 in one step: a reader sees the old one or the new one."""
        target = self.path / relative
        draft = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(target)
        return target

    def open_log(self, name: str) -> int:
        """Return a descriptor that appends to `logs/<name>.log`; one older file of at most 5 MB is kept."""
        path = self.logs / f"{name}.log"
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def log_tail(self, name: str) -> str:
        """Return the last lines that the server wrote."""
        try:
            log = (self.logs / f"{name}.log").read_bytes()
        except OSError:
            return ""
        return log[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()


def _try_lock(descriptor: int) -> bool:
    for pause_s in (0.02, 0.0):  # twice: `studio embedded status` takes the lock for some microseconds
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(pause_s)
        else:
            return True
    return False
