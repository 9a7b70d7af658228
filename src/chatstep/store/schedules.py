"""Schedules: up to which moment each schedule of a flow was dealt with, so that nothing is forgotten over a stop."""

from __future__ import annotations

from chatstep.store.database import Database

__all__ = ["Schedules"]


class Schedules:
    """The moments, in unix ms, by flow and schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, flow: str, schedule: str, now: int) -> int:
        """Up to when the schedule was dealt with; one that is new here begins now."""
        self._database.execute(
            "INSERT INTO chatstep_schedules (flow, schedule, seen) VALUES (?, ?, ?)"
            " ON CONFLICT (flow, schedule) DO NOTHING",
            (flow, schedule, now),
        )
        rows = self._database.rows(
            "SELECT seen FROM chatstep_schedules WHERE flow = ? AND schedule = ?", (flow, schedule)
        )
        return int(rows[0][0])

    def advance(self, flow: str, schedule: str, seen: int) -> None:
        """Remember that all up to this moment is dealt with; a clock that was set back changes nothing."""
        self._database.execute(
            "UPDATE chatstep_schedules SET seen = ? WHERE flow = ? AND schedule = ? AND seen < ?",
            (seen, flow, schedule, seen),
        )
