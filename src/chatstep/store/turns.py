"""Turns: how many requests a connection may send in a minute, kept by all processes together.

Each request takes the next free moment, so that in no minute there are more than the limit. Moments are handed out in
the order of asking. Times are those of the database.
"""

from __future__ import annotations

from chatstep.store.database import Database

__all__ = ["Turns"]

MINUTE = 60_000
"""In ms."""


class Turns:
    """The moments that were handed out in the last minute, or lie ahead."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database.words["now"]

    def take(self, connection: str, per_minute: int, longest: float) -> float:
        """Take the next moment, and give the seconds until then.

        A moment that is more than ``longest`` seconds ahead is not taken; how far it is is given all the same.
        """
        with self._database.transaction(lock=f"turns:{connection}"):
            now = int(self._database.rows(f"SELECT {self._now}")[0][0])
            self._database.execute(
                "DELETE FROM chatstep_turns WHERE connection = ? AND moment <= ?", (connection, now - MINUTE)
            )
            taken = self._database.rows(
                "SELECT moment FROM chatstep_turns WHERE connection = ? ORDER BY moment DESC LIMIT ?",
                (connection, per_minute),
            )
            moment = max(now, taken[-1][0] + MINUTE) if len(taken) >= per_minute else now
            if moment - now > longest * 1000:
                return float(moment - now) / 1000
            self._database.execute(
                "INSERT INTO chatstep_turns (connection, moment) VALUES (?, ?)", (connection, moment)
            )
        return (moment - now) / 1000
