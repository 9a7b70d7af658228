"""Database files and servers that cannot be used: one clear error, and nothing that was there is changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from chatstep.errors import ChatstepError, StoreBusy, StoreError
from chatstep.message import Message
from chatstep.store import Store
from chatstep.store.database import Database


def refused(home: Path, url: str | None = None) -> StoreError:
    """Open the store, which must fail; the error has its place and says what to do."""
    with pytest.raises(StoreError) as caught:
        Store.open(home, url)
    assert caught.value.place
    assert caught.value.hint
    return caught.value


def filled(home: Path) -> Path:
    """A store with something in it; gives its file."""
    with Store.open(home) as store:
        store.conversations.create("c")
        store.conversations.append("c", *(Message("Ana", "x" * 500) for _ in range(200)))
    return home / "chatstep.db"


@pytest.mark.parametrize("content", [b"hello", bytes(4096), b"SQLite format 3\0", b"<html>" * 5000, os.urandom(8192)])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "chatstep.db"
    file.write_bytes(content)
    assert "not a database" in refused(tmp_path).message
    assert file.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chatstep.db"]


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_a_file_cut_short(tmp_path: Path, share: float) -> None:
    file = filled(tmp_path)
    cut = file.read_bytes()[: int(file.stat().st_size * share)]
    file.write_bytes(cut)
    assert refused(tmp_path).message in ("The database is damaged or cut short.", "The file is not a database.")
    assert file.read_bytes() == cut


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "chatstep.db").touch()
    assert not Store.exists(tmp_path)
    with Store.open(tmp_path) as store:
        assert store.connections.all() == []


def test_the_database_of_another_program(tmp_path: Path) -> None:
    file = tmp_path / "chatstep.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE messages (id)")
    connection.close()
    before = file.read_bytes()
    assert "another program" in refused(tmp_path).message
    assert file.read_bytes() == before


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "chatstep.db").mkdir()
    assert "folder" in refused(tmp_path).message
    assert Store.exists(tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    assert "data folder" in refused(tmp_path / "home").message
    assert "data folder" in refused(tmp_path / "home" / "deeper").message
    assert "data folder" in refused(Path("a\0b")).message
    assert "folder is missing" in refused(tmp_path, f"sqlite:///{tmp_path}/none/store.db").message


def test_an_unknown_kind_of_address(tmp_path: Path) -> None:
    error = refused(tmp_path, "mysql://ana:hunter2@db/chat")
    assert "hunter2" not in str(error)


def test_a_new_store_is_private(tmp_path: Path) -> None:
    with Store.open(tmp_path / "deep" / "home") as store:
        store.conversations.create("c")
        assert (tmp_path / "deep" / "home").stat().st_mode & 0o777 == 0o700
        for file in (tmp_path / "deep" / "home").iterdir():
            assert file.stat().st_mode & 0o077 == 0


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user of the machine may enter."""
    folder = Path(tempfile.mkdtemp(prefix="chatstep-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


AS_NOBODY = """
import difflib, os, sqlite3, sys
from pathlib import Path
from chatstep.errors import StoreError
from chatstep.store import Store
import chatstep.store.sqlite
if os.getuid() == 0:
    os.setuid(65534)  # the permissions of files do not stop root
try:
    with Store.open(Path(sys.argv[1])) as store:
        store.conversations.create("d")
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(("file_mode", "folder_mode"), [(0o444, 0o555), (0o644, 0o555), (0o000, 0o755)])
def test_what_may_not_be_written(public_folder: Path, file_mode: int, folder_mode: int) -> None:
    home = public_folder / "home"
    file = filled(home)
    before = file.read_bytes()
    file.chmod(file_mode)
    home.chmod(folder_mode)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(home)], capture_output=True, text=True, timeout=60, check=True
    )
    home.chmod(0o755)
    file.chmod(0o644)
    assert "writable for this user" in done.stdout
    assert str(file) in done.stdout
    assert file.read_bytes() == before


def test_a_folder_that_may_not_be_made(public_folder: Path) -> None:
    public_folder.chmod(0o555)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(public_folder / "home")],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "The data folder cannot be made: Permission denied." in done.stdout


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from chatstep.errors import StoreError
from chatstep.message import Message
from chatstep.store import Store
store = Store.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
kept = 0
try:
    while kept < 10_000:
        kept += store.conversations.append("c", Message("Ana", os.urandom(5000).hex()))
except StoreError as error:
    print(kept, error)
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        store.conversations.create("c")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    kept, _, said = done.stdout.partition(" ")
    assert "disk is full" in said
    with Store.open(tmp_path) as store:
        assert len(store.conversations.read("c")) == int(kept) > 0


def test_a_database_locked_for_too_long(tmp_path: Path) -> None:
    file = filled(tmp_path)
    database = Database.open(file)
    database.rows("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="locked"):
        database.execute("DELETE FROM chatstep_messages")
    other.execute("ROLLBACK")
    other.close()
    assert database.execute("DELETE FROM chatstep_messages") == 200
    database.close()


def test_postgres_locked_for_too_long(postgres_url: str) -> None:
    database = Database.open(postgres_url)
    database.execute("SET lock_timeout = '1ms'")
    other = Database.open(postgres_url)
    with other.transaction(lock="x"), pytest.raises(StoreBusy, match="locked"), database.transaction(lock="x"):
        pass
    with database.transaction(lock="x"):
        assert database.tables() == set()
    database.close()
    other.close()


def test_postgres_that_does_not_answer(tmp_path: Path) -> None:
    error = refused(tmp_path, "postgresql://ana:hunter2@127.0.0.1:1/chat")
    assert error.message == "The database server does not answer."
    assert error.place == "postgresql://127.0.0.1:1/chat"
    with pytest.raises(StoreError):
        Store.exists(tmp_path, "postgresql://ana:hunter2@127.0.0.1:1/chat")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:hun/ter2@127.0.0.1:1/chat",
        "postgresql://ana:hunter2@127.0.0.1:x/chat",
        "postgresql://ana:ter2@[::1/chat",
        "postgresql://127.0.0.1:1/chat?password=hunter2&nonsense=ter2",
        "postgres://ana:hunter2@127.0.0.1:1/chat%",
        "postgresql://ana:hunter2\0@127.0.0.1:1/chat",
    ],
)
def test_no_password_is_shown_whatever_the_address(tmp_path: Path, url: str) -> None:
    error: BaseException | None = refused(tmp_path, url)
    while error is not None:
        assert "ter2" not in repr(error)
        assert "ter2" not in repr(error.details if isinstance(error, ChatstepError) else "")
        error = error.__cause__ or error.__context__


def test_postgres_with_a_wrong_password(postgres_server: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        row = connection.execute("SHOW hba_file").fetchone()
        assert row
        rules = Path(row[0])
        before = rules.read_text()
        connection.execute("CREATE ROLE ana LOGIN PASSWORD 'secret'")
        rules.write_text(f"local all ana scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        # The server reads its rules anew some moment after it was told; a new view of them shows when.
        while connection.execute("SELECT user_name FROM pg_hba_file_rules LIMIT 1").fetchone() != (["ana"],):
            pass
    for url in (
        postgres_server.replace("postgres:@", "ana:hunter2@", 1),
        postgres_server.replace("postgres:@", "nobody:hunter2@", 1),
    ):
        error = refused(tmp_path, url)
        assert error.message == "The database server refused the user or the password."
        assert "hunter2" not in str(error)
    assert "no database of that name" in refused(tmp_path, postgres_server.replace("/postgres?", "/none?")).message


def test_without_psycopg_the_error_names_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('not installed')")
    code = "from pathlib import Path; from chatstep.store import Store; Store.open(Path('h'), 'postgres://h/d')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "pip install 'chatstep[postgres]'" in done.stderr.splitlines()[-1]


def test_opening_loads_neither_cipher_nor_driver(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from chatstep.store import Store\n"
        "with Store.open(Path(sys.argv[1])) as store: store.connections.all()\n"
        "print(sorted({'cryptography', 'psycopg', 'difflib', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
