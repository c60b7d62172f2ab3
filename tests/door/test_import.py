from __future__ import annotations

import subprocess
import sys

import pytest

from studio.errors import ConfigError
from studio.plugins.loader import PluginStartError
from studio.plugins.state import discover

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("sys.exit(3)", "sys.exit(3)"),
        ("import a_library_nobody_has", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise asyncio.CancelledError", "CancelledError"),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
    ],
)
def test_an_import_that_fails_costs_only_itself(door, line, reason):
    door.company()
    door.plugin("bad", before=line)
    studio = door.studio()
    bad = studio.loader.records["bad"]
    assert (str(bad.state), bad.phase) == ("failed", "import")
    assert reason in bad.error
    assert studio.loader.records["good"].alive
    assert ("good", "/api/good") in [(owner, route.path) for owner, route in studio.registry.all("routes")]


def test_a_constructor_that_raises_costs_only_itself(door):
    door.plugin("bad", "def __init__(self):\n    raise KeyError('spoon')")
    assert door.reason("bad") == ("failed", "import", "KeyError: 'spoon'")


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (", api='>=2,<3'", "needs plugin API >=2,<3, this is 1.0"),
        (", api='newest'", "'newest' is no version range"),
        (", requires='auth'", "tuples of names"),
        (", settings=dict", "pydantic model"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_refused_with_its_reason(door, manifest, reason):
    door.plugin("bad", manifest=manifest)
    state, phase, error = door.reason("bad")
    assert (state, phase) == ("failed", "import")
    assert reason in error


def test_settings_with_an_unresolvable_annotation_fail_only_their_plugin(door):
    before = """
        from pydantic import BaseModel
        class Mine(BaseModel):
            folder: 'Nowhere'
    """
    door.plugin("bad", before=before, manifest=", settings=Mine")
    state, _, error = door.reason("bad")
    assert state == "failed"
    assert "Nowhere" in error


def test_a_manifest_of_another_name_is_refused_naming_both(door):
    module = door.module(
        "x", "from studio import *\nclass Plugin(StudioHooks):\n    manifest = Manifest('y')\n"
    )
    door.install("x", module)
    assert door.reason("x")[2] == "its manifest says 'y', its entry point 'x': use one name"


@pytest.mark.parametrize("name", ["studio", "server", "my-plugin", "Loud"])
def test_a_name_that_would_hide_the_kernel_or_its_settings_is_refused(door, name):
    door.company()
    module = door.module(
        "thief", f"from studio import *\nclass Plugin(StudioHooks):\n    manifest = Manifest({name!r})\n"
    )
    door.install(name, module)
    studio = door.studio()
    assert "cannot be a plugin's name" in studio.loader.records[name].error
    assert "/healthz" in [route.path for _, route in studio.registry.all("routes")]


@pytest.mark.parametrize("target", ["Plugin = object", "Plugin = lambda: None", "Plugin = None", ""])
def test_what_is_no_plugin_is_refused(door, target):
    door.install("bad", door.module("bad", target))
    state, phase, error = door.reason("bad")
    assert (state, phase) == ("failed", "import")
    assert error


def test_two_distributions_of_one_name_are_both_named_and_none_is_used(door):
    door.plugin("twin", distribution="one-twin")
    door.plugin("twin", distribution="other-twin")
    state, phase, error = door.reason("twin")
    assert (state, phase) == ("failed", "discover")
    assert "one-twin and other-twin" in error


def test_a_name_claimed_twice_obeys_the_policy_fail(door):
    door.plugin("twin", distribution="one-twin")
    door.plugin("twin", distribution="other-twin")
    with pytest.raises(PluginStartError, match="twin"):
        door.studio(STUDIO_PLUGINS__ON_FAILURE='{"twin": "fail"}')


def test_an_unreadable_distribution_costs_only_itself(door):
    door.company()
    broken = door.folder / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Name: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_bytes(b"[studio.plugins]\n\xff\xfe = nothing\n")
    assert "good" in discover()


def test_a_plugin_that_is_not_enabled_is_never_imported(door):
    door.company()
    door.plugin("bad", before="raise RuntimeError('imported')")
    studio = door.studio(STUDIO_PLUGINS__ENABLED="root,good")
    record = studio.loader.records["bad"]
    assert (str(record.state), record.phase) == ("off", "choose")
    assert "not enabled" in record.error


def test_a_disabled_plugin_is_never_imported_whatever_enables_it(door):
    door.plugin("bad", before="raise RuntimeError('imported')")
    record = door.studio(STUDIO_PLUGINS__DISABLED="bad").loader.records["bad"]
    assert (str(record.state), record.error) == ("off", "disabled by [plugins] in the configuration")


def test_production_runs_nothing_that_is_not_named(door):
    door.plugin("good")
    variables = {k: v for k, v in door.environ.items() if k != "STUDIO_ENV"} | {"STUDIO_ENV": "production"}
    from studio.app import Studio

    assert str(Studio(environ=variables).loader.records["good"].state) == "off"


def test_the_policy_fail_ends_the_start_and_names_plugin_phase_and_reason(door):
    door.plugin("bad", before="raise RuntimeError('no licence')")
    with pytest.raises(PluginStartError, match=r"plugin 'bad' failed in import: RuntimeError: no licence"):
        door.studio(STUDIO_PLUGINS__ON_FAILURE='{"bad": "fail"}')


def test_invalid_settings_of_two_plugins_are_told_at_once(door):
    before = """
        from pydantic import BaseModel
        class Mine(BaseModel):
            rate: int
            secret: str = ''
    """
    door.plugin("first", before=before, manifest=", settings=Mine")
    door.plugin("second", before=before, manifest=", settings=Mine")
    with pytest.raises(ConfigError) as caught:
        door.studio(STUDIO_FIRST__RATE="fast", STUDIO_SERVER__PORT="door")
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 3
    assert "STUDIO_FIRST__RATE" in text
    assert "plugin second" in text
    assert "STUDIO_SERVER__PORT" in text
    assert "fast" not in text


def test_a_secret_in_an_error_does_not_reach_the_state(door):
    door.plugin("bad", before="raise RuntimeError('mongodb://ann:hunter2@db.example/x')")
    _, _, error = door.reason("bad")
    assert "hunter2" not in error
    assert "db.example" in error


BLOCKING = """
import sys
sys.path.insert(0, {folder!r})
from studio.plugins import loader
loader.BLOCK_LIMIT_S = 0.4
from studio.app import Studio, running
from studio.testing import InMemoryDatabase
import asyncio

async def main():
    async with running(Studio(database=InMemoryDatabase())):
        print("ready")

asyncio.run(main())
"""


@pytest.mark.child
@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("import time\ntime.sleep(60)", "pass"),
        (
            "import time",
            "@hookimpl\n@asynccontextmanager\nasync def lifespan(self, ctx):\n    time.sleep(60)\n    yield",
        ),
    ],
    ids=["import", "lifespan"],
)
def test_code_that_blocks_the_process_is_named_and_ends_the_start(door, before, body):
    door.plugin("stuck", body, before=before)
    environ = {**door.environ, "STUDIO_PLUGINS__ENABLED": "stuck", "STUDIO_PLUGINS__START_DEADLINE_S": "0.1"}
    command = [sys.executable, "-c", BLOCKING.format(folder=str(door.folder))]
    done = subprocess.run(
        command, env=environ, cwd=door.folder, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 70
    assert "plugin 'stuck' has blocked the start" in done.stderr
    assert "STUDIO_PLUGINS__DISABLED=stuck" in done.stderr
