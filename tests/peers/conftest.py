"""What the peer tests need beside Python: programs, and packages of Node that are fetched once a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TRIES, INSTALL_S = 3, 180
HERE = Path(__file__).parent


def missing(what):
    """CI may go on without a peer and says so in its summary; who asks for peers at home is told what to do."""
    advice = f"{what}; tests/peers/install brings the programs, the package registry the packages"
    if os.environ.get("CI"):
        pytest.skip(advice)
    pytest.fail(advice, pytrace=False)


@pytest.fixture(scope="session")
def program():
    """Return a function that finds the first of some programs."""

    def find(*names):
        return next(filter(None, map(shutil.which, names)), None) or missing(f"needs {' or '.join(names)}")

    return find


@pytest.fixture(scope="session")
def node_script(program, tmp_path_factory):
    """Return a function that copies a script of this folder beside the packages it imports."""

    def install(script, *packages):
        program("node")
        folder = tmp_path_factory.mktemp("node")
        npm = (
            program("npm"),
            "install",
            "--silent",
            "--no-fund",
            "--no-audit",
            "--prefix",
            folder,
            *packages,
        )
        for number in range(TRIES):
            time.sleep(number * 2)  # a registry that is busy gets a pause
            try:
                subprocess.run(npm, check=True, timeout=INSTALL_S, capture_output=True, text=True)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                why = str(error.stderr or error)[-500:]
            else:
                return shutil.copy(HERE / script, folder)
        return missing(f"npm does not give {', '.join(packages)}: {why}")

    return install


@pytest.fixture(scope="session")
def oracle():
    """Return a function that runs `oracles/<script>` with a vendor's own SDK, in an environment of its own.

    `oracle("replicate_sdk.py", ["replicate==1.0.7"], base_url, …)` returns what the script prints.
    """

    def run(script, packages, *arguments, **environ):
        uv = Path(sys.executable).with_name("uv")
        wanted = [part for package in packages for part in ("--with", package)]
        command = (uv, "run", "--quiet", "--no-project", "--python", sys.executable, *wanted, "python")
        command = [*command, HERE / "oracles" / script, *arguments]
        for number in range(TRIES):
            time.sleep(number * 2)
            try:
                done = subprocess.run(
                    command,
                    check=True,
                    timeout=INSTALL_S,
                    capture_output=True,
                    text=True,
                    env=os.environ | environ,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                why = str(error.stderr or error)[-2000:]
            else:
                return done.stdout
        return missing(f"{script} with {packages} did not run: {why}")

    return run
