"""Database: one connection to SQLite or Postgres, under one lock, with one text of SQL for both.

For the store's own files. SQL is written with ``?`` for each parameter, and with what both databases know
(ON CONFLICT, RETURNING). Whatever a driver raises leaves here as a StoreError of one sentence, and never holds a
password or a stored value. Calls block: an event loop runs them in a thread.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from chatstep.errors import StoreError

__all__ = ["APPLIED", "Database", "Driver"]

APPLIED = "chatstep_migrations"
"""The table by which a database is known to be chatstep's."""

_T = TypeVar("_T")
Row = tuple[Any, ...]


class Driver(Protocol):
    """What differs between the databases. Its methods raise StoreError and nothing of the driver's own."""

    place: str
    words: Mapping[str, str]
    shared: bool

    def connect(self) -> None: ...
    def lost(self) -> bool: ...
    def rows(self, sql: str, params: Sequence[Any]) -> list[Row]: ...
    def execute(self, sql: str, params: Sequence[Any]) -> int: ...
    def executemany(self, sql: str, many: Iterable[Sequence[Any]]) -> None: ...
    def begin(self, lock: str | None) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def tables(self) -> set[str]: ...
    def close(self) -> None: ...


class Database:
    """An open database; safe to use from several threads, which take turns."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._turn = threading.RLock()
        self._in_transaction = False
        driver.connect()

    @classmethod
    def open(cls, url: str | Path) -> Database:
        """Open a SQLite file (a path, or ``sqlite:///path``) or a Postgres database (``postgresql://...``).

        Raises StoreError when it cannot be opened; a file that cannot be read is left exactly as it is.
        """
        address = str(url)
        if re.match(r"postgres(ql)?://", address):
            from chatstep.store.postgres import Postgres

            return cls(Postgres(address))
        scheme = re.match(r"([A-Za-z][\w+.-]*)://", address)
        if scheme and scheme[1] != "sqlite":
            raise StoreError(
                "The store cannot use this kind of database.",
                place=f"{scheme[1]}://",
                hint="Give a path, sqlite:///PATH or postgresql://USER@HOST/NAME.",
            )
        from chatstep.store.sqlite import Sqlite

        return cls(Sqlite(Path(address.removeprefix("sqlite:///")) if scheme else Path(url)))

    @property
    def place(self) -> str:
        """Where the data lies, to be shown to people: a path, or host and database name."""
        return self._driver.place

    @property
    def words(self) -> Mapping[str, str]:
        """What is spelt differently: ``serial`` (a counted primary key), ``bytes``, ``now`` (the time in unix ms)."""
        return self._driver.words

    @property
    def shared(self) -> bool:
        """Whether tables of other programs may lie in it: a server's database yes, chatstep's own file no."""
        return self._driver.shared

    def rows(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query. Outside of a transaction it must only read, since it may be run twice."""
        with self._turn:
            if self._in_transaction:
                return self._driver.rows(sql, params)
            return self._once_more(lambda: self._driver.rows(sql, params))

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run one change and give the number of rows it touched; outside of a transaction it is one by itself."""
        with self._turn:
            if self._in_transaction:
                return self._driver.execute(sql, params)
            with self.transaction():
                return self._driver.execute(sql, params)

    def executemany(self, sql: str, many: Iterable[Sequence[Any]]) -> None:
        """Run one change for each row of parameters, all or none."""
        with self._turn:
            if self._in_transaction:
                return self._driver.executemany(sql, many)
            with self.transaction():
                return self._driver.executemany(sql, many)

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[None]:
        """All or nothing. Transactions with the same ``lock`` follow each other, in whatever process they run.

        They do not nest. Raises StoreBusy when the turn does not come within ten seconds.
        """
        with self._turn:
            if self._in_transaction:
                raise RuntimeError("Transactions do not nest.")
            self._in_transaction = True
            try:
                self._once_more(lambda: self._driver.begin(lock))
                yield
                self._driver.commit()
            except BaseException:
                self._driver.rollback()
                raise
            finally:
                self._in_transaction = False

    def tables(self) -> set[str]:
        """The names of the tables that are there."""
        with self._turn:
            return self._once_more(self._driver.tables)

    def close(self) -> None:
        """Close the connection; later calls raise StoreError."""
        with self._turn:
            self._driver.close()

    def _once_more(self, action: Callable[[], _T]) -> _T:
        """Run what may safely run twice; when the connection turns out to be lost, connect again and repeat it."""
        try:
            return action()
        except StoreError:
            if not self._driver.lost():
                raise
        self._driver.connect()
        return action()
