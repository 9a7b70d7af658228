"""Traits: what was learnt about a connection's models from what their servers refused.

A module keeps facts here, such as the name of a field that a server takes, so that a lesson is paid for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from chatstep.store.database import Database
from chatstep.store.names import storable

__all__ = ["Traits"]


class Traits:
    """Facts per connection and model, each a JSON object. The connection need not be a stored one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, connection: str, model: str) -> dict[str, Any]:
        """What is known; empty when nothing is."""
        rows = self._database.rows(
            "SELECT facts FROM chatstep_traits WHERE connection = ? AND model = ?", (connection, storable(model))
        )
        return _facts(rows[0][0]) if rows else {}

    def put(self, connection: str, model: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Add facts to what is known, the new ones winning, and give the whole; safe against other processes."""
        with self._database.transaction(lock=f"traits:{connection}"):
            known = self.get(connection, model)
            merged = {**known, **facts}
            if merged != known:
                self._database.execute(
                    "INSERT INTO chatstep_traits (connection, model, facts) VALUES (?, ?, ?)"
                    " ON CONFLICT (connection, model) DO UPDATE SET facts = excluded.facts",
                    (connection, storable(model), msgspec.json.encode(merged).decode()),
                )
        return merged

    def all(self, connection: str) -> dict[str, dict[str, Any]]:
        """All facts of a connection, by model."""
        rows = self._database.rows("SELECT model, facts FROM chatstep_traits WHERE connection = ?", (connection,))
        return {model: _facts(text) for model, text in sorted(rows)}

    def forget(self, connection: str, model: str | None = None) -> int:
        """Forget what was learnt of one model, or of the whole connection; gives how many models that were."""
        if model is None:
            return self._database.execute("DELETE FROM chatstep_traits WHERE connection = ?", (connection,))
        return self._database.execute(
            "DELETE FROM chatstep_traits WHERE connection = ? AND model = ?", (connection, storable(model))
        )


def _facts(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Any])
