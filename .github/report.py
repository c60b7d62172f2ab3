#!/usr/bin/env python3
"""Write what a test run says to people: `report.py JUNIT_XML COVERAGE_JSON [CHANGED_FILE…]` prints Markdown.

The first line is a title (`3349 passed, 2 failed`); the rest the failures and the coverage of each file, changed ones
first. Sources: the JUnit XML that pytest writes; `coverage json`, format 3.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

MARK = "<!-- studio: tests and coverage -->"
"""By it the workflow finds its own comment again."""
LIMIT = 60_000
"""GitHub refuses comments over 65,536 characters."""


def outcome(junit: Path) -> tuple[str, list[str]]:
    """Return the title and one line for each failure."""
    cases = list(ET.parse(junit).iter("testcase"))  # noqa: S314 - our own file, written a moment ago
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    title = f"{len(cases) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped"
    return title, [f"- `{case.get('classname')}::{case.get('name')}`" for case in failed]


def rows(files: dict[str, Any], names: list[str]) -> list[str]:
    """Return a Markdown table of these files: share of the statements, and lines that were not run."""
    lines = ["| file | covered | lines not run |", "|---|---:|---|"]
    for name in names:
        summary, missing = files[name]["summary"], files[name]["missing_lines"]
        shown = ", ".join(map(str, missing[:12])) + (" …" if missing[12:] else "")
        lines.append(f"| `{name}` | {summary['percent_covered']:.0f} % | {shown} |")
    return lines


def report(junit: Path, coverage: Path, changed: list[str]) -> str:
    """Return the whole text, cut to what a comment may hold."""
    title, failures = outcome(junit)
    found = json.loads(coverage.read_text())
    files, total = found["files"], found["totals"]["percent_covered"]
    mine = [name for name in changed if name in files]
    parts = [title, "", MARK, f"Coverage of all files: {total:.1f} %", *failures, ""]
    if mine:
        parts += ["Changed files:", "", *rows(files, mine), ""]
    parts += ["<details><summary>Every file</summary>", "", *rows(files, sorted(files))]
    text = "\n".join(parts)
    return (text if len(text) <= LIMIT else text[:LIMIT].rpartition("\n")[0]) + "\n\n</details>\n"


if __name__ == "__main__":
    sys.stdout.write(report(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
