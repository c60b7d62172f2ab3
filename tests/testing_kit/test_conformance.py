"""The guide's provider passes, and each promise notices a provider that breaks it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studio.testing import conformance_table
from studio.testing.conformance_world import World
from studio.testing.providers import ProviderConformance

GUIDE = Path(__file__).parent / "guide.py"
PLUGIN, PROVIDER = "studio_lumen/plugin.py", "studio_lumen/provider.py"
FAKE, CASE = "tests/fake_lumen.py", "tests/test_conformance.py"


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


guide = load("studio_guide", GUIDE)


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Return a function that runs one case of the suite against the guide's provider with changes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path / "tests"))
    monkeypatch.setattr("studio.http_call.BACKOFF_S", 0.001)

    async def run(name, *changes, **parameters):
        guide.write(tmp_path, *changes)
        guide.forget()
        case = load("lumen_conformance", tmp_path / CASE).LumenImages()
        vendor = case.vendor()
        test = getattr(ProviderConformance(), f"test_{name}")
        wanted = test.__annotations__.keys() & {"world", "polled", "called", "monkeypatch"}
        async with vendor.serving(), World(case, vendor, tmp_path).running() as world:
            given = {key: monkeypatch if key == "monkeypatch" else world for key in wanted}
            await test(**given, **parameters)

    yield run
    guide.forget()


@pytest.mark.child
def test_the_provider_of_the_guide_passes_as_printed(tmp_path):
    guide.write(tmp_path)
    table = ["-p", "studio.testing.conformance_table"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *table]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    (passed,) = re.findall(r"^(\d+) passed in", done.stdout, re.MULTILINE)
    assert int(passed) >= 45
    assert f"LumenImages: {passed} of {passed} pass" in done.stdout


SEEN = """def seen(answer):
    try:
        return json_object(answer)
    except ProviderError as error:
        raise TABLE.refusal(answer) from error


