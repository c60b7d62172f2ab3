"""The repository suite again: Motor on the embedded server, and both drivers on MONGODB_URL if it is set.

Differences of the embedded server within the contract: none is known.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.database

_path = Path(__file__).parents[1] / "database" / "test_repository.py"
_spec = importlib.util.spec_from_file_location("studio_repository_suite", _path)
_suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_suite)
_FIXTURES = {"things", "unique", "older", "filtered", "COLLECTIONS"}
globals().update(
    {name: thing for name, thing in vars(_suite).items() if name[:5] == "test_" or name in _FIXTURES}
)


def test_suite_was_taken_over():
    assert len([name for name in globals() if name.startswith("test_")]) > 40
