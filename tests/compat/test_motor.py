from __future__ import annotations

import builtins

import pytest

from studio import ConfigError, DatabaseUnavailableError
from studio.database import DatabaseSettings
from studio.database.mongo import MongoDatabase

pytestmark = pytest.mark.pure


def test_missing_motor_names_the_pip_command(monkeypatch):
    real = builtins.__import__

    def without_motor(name, *args, **kwargs):
        if name.startswith("motor"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_motor)
    with pytest.raises(ConfigError, match=r"pip install 'studio-backend\[motor\]'"):
        MongoDatabase("mongodb://127.0.0.1:1", DatabaseSettings(driver="motor"))


async def test_motor_keeps_the_deadline():
    pytest.importorskip("motor")
    database = MongoDatabase("mongodb://127.0.0.1:1", DatabaseSettings(driver="motor", timeout_ms=300))
    with pytest.raises(DatabaseUnavailableError):
        await database.ping()
    await database.close()
