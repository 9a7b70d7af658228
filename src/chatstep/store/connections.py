"""Connections: named credentials. Settings lie open, secrets sealed, and each has its spend limits.

The command line edits them, the app fetches one when a step asks for it by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatstep.errors import InvalidInput, SealError, UnknownName
from chatstep.secret import Secret
from chatstep.store.database import Database
from chatstep.store.names import check_name, findable, nothing_called, unix_ms
from chatstep.store.seal import SEALING, Sealer

__all__ = ["Connections", "StoredConnection"]

_MOST = 2**62
_COLUMNS = "name, module, kind, settings, daily_limit, monthly_limit, created, changed"


class StoredConnection(Struct, frozen=True):
    """A connection without its secrets. Limits are in nanodollars per UTC day and month; times are unix ms."""

    name: str
    module: str
    kind: str
    settings: dict[str, Any] = {}
    daily_limit: int | None = None
    monthly_limit: int | None = None
    created: int = 0
    changed: int = 0


class Connections:
    """The stored connections."""

    def __init__(self, database: Database, sealer: Sealer, clock: Callable[[], int] = unix_ms) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock

    def add(self, connection: StoredConnection, secrets: Mapping[str, Secret] | None = None) -> StoredConnection:
        """Store a new connection and give it back with its times. Raises InvalidInput when the name is taken."""
        check_name(connection.name, "connection")
        settings, now = _checked(connection), self._clock()
        added = replace(connection, created=now, changed=now)
        with self._database.transaction(lock=SEALING):
            new = self._database.execute(
                "INSERT INTO chatstep_connections (name, module, kind, settings, sealed, daily_limit, monthly_limit,"
                " created, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
                (added.name, added.module, added.kind, settings, self._sealed(secrets),
                 added.daily_limit, added.monthly_limit, now, now),
            )  # fmt: skip
            if not new:
                raise InvalidInput(
                    f"There is a connection called '{added.name}' already.",
                    place="connection",
                    hint="Choose another name, or remove that one first.",
                )
        return added

    def get(self, name: str) -> StoredConnection:
        """One connection. Raises UnknownName that lists the known ones."""
        found = self._database.rows(f"SELECT {_COLUMNS} FROM chatstep_connections WHERE name = ?", (findable(name),))  # noqa: S608
        if not found:
            raise self._unknown(name)
        return _from_row(found[0])

    def all(self) -> list[StoredConnection]:
        """All connections, by name."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM chatstep_connections")  # noqa: S608 - a constant
        return sorted(map(_from_row, rows), key=lambda connection: connection.name)

    def update(self, connection: StoredConnection, secrets: Mapping[str, Secret] | None = None) -> StoredConnection:
        """Replace the connection of this name. ``secrets`` None keeps the stored ones, a mapping replaces them all."""
        settings, now = _checked(connection), self._clock()
        with self._database.transaction(lock=SEALING):
            changed = self._database.execute(
                "UPDATE chatstep_connections SET module = ?, kind = ?, settings = ?, daily_limit = ?,"
                " monthly_limit = ?, changed = ? WHERE name = ?",
                (connection.module, connection.kind, settings, connection.daily_limit, connection.monthly_limit,
                 now, findable(connection.name)),
            )  # fmt: skip
            if not changed:
                raise self._unknown(connection.name)
            if secrets is not None:
                self._database.execute(
                    "UPDATE chatstep_connections SET sealed = ? WHERE name = ?",
                    (self._sealed(secrets), connection.name),
                )
        return self.get(connection.name)

    def remove(self, name: str) -> None:
        """Remove a connection, its secrets and what was learnt about it; its ledger stays."""
        with self._database.transaction(lock=SEALING):
            if not self._database.execute("DELETE FROM chatstep_connections WHERE name = ?", (findable(name),)):
                raise self._unknown(name)
            self._database.execute("DELETE FROM chatstep_traits WHERE connection = ?", (name,))

    def secrets(self, name: str) -> dict[str, Secret]:
        """The connection's secrets by field. Raises SealError when the sealing key is missing or another one."""
        sealed = self._read_sealed(name)
        while sealed is not None:
            try:
                opened = self._sealer.open(sealed)
            except SealError:
                # The sealing key may have been rotated between the two reads; then the row has changed too.
                before, sealed = sealed, self._read_sealed(name)
                if sealed == before:
                    raise
                continue
            fields = msgspec.json.decode(opened.reveal(), type=dict[str, str])
            return {field: Secret(text) for field, text in fields.items()}
        return {}

    def rotate_key(self) -> int:
        """Replace the sealing key (see `Sealer.rotate`) and give the number of connections sealed anew."""
        return self._sealer.rotate(lambda: self._database.transaction(lock=SEALING), self.reseal)

    def reseal(self, anew: Callable[[bytes], bytes]) -> int:
        """Pass every sealed value through ``anew``, inside the caller's transaction; gives their number."""
        from cryptography.fernet import InvalidToken

        rows = self._database.rows("SELECT name, sealed FROM chatstep_connections WHERE sealed IS NOT NULL")
        for name, sealed in rows:
            try:
                value = anew(sealed)
            except InvalidToken:
                value = None
            if value is None:
                raise SealError(
                    f"The stored key of connection '{name}' does not open, so nothing was sealed anew.",
                    place=self._sealer.place,
                    hint="Put back the sealing key it was stored with, or remove the connection, then rotate again.",
                )
            self._database.execute("UPDATE chatstep_connections SET sealed = ? WHERE name = ?", (value, name))
        for id, sealed in self._database.rows("SELECT id, sealed FROM chatstep_content_keys"):
            with suppress(InvalidToken):  # its sealing key is lost already, and what it sealed with it
                self._database.execute(
                    "UPDATE chatstep_content_keys SET sealed = ? WHERE id = ?", (anew(bytes(sealed)), id)
                )
        return len(rows)

    def _sealed(self, secrets: Mapping[str, Secret] | None) -> bytes | None:
        if not secrets:
            return None
        # A key file that vanished is not silently replaced by a new key as long as something waits for the old one.
        first = not self._database.rows("SELECT 1 FROM chatstep_connections WHERE sealed IS NOT NULL LIMIT 1")
        try:
            text = msgspec.json.encode({field: secret.reveal() for field, secret in secrets.items()}).decode()
        except UnicodeEncodeError:
            text = None
        if text is None:
            raise InvalidInput("A secret holds characters that are no text.", place="secrets", hint="Type it again.")
        return self._sealer.seal(Secret(text), first=first)

    def _read_sealed(self, name: str) -> bytes | None:
        rows = self._database.rows("SELECT sealed FROM chatstep_connections WHERE name = ?", (findable(name),))
        if not rows:
            raise self._unknown(name)
        sealed: bytes | None = rows[0][0]
        return sealed

    def _unknown(self, name: str) -> UnknownName:
        rows = self._database.rows("SELECT name FROM chatstep_connections")
        return nothing_called("connection", name, (known for (known,) in rows))


def _checked(connection: StoredConnection) -> str:
    """The settings as JSON. Raises InvalidInput where a field is not fit to be stored."""
    for field in ("daily_limit", "monthly_limit"):
        limit = getattr(connection, field)
        if limit is not None and not (type(limit) is int and 0 <= limit <= _MOST):
            raise InvalidInput("A spend limit is a whole number of nanodollars, 0 or more.", place=field)
    try:
        return msgspec.json.encode(connection.settings).decode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            "Settings must be plain values: text, numbers, true, false, null, lists and objects.",
            place="settings",
            hint="Secrets are handed over apart from the settings.",
        ) from error


def _from_row(row: tuple[Any, ...]) -> StoredConnection:
    name, module, kind, settings, *rest = row
    return StoredConnection(name, module, kind, msgspec.json.decode(settings), *rest)
