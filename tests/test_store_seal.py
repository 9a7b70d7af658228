"""Sealing: a secret lies nowhere in clear, the key file is guarded, and rotation survives a crash at any point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from chatstep.errors import InvalidInput, SealError, StoreBusy
from chatstep.secret import Secret
from chatstep.store import Connections, Store, StoredConnection, new_key
from chatstep.store.database import Database
from chatstep.store.migrations import migrate
from chatstep.store.seal import Sealer

MARKER = "sk-MARKER-hunter2-do-not-show"
WORK = StoredConnection("work", "openai", "openai", {"a": 1})


def test_a_secret_is_nowhere_in_the_files(home: Path) -> None:
    with Store.open(home) as store:
        store.connections.add(WORK, {"api_key": Secret(MARKER)})
        store.connections.update(WORK, {"api_key": Secret(MARKER + "2")})
        store.connections.rotate_key()
        files = list(home.iterdir())
        assert {"chatstep.db", "chatstep.db-wal", "seal.key"} <= {file.name for file in files}
        assert not [file for file in files if b"MARKER" in file.read_bytes()]
        assert store.connections.secrets("work")["api_key"].reveal() == MARKER + "2"
        assert "MARKER" not in repr(store.connections.secrets("work"))
    assert not [file for file in home.iterdir() if b"MARKER" in file.read_bytes()]


def test_a_secret_is_nowhere_in_postgres(home: Path, postgres_url: str) -> None:
    with Store.open(home, postgres_url) as store:
        store.connections.add(WORK, {"api_key": Secret(MARKER)})
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT * FROM chatstep_connections").fetchall()
    assert len(rows) == 1
    assert "MARKER" not in repr(rows)


@pytest.mark.parametrize("secret", ["\ud800" + MARKER, MARKER + "\udfff"])
def test_a_secret_that_is_no_text_is_refused_unseen(store: Store, secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.connections.add(WORK, {"api_key": Secret(secret)})
    assert "MARKER" not in repr(caught.value.__context__)
    assert store.connections.all() == []


def test_the_key_file_is_made_once_and_private(home: Path) -> None:
    home.mkdir()
    first, second = Sealer(home), Sealer(home)
    sealed = first.seal(Secret("a"), first=True)
    assert (home / "seal.key").stat().st_mode & 0o777 == 0o600
    assert second.open(sealed) == Secret("a")
    second.seal(Secret("b"), first=True)
    assert len((home / "seal.key").read_text().split()) == 1
    assert [file.name for file in home.iterdir()] == ["seal.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_key_file_for_all_to_read_is_refused(home: Path, mode: int) -> None:
    home.mkdir()
    sealed = Sealer(home).seal(Secret("a"), first=True)
    (home / "seal.key").chmod(mode)
    with pytest.raises(SealError) as caught:
        Sealer(home).open(sealed)
    assert caught.value.hint == f"Run: chmod 600 '{home / 'seal.key'}'"
    (home / "seal.key").chmod(0o600)
    assert Sealer(home).open(sealed) == Secret("a")


@pytest.mark.parametrize("content", ["", "\n", "hunter2", "ä" * 44, "A" * 43])
def test_a_key_file_that_holds_no_key(home: Path, content: str) -> None:
    home.mkdir()
    (home / "seal.key").write_text(content, encoding="utf-8")
    (home / "seal.key").chmod(0o600)
    with pytest.raises(SealError) as caught:
        Sealer(home).seal(Secret("a"), first=True)
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__context__)
    assert (home / "seal.key").read_text(encoding="utf-8") == content


def test_a_folder_in_the_place_of_the_key_file(home: Path) -> None:
    (home / "seal.key").mkdir(parents=True)
    with pytest.raises(SealError, match="cannot be read"):
        Sealer(home).seal(Secret("a"), first=True)


def test_a_lost_key_is_not_replaced_in_silence(home: Path, url: str) -> None:
    with Store.open(home, url) as store:
        store.connections.add(WORK, {"api_key": Secret("a")})
        (home / "seal.key").unlink()
        for act in (
            lambda: store.connections.secrets("work"),
            lambda: store.connections.add(StoredConnection("other", "openai", "openai"), {"api_key": Secret("b")}),
            lambda: store.connections.update(WORK, {"api_key": Secret("b")}),
        ):
            with pytest.raises(SealError, match="missing"):
                act()
        assert not (home / "seal.key").exists()
        store.connections.remove("work")
        store.connections.add(WORK, {"api_key": Secret("c")})
        assert store.connections.secrets("work") == {"api_key": Secret("c")}


def test_another_key_does_not_open(home: Path, url: str) -> None:
    with Store.open(home, url, new_key().reveal()) as store:
        store.connections.add(WORK, {"api_key": Secret(MARKER)})
    with Store.open(home, url, new_key().reveal()) as store:
        with pytest.raises(SealError, match="does not open"):
            store.connections.secrets("work")
        assert store.connections.get("work").settings == {"a": 1}


@pytest.mark.parametrize("keys", ["hunter2", f"{'A' * 43}=,hunter2", "ключ"])
def test_an_unusable_key_from_the_environment(home: Path, keys: str) -> None:
    with pytest.raises(SealError) as caught:
        Sealer(home, keys).seal(Secret("a"))
    assert caught.value.place == "CHATSTEP_SEAL_KEY"
    assert "hunter2" not in repr(caught.value) + str(caught.value.__context__)


def test_keys_from_the_environment_rotate_by_putting_a_new_one_in_front(home: Path, url: str) -> None:
    old, new = new_key().reveal(), new_key().reveal()
    with Store.open(home, url, old) as store:
        store.connections.add(WORK, {"api_key": Secret("a")})
        with pytest.raises(SealError, match="new one must be put there"):
            store.connections.rotate_key()
    with Store.open(home, url, f" {new} , {old},") as store:
        assert store.connections.rotate_key() == 1
    with Store.open(home, url, new) as store:
        assert store.connections.secrets("work") == {"api_key": Secret("a")}
    assert not (home / "seal.key").exists()


def test_rotation_replaces_the_key(home: Path, url: str) -> None:
    with Store.open(home, url) as store, Store.open(home, url) as other:
        store.connections.add(WORK, {"api_key": Secret("a")})
        store.connections.add(StoredConnection("local", "openai", "openai"))
        old = (home / "seal.key").read_text()
        assert other.connections.secrets("work") == {"api_key": Secret("a")}
        assert store.connections.rotate_key() == 1
        new = (home / "seal.key").read_text()
        assert len(new.split()) == 1
        assert new != old
        assert (home / "seal.key").stat().st_mode & 0o777 == 0o600
        assert other.connections.secrets("work") == {"api_key": Secret("a")}
        other.connections.update(WORK, {"api_key": Secret("b")})
        assert store.connections.secrets("work") == {"api_key": Secret("b")}


def test_rotation_stops_at_a_value_that_does_not_open(home: Path, url: str) -> None:
    with Store.open(home, url, new_key().reveal()) as store:
        store.connections.add(StoredConnection("alien", "openai", "openai"), {"api_key": Secret("a")})
    home.mkdir(exist_ok=True)
    (home / "seal.key").write_text(new_key().reveal())
    (home / "seal.key").chmod(0o600)
    with Store.open(home, url) as store:
        store.connections.add(WORK, {"api_key": Secret("b")})
        with pytest.raises(SealError, match="'alien' does not open"):
            store.connections.rotate_key()
        assert store.connections.secrets("work") == {"api_key": Secret("b")}
        store.connections.remove("alien")
        assert store.connections.rotate_key() == 1
        assert store.connections.secrets("work") == {"api_key": Secret("b")}
        assert len((home / "seal.key").read_text().split()) == 1


CRASHING = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from chatstep.store import Connections
from chatstep.store.database import Database
from chatstep.store.seal import Sealer

home, url, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
database, sealer = Database.open(url), Sealer(home)
connections = Connections(database, sealer)
transactions = 0

def die(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)

@contextmanager
def locked():
    global transactions
    transactions += 1
    with database.transaction(lock="sealing"):
        yield
        die(f"before commit {transactions}")
    die(f"after commit {transactions}")

def reseal(anew):
    die("before resealing")
    count = connections.reseal(anew)
    die("after resealing")
    return count

sealer.rotate(locked, reseal)
"""

