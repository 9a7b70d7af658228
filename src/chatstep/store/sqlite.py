"""The SQLite side of the database: one file in WAL mode.

Only database.py uses it. Every commit is synced to the disk (synchronous=FULL): in WAL mode NORMAL may forget the
last commits at a power cut, and a forgotten reservation would let a spend limit be passed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from chatstep.errors import StoreBusy, StoreError
from chatstep.store.database import APPLIED, Row

__all__ = ["Sqlite"]

WAIT_SECONDS = 10.0
_OLDEST = (3, 35, 0)  # the first with RETURNING
_T = TypeVar("_T")

_SAFE = "Nothing in it was changed."
_EXPLAINED: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_NOTADB: (
        "The file is not a database.",
        f"{_SAFE} Move it away, or let CHATSTEP_HOME name another folder.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The database is damaged or cut short.",
        f"{_SAFE} Put back a backup, or save what is readable with `sqlite3 FILE .recover`.",
    ),
    sqlite3.SQLITE_READONLY: (
        "The database cannot be written: the file or its folder is read-only.",
        "Make both writable for this user, or let CHATSTEP_HOME name another folder.",
    ),
    sqlite3.SQLITE_PERM: ("The database may not be opened by this user.", "Check the owner and mode of the file."),
    sqlite3.SQLITE_FULL: (
        "The disk is full, so the database could not be written.",
        "Free some space; what was stored before is safe.",
    ),
    sqlite3.SQLITE_IOERR: (
        "Reading or writing the database failed: the disk is full, over quota or failing.",
        "Check space and health of the disk; what was stored before is safe.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "The database cannot be opened: its folder is missing or not writable.",
        "Create the folder and make it writable for this user, or let CHATSTEP_HOME name another.",
    ),
    sqlite3.SQLITE_TOOBIG: ("A value is too large for the database.", "Store less in one piece."),
}


class Sqlite:
    """One SQLite file."""

    words: Mapping[str, str] = {
        "serial": "INTEGER PRIMARY KEY",
        "bytes": "BLOB",
        "now": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    }
    shared = False

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def connect(self) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreError(
                f"Python's SQLite is {sqlite3.sqlite_version}; chatstep needs 3.35 or newer.",
                place="sqlite3",
                hint="Use a newer Python, or a Postgres database.",
            )
        if self._path.is_dir():
            raise StoreError("A folder is where the database file should be.", place=self.place, hint="Move it away.")
        self._make_private()
        self._guarded(self._open)

    def _make_private(self) -> None:
        """Let a new file be readable by its owner alone; SQLite gives its companions the same mode."""
        # Only a file that is not there yet: closing any descriptor of an open one would drop SQLite's locks on it.
        with suppress(OSError, ValueError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _open(self) -> None:
        try:
            self._connection = sqlite3.connect(
                self._path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
        except ValueError as error:  # a NUL in the path
            raise StoreError("This is not a path.", place=repr(self.place)) from error
        try:
            tables = self.tables()  # reads the first page: what is no database is noticed before anything is written
            if not tables or APPLIED in tables:
                self._use_wal()
            self._connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self.close()
            raise

    def _use_wal(self) -> None:
        """Switch to WAL; SQLite does not wait its turn here by itself when two processes start on a new file."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self._cursor("PRAGMA journal_mode = WAL", ())
                return
            except StoreBusy:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def lost(self) -> bool:
        return False

    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]:
        return self._guarded(lambda: self._open_connection().execute(sql, params).fetchall())

    def execute(self, sql: str, params: Sequence[Any]) -> int:
        return self._cursor(sql, params).rowcount

    def executemany(self, sql: str, many: Iterable[Sequence[Any]]) -> None:
        self._guarded(lambda: self._open_connection().executemany(sql, many))

    def begin(self, lock: str | None) -> None:
        # IMMEDIATE takes the file's one write lock at once, so it stands for every named lock.
        self._cursor("BEGIN IMMEDIATE", ())

    def commit(self) -> None:
        self._cursor("COMMIT", ())

    def rollback(self) -> None:
        # After a full disk SQLite has rolled back by itself.
        if self._connection is not None and self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def tables(self) -> set[str]:
        return {name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'", ())}

    def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _cursor(self, sql: str, params: Sequence[Any]) -> sqlite3.Cursor:
        return self._guarded(lambda: self._open_connection().execute(sql, params))

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("The store is closed.", place=self.place)
        return self._connection

    def _guarded(self, action: Callable[[], _T]) -> _T:
        try:
            return action()
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreBusy(
                f"Another process kept the database locked for more than {WAIT_SECONDS:g} seconds.",
                place=self.place,
                hint="Try again; if it stays, look for a program that holds the file open.",
            )
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        message, hint = _EXPLAINED.get(code, (f"The database refused ({name}).", None))
        return StoreError(message, place=self.place, hint=hint)
