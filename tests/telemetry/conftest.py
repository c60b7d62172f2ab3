from __future__ import annotations

import io
import json
import logging

import pytest

from studio.settings import LoggingSettings, Settings
from studio.telemetry import configure_logging


@pytest.fixture
def lines(tmp_path):
    """Send all logging to memory; call it for the records, `lines.raw()` is the text itself."""
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    settings = Settings(environment="test", logging=LoggingSettings(directory=tmp_path, level="debug"))
    log = configure_logging(settings, stream=stream)

    def raw():
        assert log.flush(10)
        return stream.getvalue()

    def lines():
        return [json.loads(line) for line in raw().splitlines()]

    lines.raw = raw
    yield lines
    log.stop()
    root.handlers[:], root.level = handlers, level
