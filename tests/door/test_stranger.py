"""The example of a stranger's plugin, from its installation to its removal, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.child
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin-weather"
LOOK = """
import asyncio, json, sys
from pathlib import Path
from studio.testing.client import serving

async def look(folder, **more):
    async with serving(folder, **more) as client:
        ann = await client.sign_in("ann@example.org")
        made = await ann.post("/api/workbench/projects", {"name": "Windy"})
        answer = await ann.get("/api/weather/" + made.json["id"])
        record = client.studio.loader.records.get("weather")
        providers = [entry["provider"] for entry in client.studio.services.providers.describe()]
        return {
            "state": record and str(record.state),
            "version": record and record.describe()["version"],
            "status": answer.status,
            "code": answer.json.get("code"),
            "provider": "weather" in providers,
        }

off = {"STUDIO_PLUGINS__DISABLED": "embedded,streaq,weather"}
on = asyncio.run(look(Path("on")))
print(json.dumps([on, asyncio.run(look(Path("off"), **off))]))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return (run, python, uninstall) of a fresh environment that sees this one's packages."""
    uv = Path(sys.executable).with_name("uv")
    uv = str(uv) if uv.exists() else shutil.which("uv")
    if uv is None:
        pytest.skip("no uv: pip install uv")
    folder = tmp_path_factory.mktemp("elsewhere")
    environ = {**os.environ, "UV_CACHE_DIR": str(folder / "cache"), "UV_OFFLINE": "1"}

    def run(*command):
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(uv, "venv", "--python", sys.executable, "venv")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = next(folder.glob("venv/lib*/**/site-packages"))
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "outer.pth").write_text("\n".join(lines) + "\n")
    shutil.copytree(EXAMPLE, folder / "weather", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    install = (
        uv,
        "pip",
        "install",
        "--no-deps",
        "--no-build-isolation",
        "--python",
        str(python),
        "./weather",
    )
    run(*install)  # uv carries the build backend of this project: nothing is fetched

    def remove():
        run(uv, "pip", "uninstall", "--python", str(python), "studio-weather")

    return run, str(python), remove


def test_its_own_tests_pass_with_the_test_kit(elsewhere):
    run, python, _ = elsewhere
    output = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "weather")
    assert "5 passed" in output


def test_it_is_found_switched_off_and_gone_when_uninstalled(elsewhere):
    run, python, remove = elsewhere
    on, off = json.loads(run(python, "-c", LOOK))
    assert on == {"state": "ready", "version": "0.3.0", "status": 200, "code": None, "provider": True}
    assert off == {"state": "off", "version": "0.3.0", "status": 404, "code": "plugin_off", "provider": False}
    remove()
    gone, _ = json.loads(run(python, "-c", LOOK))
    assert gone == {"state": None, "version": None, "status": 404, "code": "not_found", "provider": False}


@pytest.mark.parametrize(("kind", "passed"), [("feature", "2 passed"), ("provider", "46 passed")])
def test_a_new_plugin_is_built_installed_and_passes_its_own_tests(elsewhere, kind, passed):
    run, python, _ = elsewhere
    name, option = f"my_{kind}", ["--provider"] * (kind == "provider")
    run(python, "-m", "studio", "new-plugin", name, *option)
    uv = str(Path(sys.executable).with_name("uv"))
    folder = f"studio-my-{kind}"
    run(uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--out-dir", "wheels", folder)
    [wheel] = Path(python).parents[2].glob(f"wheels/studio_my_{kind}-*.whl")
    run(uv, "pip", "install", "--no-deps", "--python", python, str(wheel))
    assert f"my_{kind}" in run(python, "-m", "studio", "plugins", "show", name)
    assert passed in run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder)
    run(uv, "pip", "uninstall", "--python", python, folder)


def test_it_imports_only_public_names():
    import ast

    import studio

    for path in EXAMPLE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "studio":
                assert node.module == "studio", path
                assert {alias.name for alias in node.names} <= {*studio.__all__}, path
