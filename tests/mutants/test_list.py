"""The list of mutants fits the tree: it is the runner's business that they are caught (`make test-mutants`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure
RUNNER = Path(__file__).with_name("run.py")


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("mutant_runner", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_mutants_text_stands_once_in_its_file_and_leaves_python(runner):
    wrong = [text for mutant in runner.load_list().MUTANTS if (text := runner.problem(mutant, runner.ROOT))]
    assert not wrong, (
        "write these mutations for the guard's new words, in tests/mutants/list.py:\n" + "\n".join(wrong)
    )


def test_names_are_unique_and_every_mutant_changes_something(runner):
    mutants = runner.load_list().MUTANTS
    assert len({m.name for m in mutants}) == len(mutants)
    assert all(m.old != m.new for m in mutants)


def test_text_that_is_gone_is_told(runner, tmp_path):
    mutant = runner.load_list().MUTANTS[0]
    (tmp_path / mutant.file).parent.mkdir(parents=True)
    (tmp_path / mutant.file).write_text("pass\n")
    assert "stands 0 times" in runner.problem(mutant, tmp_path)