def refusal("""
READS_FIRST = """        try:
            json.loads(call.body)
        except ValueError as error:
            raise BadRequestError("no JSON") from error
        delivery_id = verify_standard_webhook(call, self._secret)"""
FINAL = 'Fault("content_policy", input="prompt")'
BROKEN = {
    "sends an order again": (
        "submit_answer_lost",
        {"mode": "lost"},
        [(PROVIDER, '"/v1/jobs", json=body)', '"/v1/jobs", json=body, kind="safe")')],
        "not sent again",
    ),
    "takes an unreadable yes for a no": (
        "submit_answer_lost",
        {"mode": "malformed"},
        [
            (
                PROVIDER,
                "        return read(json_object(answer))\n\n    async def poll",
                "        return read(seen(answer))\n\n    async def poll",
            ),
            (
                PROVIDER,
                "def refusal(",
                SEEN,
            ),
        ],
        "flagged",
    ),
    "repeats what was refused": (
        "submit_refused",
        {"mode": "422"},
        [
            (
                PROVIDER,
                'return TABLE.refusal(answer, told.get("code"), message=told.get("message", ""))',
                'return ProviderError("no")',
            )
        ],
        "not repeated",
    ),
    "has no deadline of its own": (
        "submit_answer_lost",
        {"mode": "endless"},
        [
            (PROVIDER, "            settings.deadline_s,\n", "            30,\n"),
            (PLUGIN, "settings.deadline_s + 5", "settings.deadline_s + 2"),
        ],
        "within `deadline_s`",
    ),
    "takes an answer of any size": (
        "poll_answer_lost",
        {"mode": "huge"},
        [(PROVIDER, "            settings.deadline_s,\n", "            30,\n            100_000_000,\n")],
        "small in memory",
    ),
    "gives up a job whose poll was lost": (
        "poll_answer_lost",
        {"mode": "malformed"},
        [
            (
                PROVIDER,
                "        return read(json_object(answer))\n\n    async def cancel",
                "        return read(seen(answer))\n\n    async def cancel",
            ),
            (
                PROVIDER,
                "def refusal(",
                SEEN,
            ),
        ],
        "succeeds",
    ),
    "believes that done means done": (
        "success_without_a_result_fails",
        {},
        [(PROVIDER, "if not isinstance(url, str):", "if False:")],
        "no result",
    ),
    "does not say what was refused": (
        "refusal_names_the_input",
        {},
        [(PROVIDER, 'Fault("content_policy", input="prompt")', 'Fault("content_policy")')],
        "`input` names",
    ),
    "repeats a refusal by moderation": (
        "refusal_names_the_input",
        {},
        [
            (
                PROVIDER,
                'Fault("content_policy", input="prompt")',
                'Fault("content_policy", retryable=True, input="prompt")',
            )
        ],
        "not tried again",
    ),
    "does not know its own hosts": (
        "succeeds",
        {},
        [(PLUGIN, '("*.lumen.example",)', "()")],
        "file_hosts",
    ),
    "does not say where to call back": (
        "callback_address_is_sent",
        {},
        [(PROVIDER, ', "webhook": request.callback_url', "")],
        "callback_url",
    ),
    "checks no signature": (
        "webhook_forged",
        {"how": "flipped bit"},
        [
            (PROVIDER, "verify_standard_webhook(call, self._secret)", 'call.headers["webhook-id"]'),
            (
                FAKE,
                '{"status": "done", "url": "https',
                '{"status": "done", "pad": "' + "x" * 400 + '", "url": "https',
            ),
        ],
        "was believed",
    ),
    "reads the body before the signature": (
        "webhook_forged",
        {"how": "truncated"},
        [
            (
                PROVIDER,
                "        delivery_id = verify_standard_webhook(call, self._secret)",
                READS_FIRST,
            )
        ],
        "signature over the raw body first",
    ),
    "names a delivery anew each time": (
        "webhook_duplicate",
        {},
        [
            (
                PROVIDER,
                "            delivery_id=delivery_id,",
                "            delivery_id=str(id(call)) + str(id(generation)) + __import__('uuid').uuid4().hex,",
            )
        ],
        "same id",
    ),
    "prices what it does not know": (
        "estimate_and_price",
        {},
        [(PLUGIN, '"per_image", unit_price_uusd=30_000', '"unknown"')],
        "agrees with the declared price",
    ),
    "has a price without a number": (
        "estimate_and_price",
        {},
        [(PLUGIN, '"per_image", unit_price_uusd=30_000', '"per_image"')],
        "unit price",
    ),
    "keeps the name of the variable to itself": (
        "missing_key_is_named",
        {},
        [(PLUGIN, "set STUDIO_LUMEN__API_KEY", "no key")],
        "STUDIO_LUMEN__",
    ),
    "is on without a key": (
        "missing_key_is_named",
        {},
        [(PLUGIN, 'missing=None if settings.api_key else "set STUDIO_LUMEN__API_KEY"', "missing=None")],
        "without a key it is off",
    ),
}


@pytest.mark.http
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_a_provider_that_breaks_a_promise_is_noticed(check, broken):
    name, parameters, changes, promise = broken
    await check(name, **parameters)
    with pytest.raises(AssertionError, match=promise):
        await check(name, *changes, **parameters)


class Report:
    def __init__(self, nodeid, outcome="passed", when="call", reason=None):
        self.nodeid, self.outcome, self.when = nodeid, outcome, when
        self.longrepr = ("file", 1, f"Skipped: {reason}") if reason else None

    @property
    def passed(self):
        return self.outcome == "passed"

    @property
    def skipped(self):
        return self.outcome == "skipped"


class Terminal:
    def __init__(self):
        self.lines = []

    def section(self, title, sep):
        self.lines.append(title)

    write_line = section_line = None


@pytest.mark.pure
def test_the_table_tells_pass_fail_and_why_a_case_does_not_exist(monkeypatch):
    monkeypatch.setattr(conformance_table, "_results", conformance_table.defaultdict(dict))
    monkeypatch.setattr(conformance_table, "_reasons", conformance_table.defaultdict(list))
    suite = "plugins/providers/{}/tests/test_conformance.py::TestImage::test_{}"
    for report in (
        Report(suite.format("fal", "succeeds"), when="setup"),
        Report(suite.format("fal", "succeeds")),
        Report(suite.format("xai", "succeeds"), "failed", "setup"),
        Report(suite.format("fal", "webhook_forged[x]"), "skipped", "setup", "n/a: it has no webhooks"),
        Report(suite.format("fal", "webhook_forged[y]"), "skipped", "setup", "n/a: it has no webhooks"),
        Report(suite.format("xai", "webhook_forged[x]"), "skipped", "setup", "no network"),
        Report("tests/test_other.py::test_x"),
    ):
        conformance_table.pytest_runtest_logreport(report)
    terminal = Terminal()
    terminal.write_line = terminal.lines.append
    conformance_table.pytest_terminal_summary(terminal)
    lines = [line.split() for line in terminal.lines]
    assert ["1", "2"] in lines
    assert ["succeeds", "pass", "FAIL"] in lines
    assert ["webhook_forged[x]", "n/a", "skip"] in lines
    assert "1 fal:Image: 1 of 1 pass" in terminal.lines[1]
    assert "2 xai:Image: 0 of 1 pass" in terminal.lines[2]
    assert "fal:Image: it has no webhooks: webhook_forged" in terminal.lines
