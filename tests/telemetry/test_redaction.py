"""What must never stand in a log line, in whatever shape it comes."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings

import pytest

from studio.telemetry import ErrorLog, Metrics, get_logger, redact, register_secret

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic hunter2",
        "GET https://a.example/f?size=1&X-Amz-Signature=hunter2&b=1",
        "GET /watch?token=hunter2 HTTP/1.1",
        "?api_key=hunter2",
        "https://hunter2@sentry.example/1",
        "redis://:hunter2@127.0.0.1:6379/0",
        "mongodb+srv://ann:hunter2@host/db?a=b",
        'Received packet MESSAGE data 0{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.hunter2"}',
    ],
)
def test_secret_that_a_text_carries_by_custom_is_redacted(lines, text):
    get_logger("test").warning(text, where={"text": [text]})
    (line,) = lines()
    assert "hunter2" not in lines.raw()
    assert "***" in line["event"]


@pytest.mark.parametrize(
    "piece", ["eyJaaaaaaaa-", "eyJaaaaaaaa.", "eyJaaaaaaaa.b-", "Bearer ", "?token", "://a:"]
)
def test_a_long_text_is_looked_through_once(piece):
    began = time.perf_counter()
    redact(piece * 10_000)
    assert time.perf_counter() - began < 2


def test_plain_address_stays_readable(lines):
    text = "GET https://a.example:8081/path?size=1&page=2#part to ann@example.org"
    get_logger("test").info(text)
    assert lines()[0]["event"] == text


def test_registered_secret_is_redacted_as_it_stands_in_an_address(lines):
    register_secret("canary a/b+c=71f0")
    register_secret("mongodb://ann:canary%2Fp71f1@host/db")
    get_logger("test").info("GET /v1/canary%20a%2Fb%2Bc%3D71f0 canary%2Fp71f1 canary/p71f1")
    assert "71f" not in lines.raw()


def test_secret_that_is_part_of_another_leaves_nothing_of_it(lines):
    register_secret("canary-short")
    register_secret("canary-short-and-long")
    get_logger("test").info("canary-short-and-long")
    assert lines()[0]["event"] == "***"


def test_an_address_without_anything_in_it_hides_no_other_ones_user(lines):
    register_secret("mongodb://")
    get_logger("test").info("mongodb://ann:hunter2@db/x")
    assert lines()[0]["event"] == "mongodb://***@db/x"


def test_what_lies_too_deep_is_named_and_not_shown(lines):
    deep = {"password": "hunter2"}
    for _ in range(8):
        deep = {"below": [deep]}
    get_logger("test").info("deep", value=deep)
    assert "hunter2" not in lines.raw()
    assert '"<dict>"' in lines.raw() or '"<list>"' in lines.raw()


def test_line_of_a_library_that_does_not_fit_its_arguments_is_kept(lines):
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if type(handler).__name__ == "_Bridge"]
    logging.getLogger("driver").error("%d bytes", "many")
    logging.getLogger("driver").error("%(no)s", {"yes": 1})
    assert [line["event"] for line in lines()] == ["%d bytes", "%(no)s"]


def test_warning_of_python_is_a_line_like_any_other(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = logging._showwarning  # what captureWarnings has set, and pytest has put back
        warnings.warn("old\nnews", UserWarning, stacklevel=1)
    (line,) = lines()
    assert (line["source"], line["level"]) == ("py.warnings", "warning")
    assert len(lines.raw().splitlines()) == 1


def test_every_line_of_a_flood_is_written_or_counted_and_the_queue_is_bounded(tmp_path):
    stream, longest = io.StringIO(), 0
    log = ErrorLog(tmp_path, 10_000, stream=stream)
    for number in range(100_000):
        log.put({"event": "flood", "level": "info", "number": number})
        longest = max(longest, log._queue.qsize())
    log.flush(60)
    log.stop(60)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert longest <= 10_000
    assert sum(record["event"] == "flood" for record in records) + log.dropped == 100_000


def test_exception_on_a_terminal_keeps_its_lines_and_no_control_character(tmp_path):
    stream = io.StringIO()
    log = ErrorLog(tmp_path, stream=stream, console=True)
    log.put(
        {"event": "failed", "level": "error", "exception": "Traceback\n  here\x1b[2J\rValueError: \u2028"}
    )
    log.stop()
    lines = stream.getvalue().split("\n")
    assert "Traceback" in lines[1]
    assert "here\\x1b[2J\\rValueError: \\u2028" in lines[2]


def test_gauge_that_is_declared_again_shows_the_newest():
    metrics = Metrics()
    metrics.gauge("studio_queue", "Length", lambda: 1)
    metrics.gauge("studio_queue", "Length", lambda: 7)
    assert "studio_queue 7.0" in metrics.render().decode()
