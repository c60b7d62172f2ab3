"""Libraries at least as new as the last release that mended a published hole, installed and pinned alike.

An advisory feed is not always at hand, and a scanner without one passes: the floors are written here.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]
FLOORS = {
    "aiohttp": ("3.13.4", "CVE-2026-22815: trailers without a bound"),
    "python-socketio": ("5.16.2", "CVE-2026-48804: attachments without a bound"),
    "python-engineio": ("4.13.2", "CVE-2026-48802: a flood of pongs"),
    "pyjwt": ("2.13", "CVE-2026-32597, CVE-2026-48523, CVE-2026-48525: unknown `crit` headers accepted"),
    "jinja2": ("3.1.6", "CVE-2024-56326, CVE-2025-27516: ways out of the sandbox"),
    "pillow": ("12.1.1", "CVE-2026-25990: a write beyond the image in PSD files"),
    "redis": ("4.5.4", "CVE-2023-28858, CVE-2023-28859: answers of a cancelled call reach the next one"),
    "idna": ("3.7", "CVE-2024-3651: a long name takes quadratic time"),
}
USED = set(FLOORS) - {"pyjwt"}
"""What a distribution of ours depends on; PyJWT serves the benchmark's comparison only."""


def pinned():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith(("#", "-"))]
    return [
        (canonicalize_name(r.name), spec.version)
        for r in found
        for spec in r.specifier
        if spec.operator == "=="
    ]


@pytest.mark.parametrize("name", FLOORS)
def test_installed_library_is_not_older_than_its_last_mended_hole(name):
    try:
        found = Version(version(name))
    except PackageNotFoundError:
        assert name not in USED, f"{name} is not installed: run `make setup`"
        pytest.skip(f"{name} is not installed")
    floor, reason = FLOORS[name]
    assert found >= Version(floor), f"{name} {found}: install {floor} or newer ({reason})"


def test_constraints_pin_no_library_below_its_floor():
    versions = pinned()
    assert {name for name, _ in versions} >= USED
    low = [
        f"{name}=={found}"
        for name, found in versions
        if name in FLOORS and Version(found) < Version(FLOORS[name][0])
    ]
    assert not low, f"constraints.txt pins {low}: raise them and run `make constraints`"
