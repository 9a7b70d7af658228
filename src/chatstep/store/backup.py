"""Backup: a consistent copy of the SQLite databases of a data folder, while programs use them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from chatstep.errors import InvalidInput, StoreError

__all__ = ["back_up"]

# The runs first: whatever a run refers to (a version of a flow, a message) was stored before it.
FILES = ("runs.db", "chatstep.db")


def back_up(home: Path, url: str | None, folder: Path) -> list[Path]:
    """Copy the databases into a new or empty folder and give the copies. Raises InvalidInput, StoreError.

    The sealing key is not copied: whoever has both has the keys of all connections.
    """
    if url and not url.startswith("sqlite:///"):
        raise InvalidInput("The store is a Postgres database.", place="store", hint="Back it up with pg_dump.")
    database = Path(url.removeprefix("sqlite:///")) if url else home / "chatstep.db"
    if not database.exists():
        raise InvalidInput("There is nothing to back up yet.", place=str(database))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput("The folder is not empty.", place=str(folder), hint="Name a new one.")
        sources = [database.with_name("runs.db"), database]
        return [_copied(source, folder / name) for source, name in zip(sources, FILES, strict=True) if source.exists()]
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"The backup could not be written: {error}.",
            place=str(folder),
            hint="What is in the folder is no whole backup. Free some space, or name another folder.",
        ) from None


def _copied(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        database.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return target
