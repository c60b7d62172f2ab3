"""Removes one guard at a time from a copy of the tree and tells which test noticed: `python tests/mutants/run.py`.

`--only NAME` (repeatable) runs some of them. The exit code is 0 when every mutant was caught, 1 when one
survived, 2 when the list does not fit the tree or the tests fail without any mutant.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_S = 600
FAILED = re.compile(r"^FAILED (\S+)", re.MULTILINE)


def load_list():
    """Return the module beside this file: tests are no package."""
    spec = importlib.util.spec_from_file_location("mutant_list", Path(__file__).with_name("list.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutant_list"] = module
    spec.loader.exec_module(module)
    return module


def copy_tree(target):
    """Copy what git knows or would take, changed or not."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, found.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def environment(tree):
    """Return the environment in which the copy's packages come before the installed ones."""
    plugins = [p.parent for p in tree.glob("plugins/**/pyproject.toml")]
    path = os.pathsep.join(map(str, [tree, *sorted(plugins)]))
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def run_tests(tree, tests, *options):
    """Return (exit code, output) of pytest in the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *options, *tests]
    done = subprocess.run(
        command, cwd=tree, env=environment(tree), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    return done.returncode, done.stdout + done.stderr


def problem(mutant, root):
    """Return why a mutant does not fit the tree, or an empty text."""
    path = root / mutant.file
    count = path.read_text().count(mutant.old) if path.exists() else 0
    if count != 1:
        return f"{mutant.name}: its text stands {count} times in {mutant.file}, not once"
    missing = [test for test in mutant.tests if not (root / test.partition("::")[0]).exists()]
    try:
        compile(path.read_text().replace(mutant.old, mutant.new), mutant.file, "exec")
    except SyntaxError as error:
        return f"{mutant.name}: what is left is no Python: {error}"
    return f"{mutant.name}: there is no {missing}" if missing else ""


def try_mutant(mutant, tree):
    """Return the test that noticed the missing guard, or None."""
    path = tree / mutant.file
    before = path.read_text()
    path.write_text(before.replace(mutant.old, mutant.new))
    try:
        code, output = run_tests(tree, mutant.tests, "-x")
    finally:
        path.write_text(before)
    found = FAILED.search(output)
    if code not in (0, 1) or (code and not found):
        raise SystemExit(f"{mutant.name}: the tests did not run to an end:\n{output[-3000:]}")
    return found[1] if found else None


def chosen(names):
    """Return the mutants of these names, all without names."""
    mutants = load_list().MUTANTS
    if unknown := set(names) - {m.name for m in mutants}:
        raise SystemExit(f"there is no mutant {sorted(unknown)}; known are {[m.name for m in mutants]}")
    return [m for m in mutants if not names or m.name in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    mutants = chosen(parser.parse_args().only)
    if wrong := [text for mutant in mutants if (text := problem(mutant, ROOT))]:
        print("\n".join(wrong))
        return 2
    with tempfile.TemporaryDirectory(prefix="studio-mutants-") as folder:
        copy_tree(Path(folder))
        return report(mutants, Path(folder))


def report(mutants, tree):
    """Run the tests without a mutant, then with each; print a line per mutant and return the exit code."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    code, output = run_tests(tree, tests)
    if code:
        print(f"these tests fail without any mutant, so they would tell nothing:\n{output[-3000:]}")
        return 2
    survivors = []
    for mutant in mutants:
        began = time.monotonic()
        noticed = try_mutant(mutant, tree)
        survivors += [] if noticed else [mutant.name]
        verdict = f"caught by {noticed}" if noticed else "SURVIVED"
        print(f"{mutant.name:32} {verdict} ({time.monotonic() - began:.1f} s)", flush=True)
    print(
        f"{len(mutants) - len(survivors)} of {len(mutants)} caught",
        f"; survived: {survivors}" if survivors else "",
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
