"""What tests of plugins use: in-memory twins, real servers for a test run, and a pytest plugin."""

from __future__ import annotations

from studio.testing.memory import InMemoryDatabase, InMemoryRepository

__all__ = ["InMemoryDatabase", "InMemoryRepository"]
