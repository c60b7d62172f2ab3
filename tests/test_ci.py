"""What runs elsewhere names only what exists here: workflows, image, compose file, the report on a pull request."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.pure
ROOT = Path(__file__).parents[1]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
WORKFLOWS = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
each_workflow = pytest.mark.parametrize("name", sorted(WORKFLOWS))


def steps(name):
    jobs = yaml.safe_load(WORKFLOWS[name])["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def targets_in(text):
    return set(re.findall(r"\bmake ([a-z-]+)", text))


@each_workflow
def test_workflow_uses_official_actions_at_a_major_version(name):
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", action)] == []


@each_workflow
def test_workflow_calls_targets_and_files_that_exist(name):
    commands = " ".join(step.get("run", "") for step in steps(name))
    assert targets_in(commands) <= TARGETS
    assert [path for path in re.findall(r"\.github/\w+\.py", commands) if not (ROOT / path).exists()] == []


@each_workflow
def test_workflow_asks_for_no_more_than_reading_and_names_no_host(name):
    assert yaml.safe_load(WORKFLOWS[name])["permissions"] == {"contents": "read"}
    assert re.findall(r"https?://\S+", WORKFLOWS[name]) == []


def test_workflows_run_when_they_should():
    on = {name: yaml.safe_load(text)[True] for name, text in WORKFLOWS.items()}  # YAML 1.1 reads `on` as true
    both = {"branches": ["main", "staging"]}
    assert on["tests"] == {"push": both, "pull_request": both}
    assert on["gate"] == {"pull_request": {"branches": ["main"]}}
    assert yaml.safe_load(WORKFLOWS["gate"])["jobs"]["types-and-lint"]["if"] == "github.head_ref == 'staging'"
    assert on["release"]["schedule"] == [{"cron": "0 5 * * 2"}], "Tuesday, 10:30 at UTC+5:30"
    assert "workflow_dispatch" in on["release"]


def test_ci_runs_what_the_readme_promises_and_the_peers():
    called = targets_in((ROOT / ".ci" / "run").read_text())
    assert {"demo", "lint", "test", "test-peers"} <= called <= TARGETS


@pytest.mark.parametrize("script", sorted((ROOT / ".ci").iterdir()), ids=lambda path: path.name)
def test_script_of_ci_is_executable_and_bash_can_read_it(script):
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).stderr == b""


# ---------------------------------------------------------------- image and compose file


def chosen(text):
    """Ask for plugin folders as the image's steps do."""
    command = [ROOT / ".ci" / "plugin-folders", text]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_image_holds_every_plugin_when_nobody_chooses():
    there = {
        p.parent.relative_to(ROOT / "plugins").as_posix()
        for p in ROOT.glob("plugins/**/pyproject.toml")
        if "studio.plugins" in tomllib.loads(p.read_text())["project"].get("entry-points", {})
    }
    assert re.search(r"^ARG PLUGINS=all$", DOCKERFILE, re.MULTILINE)
    assert set(chosen("all").stdout.split()) == there


def test_unknown_plugin_ends_the_build_and_is_named():
    done = chosen("auth nope")
    assert done.returncode == 1
    assert "There is no plugin plugins/nope" in done.stderr


def test_a_library_comes_with_its_plugins_and_cannot_be_chosen():
    done = chosen("providers/fal providers/jobvendor")
    assert done.returncode == 1
    assert "plugins/providers/jobvendor is a library" in done.stderr


@pytest.mark.parametrize("folder", chosen("all").stdout.split())
def test_a_plugins_folder_is_its_name_so_that_the_image_can_enable_it(folder):
    project = tomllib.loads((ROOT / "plugins" / folder / "pyproject.toml").read_text())["project"]
    assert [*project["entry-points"]["studio.plugins"]] == [Path(folder).name]


def test_steps_of_the_image_name_files_that_exist_and_are_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in re.findall(r"(?<![\w/])(?:\.ci|config)/[\w.-]+", DOCKERFILE):
        assert (ROOT / name).exists(), name
        assert name.partition("/")[0] not in ignored


def test_image_is_lean_and_runs_as_nobody_special():
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    last = stages[-1]
    assert re.search(r"^USER studio$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "secret" not in last
    assert "--mount=type=secret" in stages[0]
    assert re.findall(r"^COPY (?!--from=build)", last, re.MULTILINE) == []
    assert "ARG" not in last, "a build argument can be read from the image's history"


def test_image_holds_byte_code_as_its_user_cannot_write_any():
    assert "uv pip install --compile-bytecode " in (ROOT / ".ci" / "install-plugins").read_text()


def enabled_by(folder, *arguments):
    shutil.copy(ROOT / "config" / "preview.toml", folder)
    command = [ROOT / ".ci" / "enable-plugins", folder / "preview.toml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done, tomllib.loads((folder / "preview.toml").read_text())["plugins"]["enabled"]


def test_image_enables_what_it_holds(tmp_path):
    done, enabled = enabled_by(tmp_path, "auth providers/local", "grading")
    assert (done.returncode, enabled) == (0, ["auth", "local", "grading"])


def test_list_that_is_filled_already_is_not_overwritten(tmp_path):
    filled = tmp_path / "filled.toml"
    filled.write_text('[plugins]\nenabled = ["mine"]\n')
    done = subprocess.run([ROOT / ".ci" / "enable-plugins", filled, "auth"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"no empty" in done.stderr
    assert "mine" in filled.read_text()


def test_compose_brings_the_servers_and_publishes_no_database():
    services = COMPOSE["services"]
    assert {"studio", "mongodb", "valkey", "centrifugo"} <= set(services)
    assert {name for name, service in services.items() if "ports" in service} == {"studio", "centrifugo"}
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["studio"]
    used = {
        volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())
    }
    assert used == set(COMPOSE["volumes"])
    assert services["studio"]["environment"].keys() >= {"STUDIO_DATABASE__URL", "STUDIO_CACHE__URL"}


# ---------------------------------------------------------------- the report on a pull request


@pytest.fixture(scope="module")
def reporter():
    spec = importlib.util.spec_from_file_location("report", ROOT / ".github" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path):
    """Write a run of three tests and the coverage of so many files; return both paths."""

    def write(files=2):
        (tmp_path / "junit.xml").write_text(
            '<testsuites><testsuite><testcase classname="t" name="good"/><testcase classname="t" name="bad">'
            '<failure/></testcase><testcase classname="t" name="left"><skipped/></testcase></testsuite></testsuites>'
        )
        found = {
            f"studio/f{n}.py": {"summary": {"percent_covered": 90.4}, "missing_lines": list(range(n))}
            for n in range(files)
        }
        whole = {"files": found, "totals": {"percent_covered": 91.26}}
        (tmp_path / "coverage.json").write_text(json.dumps(whole))
        return tmp_path / "junit.xml", tmp_path / "coverage.json"

    return write


def test_report_names_counts_failures_and_changed_files_first(reporter, results):
    text = reporter.report(*results(), ["studio/f1.py", "docs/x.md"])
    assert text.splitlines()[0] == "1 passed, 1 failed, 1 skipped"
    assert "- `t::bad`" in text
    assert "91.3 %" in text
    assert (
        text.index("| `studio/f1.py` | 90 % | 0 |") < text.index("<details>") < text.index("`studio/f0.py`")
    )


def test_report_fits_into_a_comment(reporter, results):
    text = reporter.report(*results(2_000), [])
    assert len(text) < 65_536
    assert text.endswith("</details>\n")


def test_workflow_finds_its_own_comment_again(reporter):
    assert reporter.MARK in WORKFLOWS["tests"]
