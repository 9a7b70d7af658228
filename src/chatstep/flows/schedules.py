"""When a schedule is due: its times from a cron line and a time zone, and what happens to those that were missed.

Pure: the clock comes in as a value. A daily line fires once a day also where clocks are changed: at a time that is
skipped in spring it fires right after the gap, and of a time that comes twice in autumn it takes the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.flows.definition import Trigger
from chatstep.flows.events import Event

__all__ = ["Due", "check_schedule", "due", "scheduled_event", "times"]

MOST_MISSED = 1000
"""So many missed times of one schedule are made up for with ``missed: all``; older ones are passed over."""


class Due(Struct, frozen=True):
    """Which times are to be fired now, oldest first, and how many were passed over."""

    times: tuple[datetime, ...]
    passed_over: int
    seen: datetime
    """All times up to here are dealt with; to be remembered once ``times`` are accepted."""


def times(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    """The times of a cron line after a moment, in its zone; raises InvalidInput for a line or zone that is none."""
    from cronsim import CronSim, CronSimError

    try:
        there = ZoneInfo(zone)
    except (LookupError, ValueError, OSError):  # OSError: a name that is a folder of the zone data
        raise InvalidInput(
            f"There is no time zone {zone!r}.", place="zone", hint="Write one such as Europe/Berlin or UTC."
        ) from None
    try:
        return CronSim(cron, after.astimezone(there))
    except CronSimError as problem:
        raise InvalidInput(
            f"{cron!r} is no cron line: {str(problem).rstrip('.').lower()}.",
            place="cron",
            hint='Five fields: minute hour day month weekday. "0 9 * * 1-5" is 9:00 on workdays.',
        ) from None


def check_schedule(cron: str, zone: str, now: datetime) -> datetime:
    """The next time of a schedule; raises InvalidInput for a wrong line or zone, or one that never comes."""
    found = next(times(cron, zone, now), None)
    if found is None:
        raise InvalidInput(f"The cron line {cron!r} names a time that never comes.", place="cron")
    return found


def due(trigger: Trigger, seen: datetime, now: datetime, *, late: float = 60.0) -> Due:
    """What a schedule owes for the time after ``seen`` up to ``now``.

    A time that is more than ``late`` seconds ago was missed: nothing ran then. ``missed`` of the trigger says whether
    such times are passed over (``skip``), made up for by the newest of all (``latest``), or all fired (``all``).
    """
    found: list[datetime] = []
    passed = 0
    for moment in times(trigger.cron or "", trigger.zone, seen):
        if moment > now:
            break
        found.append(moment)
        if len(found) > MOST_MISSED:
            del found[0]
            passed += 1
    keep = found
    if trigger.missed == "skip":
        keep = [moment for moment in found if (now - moment).total_seconds() <= late]
    elif trigger.missed == "latest":
        keep = found[-1:]
    return Due(tuple(keep), passed + len(found) - len(keep), now)


def scheduled_event(trigger: Trigger, moment: datetime) -> Event:
    """The event of one time of a flow's schedule; the same for every process that notices it."""
    at = moment.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Event(
        type="schedule", id=f"{trigger.cron} {trigger.zone} {at}", time=at, data={"local_time": moment.isoformat()}
    )
