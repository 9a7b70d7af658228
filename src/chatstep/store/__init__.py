"""The store: what chatstep remembers, in one SQLite file or one Postgres database.

The app opens it once and hands it out. Everything here blocks (but `Ledger.record`), so an event loop calls it in a
thread. Light: the database driver for Postgres and the cipher are imported when first needed.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from chatstep.errors import StoreError
from chatstep.store.answers import Answers, KeptAnswer
from chatstep.store.connections import Connections, StoredConnection
from chatstep.store.contents import Contents
from chatstep.store.conversations import Conversation, Conversations
from chatstep.store.database import APPLIED, Database
from chatstep.store.flows import Flows, PublishedFlow
from chatstep.store.ledger import Entry, Ledger, Spender, Total
from chatstep.store.limits import dollars
from chatstep.store.migrations import migrate
from chatstep.store.schedules import Schedules
from chatstep.store.seal import Sealer, new_key
from chatstep.store.tokens import Token, Tokens
from chatstep.store.traits import Traits
from chatstep.store.turns import Turns
from chatstep.store.workers import Worker, Workers

__all__ = [
    "Answers",
    "Connections",
    "Contents",
    "Conversation",
    "Conversations",
    "Entry",
    "Flows",
    "KeptAnswer",
    "Ledger",
    "PublishedFlow",
    "Schedules",
    "Spender",
    "Store",
    "StoredConnection",
    "Token",
    "Tokens",
    "Total",
    "Traits",
    "Turns",
    "Worker",
    "Workers",
    "dollars",
    "new_key",
]

FILE = "chatstep.db"


class Store:
    """An open store. Its parts share one database connection and may be used from several threads."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self.contents = Contents(database, sealer)
        self.traits = Traits(database)
        self.connections = Connections(database, sealer)
        self.conversations = Conversations(database)
        self.ledger = Ledger(database)
        self.flows = Flows(database)
        self.workers = Workers(database)
        self.schedules = Schedules(database)
        self.turns = Turns(database)
        self.tokens = Tokens(database)
        self.answers = Answers(database, self.contents)

    @classmethod
    def open(cls, home: Path, url: str | None = None, seal_key: str | None = None) -> Store:
        """Open the store, making the folder, the file and the tables as needed.

        ``home`` is the data folder; the database is ``home/chatstep.db`` unless ``url`` says otherwise. ``seal_key`` is
        the environment's value (see `Sealer`). Raises StoreError when it cannot be opened.
        """
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"The data folder cannot be made: {getattr(error, 'strerror', None) or 'this is not a path'}.",
                place=str(home),
                hint="Make it yourself, or let CHATSTEP_HOME name another.",
            ) from error
        database = Database.open(url or home / FILE)
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        return cls(database, Sealer(home, seal_key))

    @staticmethod
    def exists(home: Path, url: str | None = None) -> bool:
        """Whether there is a store already; nothing is made by asking. Raises StoreError when a server fails."""
        address = url or str(home / FILE)
        if "://" not in address or address.startswith("sqlite:///"):
            path = Path(address.removeprefix("sqlite:///"))
            try:
                return path.is_dir() or path.stat().st_size > 0
            except FileNotFoundError:
                return False
            except (OSError, ValueError):
                return True  # something is in the way, and opening says what
        database = Database.open(address)
        try:
            return APPLIED in database.tables()
        finally:
            database.close()

    @property
    def place(self) -> str:
        """Where the data lies, to be shown: a path, or host and database name."""
        return self._database.place

    def close(self) -> None:
        """Write what the ledger still holds, then close. Raises StoreError when entries could not be written."""
        try:
            self.ledger.close()
        finally:
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
