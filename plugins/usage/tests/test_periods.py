"""Days and months of a time zone, across changes of its clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio_usage.periods import day_at, midnight, span_at, zone

pytestmark = pytest.mark.pure
HOUR = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("tz", "at", "start", "end", "hours"),
    [
        ("Europe/Berlin", "2027-03-28T12:00", "2027-03-27T23:00", "2027-03-28T22:00", 23),
        ("Europe/Berlin", "2027-10-31T12:00", "2027-10-30T22:00", "2027-10-31T23:00", 25),
        ("Europe/Berlin", "2027-10-31T22:59", "2027-10-30T22:00", "2027-10-31T23:00", 25),
        (
            "Africa/Cairo",
            "2027-04-30T12:00",
            "2027-04-29T22:00",
            "2027-04-30T21:00",
            23,
        ),  # no midnight: 0 → 1
        ("America/Havana", "2027-11-07T12:00", "2027-11-07T04:00", "2027-11-08T05:00", 25),  # midnight twice
        ("Asia/Kolkata", "2027-01-15T18:29", "2027-01-14T18:30", "2027-01-15T18:30", 24),
        ("Pacific/Kiritimati", "2027-01-15T12:00", "2027-01-15T10:00", "2027-01-16T10:00", 24),
        ("UTC", "2028-02-29T00:00", "2028-02-29T00:00", "2028-03-01T00:00", 24),
    ],
)
def test_day_is_as_long_as_the_clocks_of_its_zone_make_it(tz, at, start, end, hours):
    span = span_at("day", tz, ms(at))
    assert (span.start, span.end) == (ms(start), ms(end))
    assert span.end - span.start == hours * HOUR


@pytest.mark.parametrize(
    ("tz", "at", "start", "end"),
    [
        ("Europe/Berlin", "2027-03-31T21:59", "2027-02-28T23:00", "2027-03-31T22:00"),
        ("Europe/Berlin", "2027-03-31T22:00", "2027-03-31T22:00", "2027-04-30T22:00"),
        ("America/New_York", "2028-02-29T23:00", "2028-02-01T05:00", "2028-03-01T05:00"),
        ("America/New_York", "2028-01-01T04:59", "2027-12-01T05:00", "2028-01-01T05:00"),
        ("UTC", "2027-12-31T23:59", "2027-12-01T00:00", "2028-01-01T00:00"),
    ],
)
def test_month_ends_at_midnight_of_its_zone(tz, at, start, end):
    span = span_at("month", tz, ms(at))
    assert (span.start, span.end) == (ms(start), ms(end))


def test_a_budget_in_all_has_one_period():
    span = span_at("total", "UTC", ms("2027-01-01T00:00"))
    assert (span.start, span.end) == (0, None)


@given(
    st.sampled_from(["day", "month"]),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Africa/Cairo", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe"]
    ),
    st.integers(ms("2020-01-01T00:00"), ms("2035-01-01T00:00")),
)
def test_periods_cover_time_without_gap_or_overlap(period, tz, at):
    span = span_at(period, tz, at)
    assert span.start <= at < span.end
    assert span_at(period, tz, span.end).start == span.end
    assert span_at(period, tz, span.start) == span
    assert span_at(period, tz, span.start - 1).end == span.start


def test_dates_and_moments_agree():
    day = date(2027, 10, 31)
    start = midnight("Europe/Berlin", day)
    assert day_at("Europe/Berlin", start) == day
    assert day_at("Europe/Berlin", start - 1) == day - timedelta(days=1)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "America", "../../etc/passwd", "/etc/localtime", "Europe/Berlin/x"]
)
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(ValueError, match="no time zone"):
        zone(name)
