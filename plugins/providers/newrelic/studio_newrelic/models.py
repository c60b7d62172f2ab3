"""New Relic's shapes: a log record, a flat custom event, and what each answer means.

Source: New Relic, Log API and Event API: limits and answers.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ATTRIBUTES, NAME_CHARS, VALUE_CHARS, LARGEST = 200, 255, 4_096, 2**63
"""At most 255 attributes of a log record and 254 of an event; we stay below."""
ENDED = ("succeeded", "failed", "cancelled")
JOB_EVENT = "StudioJob"
_PARTS = ("at", "level", "event", "source", "exception")


def log_of(error: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
    """Return an error record as the Log API takes it; nested facts become JSON, long texts are cut."""
    told = {"level": str(error.get("level", "error")).upper(), "logger": error.get("source", "")}
    if error.get("exception"):
        told["error.stack"] = error["exception"]
    told |= {name: value for name, value in error.items() if name not in _PARTS}
    at = _ms_of(error.get("at"), now_ms)
    return {"timestamp": at, "message": _text(error.get("event", "")), "attributes": dict(_flat(told))}


def event_of(job: Mapping[str, Any], now_ms: int) -> dict[str, Any] | None:
    """Return the event of a job that has ended, None for one that has not; strings and numbers only."""
    if job.get("state") not in ENDED:
        return None
    created, ended = job.get("created_at"), job.get("finished_at") or now_ms
    error = job.get("error") if isinstance(job.get("error"), dict) else {}
    told = {
        "jobId": job.get("_id"),
        "kind": job.get("kind"),
        "state": job["state"],
        "provider": job.get("provider"),
        "model": job.get("model"),
        "projectId": job.get("project_id"),
        "attempt": job.get("attempt"),
        "errorCode": error.get("code") if error else None,
        "durationMs": ended - created if isinstance(created, int) else None,
        "costMicroUsd": job.get("cost_uusd"),
    }
    return {"eventType": JOB_EVENT, "timestamp": ended, **dict(_flat(told))}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str | int | float]]:
    """Yield what the APIs take: no None, no bool, nothing nested, nothing too long."""
    for name, value in list(values.items())[:ATTRIBUTES]:
        if value is None:
            continue
        yield _text(name, NAME_CHARS), _shown(value)


def _shown(value: Any) -> str | int | float:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST):
        return value
    return _text(
        value if isinstance(value, (str, int)) else json.dumps(value, default=str, separators=(",", ":"))
    )


def _text(value: object, limit: int = VALUE_CHARS) -> str:
    """Return a text that UTF-8 can carry."""
    return str(value)[:limit].encode(errors="replace").decode()


def _ms_of(at: object, now_ms: int) -> int:
    try:
        return int(datetime.fromisoformat(str(at)).timestamp() * 1000)
    except ValueError:
        return now_ms
