"""When a budget begins anew: days and months of a time zone, across changes of its clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

Period = Literal["total", "day", "month"]


@dataclass(frozen=True, slots=True)
class Span:
    """One period, UTC ms: from `start` to before `end`; `end` None never comes."""

    start: int
    end: int | None


@lru_cache(maxsize=1000)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name; raises ValueError for what is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # a folder of the zone files is an OSError
        raise ValueError(f"{name[:64]!r} is no time zone, use a name such as Europe/Berlin or UTC") from error


def span_at(period: Period, tz: str, at: int) -> Span:
    """Return the period that holds the moment `at` (UTC ms)."""
    if period == "total":
        return Span(0, None)
    day = day_at(tz, at)
    if period == "day":
        return Span(midnight(tz, day), midnight(tz, day + timedelta(days=1)))
    first = day.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Span(midnight(tz, first), midnight(tz, following))


def day_at(tz: str, at: int) -> date:
    """Return the date in a time zone at the moment `at` (UTC ms)."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone(tz)).date()


def midnight(tz: str, day: date) -> int:
    """Return the first moment of a day, UTC ms.

    Where clocks skip midnight, that is the moment of the change; where midnight comes twice, the first one: both are
    what `fold=0` means. Source: PEP 495.
    """
    local = datetime(day.year, day.month, day.day, tzinfo=zone(tz))
    return int(local.timestamp()) * 1000


def shown(at: int, tz: str) -> str:
    """Return a moment for people, in their time zone."""
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone(tz)).strftime("%Y-%m-%d %H:%M") + f" {tz}"
