"""The `studio` command as a child process in an empty folder, away from this run's variables."""

from __future__ import annotations

import email.policy
import json
import os
import re
import signal
import subprocess
import sys
import time
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from studio.cli import main
from studio.model import new_id
from studio.testing.installed import write_plugin
from studio.testing.servers import free_port

CODE = re.compile(r"\b\d{6,10}\b")


class Command:
    """Starts `studio` in one folder, always with the same variables, and ends what it started."""

    def __init__(self, folder, database_url=None) -> None:
        self.folder, self.port, self.children = folder, free_port(), []
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
            "STUDIO_ENV": "test",
            "STUDIO_SERVER__PORT": str(self.port),
            "STUDIO_PLUGINS__DISABLED": "embedded,streaq",
            "STUDIO_LOGGING__FORMAT": "json",
        }
        if database_url:
            names = {
                f"STUDIO_DATABASE__{k}_NAME": f"{k[:3].lower()}_{new_id().lower()}"
                for k in ("STUDIO", "STORIES")
            }
            self.environ |= {"STUDIO_DATABASE__URL": database_url, **names}

    def install(self, source, name="bad"):
        """Put a plugin called `name` on the path of what is started from now on."""
        folder = self.folder / "path"
        write_plugin(folder, name, source, prefixes=[f"/api/{name}"])
        self.environ["PYTHONPATH"] = str(folder)

    @property
    def base(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments, **environ):
        """Start a command; its output goes to a file, so that no pipe can fill up."""
        path = self.folder / f"child-{len(self.children)}.log"
        with path.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "studio", *arguments],
                cwd=self.folder, env=self.environ | environ, stdout=log, stderr=log,
            )  # fmt: skip
        child.log = path
        self.children.append(child)
        return child

    def end(self, child, number=signal.SIGTERM, within_s=30):
        """Send a signal; return (exit code, what it said, seconds)."""
        began = time.monotonic()
        child.send_signal(number)
        code = child.wait(within_s)
        return code, child.log.read_text(), time.monotonic() - began

    def run(self, *arguments, within_s=60, **environ):
        """Run a command to its end; return (exit code, stdout, stderr)."""
        done = subprocess.run(
            [sys.executable, "-m", "studio", *arguments], check=False,
            cwd=self.folder, env=self.environ | environ, capture_output=True, text=True, timeout=within_s,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    def get(self, path, token=None, body=None):
        """Return (status, JSON) of the server, (0, None) while it does not listen; with `body` it is a POST."""
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self.base + path, data, headers), timeout=10) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (URLError, ConnectionError, TimeoutError):
            return 0, None

    def until(self, child, done, within_s=60.0):
        """Ask `done()` until it holds; a child that ends meanwhile fails the test with its last words."""
        give_up = time.monotonic() + within_s
        while not done():
            assert child.poll() is None, child.log.read_text()[-3000:]
            assert time.monotonic() < give_up, child.log.read_text()[-3000:]
            time.sleep(0.05)  # the pace of the questions

    def ready(self, child, path="/readyz"):
        self.until(child, lambda: self.get(path)[0] == 200)

    def sign_in(self, address):
        """Return an access token, with a code from the outbox."""
        status, answer = self.get("/api/auth/otp/request", body={"email": address})
        assert status in (200, 202), answer
        mails = sorted(
            (self.folder / ".studio" / "outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns
        )
        mail = email.message_from_bytes(mails[-1].read_bytes(), policy=email.policy.default)
        code = CODE.search(mail.get_body(("plain",)).get_content())
        status, pair = self.get("/api/auth/otp/verify", body={"email": address, "code": code[0]})
        assert status == 200, pair
        return pair["accessToken"]

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command in this process, in an empty folder; return (exit code, stdout, stderr)."""
    for name in [name for name in os.environ if name.startswith("STUDIO_")]:
        monkeypatch.delenv(name)
    defaults = {
        "STUDIO_ENV": "test",
        "STUDIO_SERVER__PORT": "0",
        "STUDIO_PLUGINS__DISABLED": "embedded,streaq",
    }
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **environ):
        for name, value in (defaults | environ).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["studio", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capfd.readouterr()
        return ended.value.code or 0, output.out, output.err

    return run


@pytest.fixture
def command(tmp_path):
    """`studio` without a database."""
    made = Command(tmp_path)
    yield made
    made.close()


@pytest.fixture
def installation(tmp_path, database_server_url):
    """`studio` with a database of its own on the run's server."""
    made = Command(tmp_path, database_server_url)
    yield made
    made.close()
