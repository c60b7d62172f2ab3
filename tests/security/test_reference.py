"""The page of rules tells the truth: each rule names tests that exist, or says why there is none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "security.md").read_text()
NAMED = re.compile(r"`((?:tests|plugins)/[\w/.-]+\.py)(?:::(test_\w+))?`")
WITHOUT = ("does not exist yet: ", "accepted: ")
LEAST_RULES = 48
TOPICS = (
    "8.2.2", "8.2.1", "8.2.3", "8.3.2", "CVE-2026-23896", "1.2.4", "1.2.9", "6.5.1", "6.3.8", "7.2.4", "9.1.1",
    "11.2.4", "11.4.2", "3.4.2", "4.4.2", "1.5.2", "1.3.6", "CVE-2024-6587", "5.2.1", "3.2.1", "5.3.2", "1.3.2",
    "CVE-2024-12029", "a model's words", "1.3.11", "16.2.5", "15.3.4", "2.4.1", "2.3.3", "4.2.1", "13.4.2",
    "API10", "15.2.4", "CVE-2026-42208", "MongoBleed",
)  # fmt: skip
"""One per row of the checklist that the page answers."""


def rules():
    """Return (rule, attack, test or reason) of each row of every table."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "rule"]


def written_in(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    }


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(PAGE))))
def test_every_named_test_exists(file, test):
    path = ROOT / file
    assert path.exists(), f"docs/reference/security.md names {file}, which is gone"
    assert not test or test in written_in(path), (
        f"docs/reference/security.md names {file}::{test}, which is gone"
    )


def test_every_rule_has_a_test_or_a_reason():
    found = rules()
    assert len(found) >= LEAST_RULES
    bare = [
        row[0] for row in found if len(row) != 3 or not (NAMED.search(row[2]) or row[2].startswith(WITHOUT))
    ]
    assert not bare, f"name the test that attacks it, or say why there is none: {bare}"


@pytest.mark.parametrize("topic", TOPICS)
def test_every_row_of_the_checklist_is_answered(topic):
    assert any(topic in row[0] for row in rules()), f"docs/reference/security.md says nothing of {topic}"
