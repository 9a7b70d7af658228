"""Schedules: when they are due, over changes of the clock and over times at which nothing ran."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstep.errors import InvalidInput
from chatstep.flows.definition import Trigger
from chatstep.flows.schedules import MOST_MISSED, check_schedule, due, scheduled_event, times

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def schedule(cron: str, missed: str = "latest", zone: str = "UTC") -> Trigger:
    return Trigger(type="schedule", cron=cron, zone=zone, missed=missed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cron", "after", "wanted"),
    [
        ("30 2 * * *", "2026-03-28T12:00+01:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        ("30 2 * * *", "2026-10-24T12:00+02:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
        ("0 9 * * 1-5", "2026-11-27T10:00+01:00", ["2026-11-30T09:00:00+01:00", "2026-12-01T09:00:00+01:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00+01:00", ["2028-02-29T00:00:00+01:00", "2032-02-29T00:00:00+01:00"]),
    ],
)
def test_times_in_a_zone_with_summer_time(cron: str, after: str, wanted: list[str]) -> None:
    """A daily schedule comes once a day, also on the days on which the clock is changed."""
    found = islice(times(cron, "Europe/Berlin", datetime.fromisoformat(after)), len(wanted))
    assert [moment.isoformat() for moment in found] == wanted


@pytest.mark.parametrize(
    ("cron", "zone", "place"),
    [
        ("", "UTC", "cron"),
        ("0 9 * *", "UTC", "cron"),
        ("61 9 * * *", "UTC", "cron"),
        ("every day", "UTC", "cron"),
        ("0 9 * * *", "Mars/Olympus", "zone"),
        ("0 9 * * *", "Europe", "zone"),
        ("0 9 * * *", "../../etc/passwd", "zone"),
        ("0 9 * * *", "", "zone"),
        ("0 0 31 2 *", "UTC", "cron"),
    ],
)
def test_what_is_no_schedule(cron: str, zone: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_schedule(cron, zone, NOON)
    assert caught.value.place == place


def test_the_next_time_of_a_good_one() -> None:
    assert check_schedule("0 9 * * *", "UTC", NOON) == datetime(2026, 11, 26, 9, tzinfo=UTC)


def test_nothing_is_due_before_its_time() -> None:
    owed = due(schedule("0 13 * * *"), NOON, NOON + timedelta(minutes=59))
    assert owed.times == ()
    assert owed.passed_over == 0


@pytest.mark.parametrize(
    ("missed", "hours", "passed"), [("all", [13, 14, 15], 0), ("latest", [15], 2), ("skip", [], 3)]
)
def test_times_at_which_nothing_ran(missed: str, hours: list[int], passed: int) -> None:
    owed = due(schedule("0 * * * *", missed), NOON, NOON + timedelta(hours=3, minutes=30))
    assert [moment.hour for moment in owed.times] == hours
    assert owed.passed_over == passed
    assert owed.seen == NOON + timedelta(hours=3, minutes=30)


@pytest.mark.parametrize("missed", ["all", "latest", "skip"])
def test_a_time_that_has_just_come_is_not_missed(missed: str) -> None:
    owed = due(schedule("0 * * * *", missed), NOON, NOON + timedelta(hours=1, seconds=3))
    assert [moment.hour for moment in owed.times] == [13]


def test_a_clock_set_back_fires_nothing_twice() -> None:
    later = NOON + timedelta(hours=1, seconds=1)
    assert due(schedule("0 * * * *"), later, NOON).times == ()


def test_very_many_missed_times_are_bounded() -> None:
    owed = due(schedule("* * * * *", "all"), NOON, NOON + timedelta(minutes=MOST_MISSED + 10))
    assert len(owed.times) == MOST_MISSED
    assert owed.passed_over == 10


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_looking_twice_owes_the_same_as_looking_once(first: int, second: int) -> None:
    """However often a worker looks, each time comes once."""
    trigger = schedule("*/7 * * * *", "all")
    middle, end = NOON + timedelta(minutes=first), NOON + timedelta(minutes=first + second)
    parts = [*due(trigger, NOON, middle).times, *due(trigger, middle, end).times]
    whole = due(trigger, NOON, end)
    assert parts == [*whole.times]
    assert whole.passed_over == 0


def test_the_event_of_a_time_is_the_same_for_everybody() -> None:
    moment = datetime.fromisoformat("2026-10-25T02:30:00+02:00")
    trigger = schedule("30 2 * * *")
    event = scheduled_event(trigger, moment)
    assert (event.id, event.time) == ("30 2 * * * UTC 2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z")
    assert scheduled_event(trigger, moment.astimezone(UTC)).id == event.id
    assert scheduled_event(schedule("*/30 2 * * *"), moment).id != event.id
    assert event.data == {"local_time": "2026-10-25T02:30:00+02:00"}
