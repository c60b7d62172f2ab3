"""`studio provider`: in a folder of its own, without a server and without a database."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from studio.cli import main, provider
from studio.errors import ProviderError, ProviderRejectedError, UnauthenticatedError
from studio.providers.contract import Generation

pytestmark = pytest.mark.child


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("STUDIO_") or name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STUDIO_ENV", "test")
    monkeypatch.setenv("STUDIO_PLUGINS__ENABLED", "local,elevenlabs,free")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["studio", "provider", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code or 0, output.out, output.err

    return run


def test_list_says_what_to_set(run):
    code, out, _ = run("list", "--json")
    assert code == 0
    rows = {(row["capability"], row["provider"]): row for row in json.loads(out)}
    assert rows["image", "local"]["missing"] is None
    assert rows["voice", "elevenlabs"]["missing"] == "set STUDIO_ELEVENLABS__API_KEY"
    code, out, _ = run("list")
    assert "elevenlabs: set STUDIO_ELEVENLABS__API_KEY" in out.splitlines()


def test_try_without_a_key_names_the_variable_and_ends_with_78(run):
    code, _, err = run("try", "elevenlabs", "--capability", "voice", "Hello")
    assert (code, err) == (78, "studio: elevenlabs is off: set STUDIO_ELEVENLABS__API_KEY\n")


def test_try_makes_one_real_call_and_keeps_its_file(run, tmp_path):
    code, out, err = run("try", "local", "--capability", "image", "A lighthouse", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["state"] == "succeeded"
    assert told["providerJobId"] == f"image-{told['requestId']}"
    assert told["cost"] == "0.000000 USD, reported"
    assert float(told["seconds"]) >= 0
    assert (tmp_path / told["files"]).read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody", "x"), "no provider 'nobody'"),
        (("local", "x"), "name one with --capability"),
        (("local", "--capability", "video", "x"), "--image FILE"),
        (("local", "--capability", "mail", "x"), "cannot be tried"),
        (("local", "--capability", "image", "x", "--model", "none"), "no provider of image has the model"),
    ],
)
def test_try_that_cannot_be_made_says_why(run, arguments, said):
    code, _, err = run("try", *arguments)
    assert code == 1
    assert said.lower() in err.lower()


class Slow:
    """The local image generator, made to answer by script: a polled vendor's answers and failures."""

    def __init__(self, monkeypatch, answers):
        self.answers = answers
        monkeypatch.setattr(provider, "POLL_S", 0.001)
        for name in ("submit", "poll"):
            monkeypatch.setattr(f"studio_local.image.LocalImageGenerator.{name}", self.next)

    async def next(self, _):
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found


RUNS = Generation(provider_job_id="v-7", cost_uusd=9)
DONE = Generation(provider_job_id="v-7", state="succeeded", cost_uusd=40_000)
TRY = ("try", "local", "--capability", "image", "A lighthouse", "--json")


def test_try_asks_again_after_a_poll_that_failed(run, monkeypatch):
    Slow(monkeypatch, [RUNS, ProviderError("502"), ProviderError("502"), DONE])
    code, out, err = run(*TRY)
    assert (code, json.loads(out)["state"]) == (0, "succeeded")
    assert err.startswith("studio: local calls it v-7\n")
    assert err.count("502 It is asked again.") == 2


@pytest.mark.parametrize("error", [ProviderRejectedError("gone"), UnauthenticatedError("the key is old")])
def test_try_that_cannot_be_followed_tells_the_vendors_id(run, monkeypatch, error):
    Slow(monkeypatch, [RUNS, error])
    code, out, err = run(*TRY)
    told = json.loads(out)
    assert (code, told["providerJobId"], told["cost"]) == (1, "v-7", "0.000009 USD, reported")
    assert error.detail in told["error"]
    assert error.detail in err


def test_try_that_takes_too_long_tells_the_vendors_id(run, monkeypatch):
    monkeypatch.setattr(provider, "LONGEST_S", 0.1)
    Slow(monkeypatch, [RUNS])
    code, out, _ = run(*TRY)
    told = json.loads(out)
    assert (code, told["providerJobId"], told["state"]) == (1, "v-7", "running")
    assert "within 0.1 s" in told["error"]


def test_try_whose_submit_fails_tells_its_own_id(run, monkeypatch):
    Slow(monkeypatch, [ProviderRejectedError("nsfw")])
    code, out, _ = run(*TRY)
    told = json.loads(out)
    assert (code, told["providerJobId"], told["error"]) == (1, "not told", "provider_rejected: nsfw")
    assert told["requestId"].startswith("try-")


def test_try_whose_file_cannot_be_kept_tells_id_and_cost(run, monkeypatch, tmp_path):
    file = {"mime": "image/jpeg", "path": tmp_path / "gone.jpg"}
    Slow(monkeypatch, [Generation.model_validate(DONE.model_dump() | {"files": [file]})])
    code, out, _ = run(*TRY)
    told = json.loads(out)
    assert (code, told["providerJobId"], told["cost"]) == (1, "v-7", "0.040000 USD, reported")
    assert "gone.jpg" in told["error"]


def test_help_says_that_no_budget_is_asked(run):
    code, out, _ = run("try", "--help")
    assert code == 0
    assert "no budget is asked" in re.sub(r"\W+", " ", out)
