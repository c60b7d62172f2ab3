"""Log lines and figures. A caller only queues; one thread renders, redacts, writes, drops when it must."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from studio.boundary import contained
from studio.error_feed import OWN, telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping
    from pathlib import Path

    from studio.error_feed import ErrorFeed
    from studio.settings import Settings

BATCH, MAX_TEXT, MAX_DEPTH = 500, 16_000, 6
_SECRET_KEY = re.compile(
    r"(?i)authorization|cookie|passw|secret|token|credential|(api|private)[_-]?key|\botp\b"
)
_SECRET_TEXT = re.compile(
    r"(?i)(\b(?:bearer|basic) +|(?:^|[?&])[\w.-]*(?:token|secret|key|signature|passw(?:or)?d|code)=)"
    r"[^\s\\\"'&,]+|(?<=://)[^/?#\s@\\\"']+(?=@)|(?<![\w-])eyJ[\w-]{8,}\.[\w-]+\.[\w-]+"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_registered: list[str] = []
_sink: ErrorLog | None = None


def register_secret(value: str) -> None:
    """Never let `value` reach a log line, nor the password in it if it is an address; 8 characters or more."""
    password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
    # Whatever is wrong with an address: "://" must stay, behind it the passwords of others are found.
    for secret in (value.removesuffix("://"), quote(value, safe=""), password, unquote(password)):
        if len(secret) >= 8 and secret not in _registered:  # noqa: PLR2004 - shorter ones are common words
            # The longest first, so that a secret which is part of another leaves nothing of it.
            _registered[:] = sorted([*_registered, secret], key=len, reverse=True)


def redact(text: str) -> str:
    """Return `text` without registered secrets, tokens of headers and queries, user info; JSON stays JSON."""
    for secret in _registered:
        text = text.replace(secret, "***")
    return _SECRET_TEXT.sub(lambda found: f"{found[1] or ''}***", text)


def _clean(value: Any, key: str = "", depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and value - value == 0):
        return value
    if key and _SECRET_KEY.search(key):
        return "***"
    if isinstance(value, (dict, list, tuple, set, frozenset)) and depth == MAX_DEPTH:
        return f"<{type(value).__name__}>"  # its text would show what stands under secret names
    if isinstance(value, dict):
        return {redact(str(k)): _clean(v, str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(v, "", depth + 1) for v in value]
    return redact(value if isinstance(value, str) else repr(value))[:MAX_TEXT]


class ErrorLog:
    """The writer thread: all lines to `stream`, errors also to `<directory>/error-YYYY-MM-DD.log` (UTC)."""

    def __init__(
        self,
        directory: Path,
        queue_size: int = 10_000,
        *,
        stream: IO[str] | None = None,
        console: bool = False,
    ) -> None:
        self.dropped = self._told = 0
        self.feed: ErrorFeed | None = None
        self._directory, self._size, self._stream = directory, queue_size, stream or sys.stderr
        self._console = structlog.dev.ConsoleRenderer() if console else None
        self._queue: SimpleQueue[dict[str, Any] | threading.Event | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="studio-log", daemon=True)
        self._thread.start()

    def put(self, record: dict[str, Any]) -> None:
        """Queue a record, or count it as dropped when the queue is full; never waits."""
        if self._queue.qsize() >= self._size:
            self.dropped += 1
        else:
            self._queue.put({**record, OWN: True} if telling.get() else record)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until all that is queued now is written; False when the time was too short."""
        written = threading.Event()
        self._queue.put(written)
        return written.wait(timeout_s)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            with suppress(Empty):
                while len(batch) < BATCH:
                    batch.append(self._queue.get_nowait())
            records = [item for item in batch if isinstance(item, dict)]
            if self.dropped > self._told:
                lost, self._told = self.dropped - self._told, self.dropped
                records.append(_stamp({"event": "log_records_dropped", "level": "warning", "count": lost}))
            self._write(records)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
            going = None not in batch

    def _write(self, records: list[dict[str, Any]]) -> None:
        lines = [(record.get("level") in ("error", "critical"), *self._render(record)) for record in records]
        try:
            self._stream.write("".join(line for *_, line in lines))
            self._stream.flush()
        except (OSError, ValueError):  # full disk, closed pipe: the process lives, the lines are lost
            self.dropped += len(lines)
        errors = [(clean, line) for bad, clean, line in lines if bad]
        if errors:
            self._keep("".join(line for _, line in errors))
        if (feed := self.feed) is not None:
            for clean, line in errors:
                feed.put(clean, len(line))

    def _keep(self, errors: str) -> None:
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"error-{day}.log"
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(errors)
        except OSError:
            self.dropped += errors.count("\n")

    def _render(self, record: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """Return the record without secrets, and its line."""
        with contained() as failed:  # a value's own __repr__ or __str__ may do anything
            clean = _clean(record)
            shown = {key: value for key, value in clean.items() if key != OWN}
            if self._console is None:
                return clean, json.dumps(shown) + "\n"  # ASCII only: no line break of any script survives
            return clean, f"{self._console(None, '', {k: _printable(k, v) for k, v in shown.items()})}\n"
        unreadable = {"event": "log_record_unreadable", "error": type(failed.error).__name__}
        return unreadable, json.dumps(unreadable) + "\n"


def _printable(key: str, value: Any) -> Any:
    """Return a text without control characters; a traceback keeps its lines."""
    parts = value.split("\n") if key == "exception" else [value]
    safe = [_CONTROL.sub(lambda c: c[0].encode("unicode_escape").decode(), str(part)) for part in parts]
    return "\n".join(safe) if isinstance(value, str) else value


def _stamp(record: MutableMapping[str, Any]) -> dict[str, Any]:
    return {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}


def _queue_record(_: Any, method: str, record: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if _sink is None:
        sys.stderr.write(json.dumps(_clean({"level": method, **record})) + "\n")
    else:
        _sink.put(_stamp({"level": method, **record}))
    raise structlog.DropEvent


class _Bridge(logging.Handler):
    """Brings the lines of aiohttp, asyncio and the drivers into the same queue."""

    def emit(self, record: logging.LogRecord) -> None:
        line = {"level": record.levelname.lower(), "event": str(record.msg), "source": record.name}
        with suppress(TypeError, ValueError, KeyError):  # a library's line may not fit its own arguments
            line["event"] = record.getMessage()
        if record.exc_info:
            line["exception"] = logging.Formatter().formatException(record.exc_info)
        if _sink is not None:
            _sink.put(_stamp(line))


def configure_logging(settings: Settings, *, stream: IO[str] | None = None) -> ErrorLog:
    """Send every log line of the process through one bounded queue; calling it again replaces the first."""
    global _sink  # noqa: PLW0603 - loggers are made at import time and find the queue later
    chosen = settings.logging
    terminal = settings.environment == "development" and (stream or sys.stderr).isatty()
    if _sink is not None:
        _sink.stop()
    console = chosen.format == "console" or (chosen.format is None and terminal)
    _sink = ErrorLog(chosen.directory, chosen.queue_size, stream=stream, console=console)
    level = logging.getLevelNamesMapping()[chosen.level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    logging.captureWarnings(capture=True)  # Python's own lines on stderr are no JSON
    logging.basicConfig(handlers=[_Bridge()], level=max(level, logging.INFO), force=True)
    return _sink


structlog.configure(
    processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, _queue_record],
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger: `log.info("job_started", job_id=…)`, the event in snake_case, facts as keywords."""
    return structlog.get_logger(source=name)  # type: ignore[no-any-return]  # structlog types its proxy as Any


class _Figures(Collector):
    """How often and how long, by labels and outcome. The library's own objects cost four times as much a call.

    One thread writes: the event loop's.
    """

    bounds = Histogram.DEFAULT_BUCKETS

    def __init__(self, name: str, title: str, labels: tuple[str, ...], outcome: str) -> None:
        self._name, self._title, self._labels, self._outcome = name, title, labels, outcome
        self._rows: dict[tuple[Any, ...], list[float]] = {}

    def observe(self, key: tuple[Any, ...], seconds: float) -> None:
        """Count one; `key` holds the values of the labels, then the outcome."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = [0.0] * (len(self.bounds) + 1)
        row[bisect_left(self.bounds, seconds)] += 1
        row[-1] += seconds

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """Return the counter, and the histogram over all outcomes."""
        counter = CounterMetricFamily(f"{self._name}s", self._title, labels=(*self._labels, self._outcome))
        times = HistogramMetricFamily(f"{self._name}_seconds", f"{self._title}: seconds", labels=self._labels)
        sums: dict[tuple[Any, ...], list[float]] = {}
        for key, row in tuple(self._rows.items()):
            counter.add_metric([str(part) for part in key], sum(row[:-1]))
            sums[key[:-1]] = [a + b for a, b in zip(sums.get(key[:-1], [0.0] * len(row)), row, strict=True)]
        names = [*map(str, self.bounds[:-1]), "+Inf"]
        for labels, row in sums.items():
            times.add_metric(labels, list(zip(names, accumulate(row[:-1]), strict=True)), row[-1])
        yield from (counter, times)


class Metrics:
    """The figures of one application in its own registry; a call costs a few µs."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}
        self._http = _Figures("studio_http_request", "HTTP requests", ("route", "method"), "status")
        self._job = _Figures("studio_job", "Jobs that ended", ("kind",), "state")
        self._call = _Figures("studio_outgoing_call", "Calls to other services", ("client",), "outcome")
        for figures in (self._http, self._job, self._call):
            self.registry.register(figures)

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template, not the path, so that ids make no series."""
        self._http.observe((route, method, status), seconds)

    def observe_job(self, kind: str, state: str, seconds: float) -> None:
        """Count a job that reached a terminal state, `seconds` after it was ordered."""
        self._job.observe((kind, state), seconds)

    def observe_call(self, client: str, outcome: str, seconds: float) -> None:
        """Count one outgoing call: `outcome` is the HTTP status or the class of the error."""
        self._call.observe((client, outcome), seconds)

    def gauge(self, name: str, title: str, read: Callable[[], float]) -> None:
        """Show what `read` returns at each scrape (queue lengths, drop counters); the last `read` of a name counts."""
        gauge = self._gauges.get(name) or Gauge(name, title, registry=self.registry)
        self._gauges[name] = gauge
        gauge.set_function(read)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