POINTS = [
    "before resealing",
    "after resealing",
    "before commit 1",
    "after commit 1",
    "before commit 2",
    "after commit 2",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_while_rotating_loses_no_secret(tmp_path: Path, point: str) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with Store.open(tmp_path, url) as store:
        store.connections.add(WORK, {"api_key": Secret("a")})
    done = subprocess.run([sys.executable, "-c", CRASHING, str(tmp_path), url, point], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open(tmp_path, url) as store:
        assert store.connections.secrets("work") == {"api_key": Secret("a")}
        store.connections.rotate_key()
        assert store.connections.secrets("work") == {"api_key": Secret("a")}
        assert len((tmp_path / "seal.key").read_text().split()) == 1
    assert sorted(os.listdir(tmp_path)) == ["seal.key", "store.db"]


ROTATING = """
import sys
from pathlib import Path
from chatstep.store import Store
with Store.open(Path(sys.argv[1]), sys.argv[2]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(15):
        store.connections.rotate_key()
"""


def test_processes_that_rotate_and_add_at_once_lose_no_secret(home: Path, url: str) -> None:
    with Store.open(home, url) as store:
        store.connections.add(WORK, {"api_key": Secret("a")})
        others = [
            subprocess.Popen(
                [sys.executable, "-c", ROTATING, str(home), url],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        for other in others:
            assert other.stdout
            assert other.stdin
            assert other.stdout.readline() == "ready\n"
            other.stdin.write("go\n")
            other.stdin.flush()
        for number in range(30):
            store.connections.add(StoredConnection(f"c{number}", "openai", "openai"), {"api_key": Secret(f"k{number}")})
            assert store.connections.secrets("work") == {"api_key": Secret("a")}
        for other in others:
            other.communicate(timeout=60)
            assert other.returncode == 0
        for number in range(30):
            assert store.connections.secrets(f"c{number}") == {"api_key": Secret(f"k{number}")}
    assert len((home / "seal.key").read_text().split()) == 1


def test_a_reader_that_is_overtaken_by_rotations_again_and_again(home: Path, url: str) -> None:
    """Each time the key file is read, the key is another one than that of the row."""

    class Overtaken(Sealer):
        left = 3

        def open(self, sealed: bytes) -> Secret:
            if self.left:
                self.left -= 1
                writing.rotate_key()
            return super().open(sealed)

    home.mkdir()
    database = Database.open(url)
    migrate(database)
    writing = Connections(database, Sealer(home))
    writing.add(WORK, {"api_key": Secret("a")})
    overtaken = Overtaken(home)
    assert Connections(database, overtaken).secrets("work") == {"api_key": Secret("a")}
    assert overtaken.left == 0
    database.close()


def test_reseal_touches_only_what_is_sealed(home: Path, url: str) -> None:
    home.mkdir()
    database = Database.open(url)
    migrate(database)
    connections = Connections(database, Sealer(home))
    connections.add(WORK)
    with database.transaction():
        assert connections.reseal(lambda sealed: sealed) == 0
    database.close()


def test_nobody_adds_a_secret_while_the_key_is_rotated(home: Path, url: str) -> None:
    """Else a value sealed with the old key could arrive after the last look for old ones."""
    home.mkdir()
    database, rotating = Database.open(url), Database.open(url)
    migrate(database)
    connections = Connections(database, Sealer(home))
    connections.add(WORK, {"api_key": Secret("a")})
    if database.shared:
        database.execute("SET lock_timeout = '1ms'")
    else:
        database.rows("PRAGMA busy_timeout = 1")
    other = StoredConnection("other", "openai", "openai")
    with rotating.transaction(lock="sealing"):
        for act in (
            lambda: connections.add(other, {"api_key": Secret("b")}),
            lambda: connections.update(WORK, {"api_key": Secret("b")}),
            connections.rotate_key,
        ):
            with pytest.raises(StoreBusy):
                act()
        assert connections.secrets("work") == {"api_key": Secret("a")}
    connections.add(other, {"api_key": Secret("b")})
    database.close()
    rotating.close()


def test_contents_open_after_the_sealing_key_was_replaced(home: Path, url: str) -> None:
    with Store.open(home, url) as store, Store.open(home, url) as other:
        sealed = store.contents.seal("The roses, sealed.")
        assert b"roses" not in sealed
        assert "roses" not in repr(store._database.rows("SELECT * FROM chatstep_content_keys"))
        assert other.contents.open(sealed) == "The roses, sealed."
        store.connections.rotate_key()
        assert store.contents.open(sealed) == "The roses, sealed."
        later = other.contents.seal("Later.")
    with Store.open(home, url) as store:
        assert store.contents.open(sealed) == "The roses, sealed."
        assert store.contents.open(later) == "Later."


def test_contents_sealed_by_the_sealing_key_itself_open_still(home: Path, url: str) -> None:
    with Store.open(home, url) as store:
        old = Sealer(home).seal(Secret("Before."), first=True)
        assert store.contents.open(old) == "Before."


def test_a_lost_sealing_key_leaves_its_contents_until_it_is_put_back(home: Path, url: str) -> None:
    with Store.open(home, url) as store:
        sealed = store.contents.seal("Kept.")
    key = (home / "seal.key").read_text()
    (home / "seal.key").unlink()
    with Store.open(home, url) as store, pytest.raises(SealError, match="missing"):
        store.contents.seal("Not without the key.")
    other = new_key().reveal()
    with Store.open(home, url, other) as store:
        newer = store.contents.seal("Newer.")
        with pytest.raises(SealError):
            store.contents.open(sealed)
    with Store.open(home, url, f"{other},{key.strip()}") as store:
        assert store.contents.open(sealed) == "Kept."
        assert store.contents.open(newer) == "Newer."
        store.connections.rotate_key()
    with Store.open(home, url, other) as store:
        assert store.contents.open(sealed) == "Kept."
