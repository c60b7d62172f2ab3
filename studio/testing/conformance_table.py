"""A pytest plugin that prints what the conformance suites found: one row a case, one column a provider.

`pytest -p studio.testing.conformance_table plugins/providers/*/tests/test_conformance.py`
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MARK = {"passed": "pass", "failed": "FAIL", "n/a": "n/a", "skipped": "skip"}
_results: dict[str, dict[str, str]] = defaultdict(dict)
_reasons: dict[tuple[str, str], list[str]] = defaultdict(list)


def _names(nodeid: str) -> tuple[str, str] | None:
    """Return (provider, case) of `…/<folder>/tests/test_conformance.py::Test<Name>::test_<case>`."""
    path, _, rest = nodeid.partition("::")
    if not path.endswith("test_conformance.py") or "::" not in rest:
        return None
    folders, (kind, _, case) = path.split("/"), rest.partition("::")
    folder = folders[-3] if len(folders) > 2 else "."  # noqa: PLR2004 - folder, tests, file
    return f"{folder}:{kind.removeprefix('Test')}", case.removeprefix("test_")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a case came out; a broken set-up is a failure."""
    names = _names(report.nodeid)
    if names is None or (report.when != "call" and report.passed):
        return
    provider, case = names
    found = report.outcome
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        found = "n/a" if reason.startswith("n/a: ") else "skipped"  # type: ignore[assignment]  # one outcome more
        _reasons[provider, reason.removeprefix("n/a: ")].append(case)
    _results[case][provider] = MARK[found]


def _table() -> list[str]:
    providers = sorted({provider for row in _results.values() for provider in row})
    width = max(map(len, _results)) + 2
    counts = {p: [row.get(p, "-") for row in _results.values()] for p in providers}
    legend = [
        f"{number:>3} {p}: {found.count('pass')} of {found.count('pass') + found.count('FAIL')} pass"
        for number, (p, found) in enumerate(counts.items(), 1)
    ]
    head = " " * width + "".join(f"{number:<6}" for number in range(1, len(providers) + 1))
    rows = [
        f"{case:<{width}}" + "".join(f"{row.get(p, '-'):<6}" for p in providers)
        for case, row in _results.items()
    ]
    return [*legend, *(line.rstrip() for line in (head, *rows))]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, then why a case does not exist for a provider."""
    if not _results:
        return
    terminalreporter.section("conformance", sep="-")
    for line in _table():
        terminalreporter.write_line(line)
    terminalreporter.section("n/a, and why", sep="-")
    for (provider, reason), cases in sorted(_reasons.items()):
        named = ", ".join(dict.fromkeys(case.partition("[")[0] for case in cases))
        terminalreporter.write_line(f"{provider}: {reason}: {named}")
