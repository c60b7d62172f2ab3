from __future__ import annotations

import io
import json
import logging
import sys
import threading

import pytest

import studio.app  # noqa: F401 - every room of the kernel, for whoever looks at all of them
from studio.settings import LoggingSettings, Settings
from studio.telemetry import ErrorLog, Metrics, configure_logging, get_logger, register_secret

pytestmark = pytest.mark.pure


class Broken(io.StringIO):
    """A full disk that may get room again."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


@pytest.fixture
def logs(tmp_path):
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    settings = Settings(environment="test", logging=LoggingSettings(directory=tmp_path, level="debug"))
    log = configure_logging(settings, stream=stream)

    def lines():
        assert log.flush(10)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    lines.raw = stream.getvalue
    yield lines
    log.stop()
    root.handlers[:], root.level = handlers, level


def errors_in(folder):
    return "".join(path.read_text() for path in folder.glob("error-*.log"))


@pytest.mark.parametrize(
    "evil", ["a\r\nb", "\x1b[31mred", "line\u2028sep", "\u2029", "\x85nel", "\ud800", "\x00"]
)
def test_any_text_stays_one_line(logs, evil):
    get_logger("test").info(evil, agent=evil, nested={"list": [evil], evil: 1})
    (line,) = logs()
    assert len(logs.raw().strip("\n").splitlines()) == 1
    assert logs.raw().isascii()
    assert "\x1b" not in logs.raw()
    assert line["level"] == "info"
    assert line["source"] == "test"


@pytest.mark.parametrize(
    "key", ["password", "api_key", "Authorization", "refresh_token", "X-Api-Key", "client_secret"]
)
def test_secret_looking_keys_are_redacted(logs, key):
    get_logger("test").info("call", **{key: "hunter2"}, headers={key: "hunter2"})
    assert "hunter2" not in json.dumps(logs())


def test_registered_secret_is_redacted_everywhere(logs):
    register_secret("canary-3f2b9c")
    log = get_logger("test")
    log.info("url https://user:pw@host/?k=canary-3f2b9c", detail={"a": ["xcanary-3f2b9cx"]})
    try:
        raise ValueError("canary-3f2b9c")
    except ValueError:
        log.exception("failed")
    logging.getLogger("aiohttp.server").error("from outside: canary-3f2b9c")
    assert len(logs()) == 3
    assert "canary" not in logs.raw()
    assert "user:pw" not in logs.raw()


def test_bearer_token_in_text_is_redacted(logs):
    get_logger("test").info("sent Authorization: Bearer eyJhbGciOi.abc.def")
    assert "eyJ" not in logs.raw() + json.dumps(logs())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes", 10**30])
def test_odd_values_are_logged_as_text(logs, value):
    get_logger("test").info("odd", value=value)
    assert "value" in logs()[0]


def test_value_whose_repr_fails_is_named_and_the_writer_lives(logs):
    class Evil:
        def __repr__(self):
            raise RuntimeError("no")

    log = get_logger("test")
    log.info("first", value=Evil())
    log.info("second")
    assert [line["event"] for line in logs()] == ["log_record_unreadable", "second"]


def test_cyclic_value_ends(logs):
    cycle = {}
    cycle["self"] = cycle
    get_logger("test").info("cycle", value=cycle)
    assert logs()[0]["event"] == "cycle"


def test_errors_are_kept_in_a_file_of_the_day(logs, tmp_path):
    log = get_logger("test")
    log.info("fine")
    log.error("broken", code=7)
    logs()
    (line,) = errors_in(tmp_path).splitlines()
    assert json.loads(line)["code"] == 7
    (path,) = tmp_path.glob("error-20??-??-??.log")
    assert path.stat().st_mode & 0o077 == 0


def test_level_hides_what_is_below(tmp_path):
    stream = io.StringIO()
    settings = Settings(environment="test", logging=LoggingSettings(directory=tmp_path, level="warning"))
    log = configure_logging(settings, stream=stream)
    get_logger("test").info("hidden")
    get_logger("test").warning("shown")
    log.stop()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["shown"]


def test_console_escapes_control_characters(tmp_path):
    stream = io.StringIO()
    log = ErrorLog(tmp_path, stream=stream, console=True)
    log.put({"event": "a\nfake line\x1b[0m", "level": "info", "agent": "x\r\ny"})
    log.stop()
    assert len(stream.getvalue().splitlines()) == 1
    assert "\\x1b[0m" in stream.getvalue()


def test_full_queue_drops_counts_and_tells(tmp_path):
    stream = io.StringIO()
    log = ErrorLog(tmp_path, 100, stream=stream)
    for number in range(20_000):
        log.put({"event": "flood", "level": "info", "number": number})
    lost = log.dropped
    log.flush()
    log.put({"event": "after", "level": "info"})
    log.stop()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = sum(line["count"] for line in lines if line["event"] == "log_records_dropped")
    assert lost > 0
    assert told == log.dropped
    assert sum(line["event"] == "flood" for line in lines) + lost == 20_000


class Stuck(io.StringIO):
    """A disk that does not come back before `gate` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, text: str) -> int:
        self.gate.wait(60)
        return super().write(text)


def test_flood_does_not_wait_for_a_disk_that_is_stuck(tmp_path):
    stream = Stuck()
    log = ErrorLog(tmp_path, 100, stream=stream)
    for number in range(100_000):
        log.put({"event": "flood", "level": "info", "number": number})
    assert stream.getvalue() == ""
    assert log.dropped >= 99_000
    stream.gate.set()
    log.stop()
    assert stream.getvalue().count('"flood"') == 100_000 - log.dropped


def test_full_disk_drops_and_recovers(tmp_path):
    stream = Broken()
    log = ErrorLog(tmp_path / "file" / "below", stream=stream)
    (tmp_path / "file").write_text("in the way: the folder cannot be made")
    log.put({"event": "lost", "level": "error"})
    log.flush()
    assert log.dropped == 2
    Broken.full = False
    log.put({"event": "found", "level": "info"})
    log.stop()
    Broken.full = True
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [
        "found",
        "log_records_dropped",
    ]


def test_lines_of_every_room_of_the_kernel_say_where_they_come_from(logs):
    names = sorted(name for name in sys.modules if name.startswith("studio."))
    rooms = [sys.modules[name] for name in names if hasattr(sys.modules[name], "log")]
    for room in rooms:
        room.log.warning("said")
    sources = [line.get("source") for line in logs() if line["event"] == "said"]
    assert len(sources) == len(rooms) >= 10
    assert all(source.startswith("studio.") for source in sources)


def test_metrics_count_requests_by_template():
    metrics = Metrics()
    metrics.observe_request("/api/stories/{story_id}", "GET", 200, 0.003)
    metrics.observe_request("/api/stories/{story_id}", "GET", 200, 0.004)
    text = metrics.render().decode()
    assert 'studio_http_requests_total{method="GET",route="/api/stories/{story_id}",status="200"} 2.0' in text
    assert 'studio_http_request_seconds_count{method="GET",route="/api/stories/{story_id}"} 2.0' in text


def test_metrics_of_two_applications_are_apart():
    one, two = Metrics(), Metrics()
    one.observe_job("image.generate", "succeeded", 2.0)
    assert 'kind="image.generate"' in one.render().decode()
    assert 'kind="image.generate"' not in two.render().decode()


def test_gauge_shows_the_value_at_the_scrape():
    metrics, queue = Metrics(), [1]
    metrics.gauge("studio_queue", "Length", lambda: len(queue))
    queue.append(2)
    assert "studio_queue 2.0" in metrics.render().decode()
