"""What a page of another plugin has in common with the console: files under fingerprints, headers, the session."""

from __future__ import annotations

from pathlib import Path

from studio_console.security import HEADERS
from studio_console.static_files import StaticFile, StaticFiles

SESSION = Path(__file__).parent / "static" / "session.js"
"""The script that keeps a page signed in: serve it beside the page's own, and import it from there."""

__all__ = ["HEADERS", "SESSION", "StaticFile", "StaticFiles"]
