"""Flows: the versions that were published, each kept for ever as the text it was read from.

A run names the version it began with and ends on it. Publishing a text again makes it the current one again.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from chatstep.errors import UnknownName
from chatstep.store.database import Database
from chatstep.store.names import findable, nothing_called, storable, unix_ms

__all__ = ["FlowVersion", "Flows", "PublishedFlow"]

_SELECT = (
    "SELECT f.name, f.version, f.changed, v.text FROM chatstep_flows f"
    " JOIN chatstep_flow_versions v ON v.name = f.name AND v.version = f.version"
)


class PublishedFlow(Struct, frozen=True):
    """One version of a flow. ``changed`` is when it was made the current one, in unix ms."""

    name: str
    version: str
    changed: int
    text: str


class FlowVersion(Struct, frozen=True):
    """A version by itself. ``published`` is when it was first published, in unix ms."""

    version: str
    published: int
    current: bool


class Flows:
    """The published flows."""

    def __init__(self, database: Database, clock: Callable[[], int] = unix_ms) -> None:
        self._database = database
        self._clock = clock

    def publish(self, name: str, version: str, text: str) -> bool:
        """Make this version the current one and say whether that changed anything."""
        now = self._clock()
        with self._database.transaction(lock=f"flow:{name}"):
            rows = self._database.rows("SELECT version FROM chatstep_flows WHERE name = ?", (name,))
            if rows and rows[0][0] == version:
                return False
            self._database.execute(
                "INSERT INTO chatstep_flow_versions (name, version, text, published) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name, version) DO NOTHING",
                (name, version, storable(text), now),
            )
            self._database.execute(
                "INSERT INTO chatstep_flows (name, version, changed) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET version = excluded.version, changed = excluded.changed",
                (name, version, now),
            )
        return True

    def current(self, name: str) -> PublishedFlow:
        """The current version. Raises UnknownName with the names that are close."""
        rows = self._database.rows(f"{_SELECT} WHERE f.name = ?", (findable(name),))
        if not rows:
            known = self._database.rows("SELECT name FROM chatstep_flows")
            raise nothing_called("flow", name, (found for (found,) in known))
        return PublishedFlow(*rows[0])

    def text(self, name: str, version: str) -> str:
        """The text of one version. Raises UnknownName."""
        rows = self._database.rows(
            "SELECT text FROM chatstep_flow_versions WHERE name = ? AND version = ?", (findable(name), version)
        )
        if not rows:
            raise UnknownName(
                f"Version {version} of flow {name!r} is not in this store.",
                hint="Was the run begun with another data folder or database?",
            )
        return str(rows[0][0])

    def versions(self, name: str) -> list[FlowVersion]:
        """Every version of a flow, the one published last first. Raises UnknownName."""
        current = self.current(name).version
        rows = self._database.rows(
            "SELECT version, published FROM chatstep_flow_versions WHERE name = ? ORDER BY published DESC, version",
            (findable(name),),
        )
        return [FlowVersion(version, published, version == current) for version, published in rows]

    def unpublish(self, name: str) -> None:
        """Take a flow back: nothing starts it any more. Its versions stay, for runs under way. Raises UnknownName."""
        self.current(name)
        self._database.execute("DELETE FROM chatstep_flows WHERE name = ?", (findable(name),))

    def all(self) -> list[PublishedFlow]:
        """The current version of every flow, by name."""
        return [PublishedFlow(*row) for row in self._database.rows(f"{_SELECT} ORDER BY f.name")]
