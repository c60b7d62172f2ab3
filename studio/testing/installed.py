"""Plugins that are found as if they were installed, without an installer: metadata beside a module on the path."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def offer(
    path: Path,
    name: str,
    target: str,
    *,
    prefixes: Iterable[str] = (),
    distribution: str | None = None,
    version: str = "1.0",
) -> None:
    """Write into `path` that a distribution (called like the plugin unless named) offers "module:Class" as `name`.

    Whoever is to find it needs `path` on its import path.
    """
    distribution = distribution or name
    info = path / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    lines = ["[studio.plugins]", f"{name} = {target}", "[studio.prefixes]"]
    lines += [f"{prefix} = {target}" for prefix in prefixes]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def write_plugin(path: Path, name: str, source: str, *, prefixes: Iterable[str] = ()) -> None:
    """Write the module `<name>_plugin`, which defines `Plugin`, into `path`, and offer it as `name`."""
    offer(path, name, f"{name}_plugin:Plugin", prefixes=prefixes)
    (path / f"{name}_plugin.py").write_text(textwrap.dedent(source))
