"""Workers: which processes run flows, and when each was last seen.

Times are those of the database, so that the clocks of several machines need not agree. A process that is not seen for
some seconds has died or cannot reach the database; others then take over its runs.
"""

from __future__ import annotations

from msgspec import Struct

from chatstep.store.database import Database

__all__ = ["Worker", "Workers"]


class Worker(Struct, frozen=True):
    """A process that runs flows. ``silent`` is how many seconds ago it was seen."""

    id: str
    host: str
    pid: int
    silent: float


class Workers:
    """The processes that run flows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database.words["now"]

    def beat(self, id: str, host: str, pid: int) -> None:
        """Say that this process lives."""
        self._database.execute(
            f"INSERT INTO chatstep_workers (id, host, pid, seen) VALUES (?, ?, ?, {self._now})"  # noqa: S608 - constants
            " ON CONFLICT (id) DO UPDATE SET seen = excluded.seen",
            (id, host, pid),
        )

    def all(self) -> list[Worker]:
        """Every process that did not say good-bye, the living and the dead."""
        rows = self._database.rows(
            f"SELECT id, host, pid, {self._now} - seen FROM chatstep_workers ORDER BY id"  # noqa: S608 - a constant
        )
        return [Worker(id, host, pid, max(0, silent) / 1000) for id, host, pid, silent in rows]

    def remove(self, id: str, silent: float = 0.0) -> None:
        """Forget a process, provided that it was not seen for so many seconds."""
        self._database.execute(
            f"DELETE FROM chatstep_workers WHERE id = ? AND {self._now} - seen >= ?",  # noqa: S608 - a constant
            (id, int(silent * 1000)),
        )
