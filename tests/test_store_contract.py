"""What the store promises about connections, traits, conversations and migrations, on SQLite and on Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatstep.errors import InvalidInput, StoreError, UnknownName
from chatstep.message import Attachment, Author, Message
from chatstep.secret import Secret
from chatstep.store import Conversations, Store, StoredConnection
from chatstep.store.database import Database
from chatstep.store.migrations import MIGRATIONS, Migration, migrate

WORK = StoredConnection("work", "openai", "openai", {"organization": "org-1", "nested": [1, 2.5, None, True]})


def test_connection_comes_back_as_it_was_added(store: Store) -> None:
    limited = StoredConnection("work", "openai", "azure", WORK.settings, 5_000_000_000, 90_000_000_000)
    added = store.connections.add(limited, {"api_key": Secret("sk-1"), "proxy": Secret("p☂")})
    assert added.created == added.changed > 1_600_000_000_000
    assert store.connections.get("work") == added
    assert store.connections.secrets("work") == {"api_key": Secret("sk-1"), "proxy": Secret("p☂")}


def test_connections_without_secrets_need_no_sealing_key(store: Store, home: Path) -> None:
    store.connections.add(WORK)
    assert store.connections.secrets("work") == {}
    assert not (home / "seal.key").exists()


def test_a_name_is_taken_once(store: Store) -> None:
    store.connections.add(WORK, {"api_key": Secret("sk-1")})
    with pytest.raises(InvalidInput, match="already"):
        store.connections.add(WORK, {"api_key": Secret("sk-2")})
    assert store.connections.secrets("work") == {"api_key": Secret("sk-1")}


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 65, "ä", "a\n", "a\0", "\ud800", "../x"])
def test_unusable_names_are_refused_and_never_found(store: Store, name: str) -> None:
    with pytest.raises(InvalidInput):
        store.connections.add(StoredConnection(name, "openai", "openai"))
    for ask in (store.connections.get, store.connections.secrets, store.connections.remove):
        with pytest.raises(UnknownName):
            ask(name)
    with pytest.raises(UnknownName):
        store.connections.update(StoredConnection(name, "openai", "openai"))


def test_unknown_connection_lists_the_known_and_the_near(store: Store) -> None:
    with pytest.raises(UnknownName, match="There is no connection yet"):
        store.connections.get("work")
    for name in ("work", "home"):
        store.connections.add(StoredConnection(name, "openai", "openai"))
    with pytest.raises(UnknownName) as caught:
        store.connections.get("wrok")
    assert str(caught.value) == "No connection is called 'wrok'. Did you mean work? Known: home, work."
    assert caught.value.details["near"] == ["work"]
    with pytest.raises(UnknownName) as caught:
        store.connections.get("sk-" + "x" * 100)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("bad", [{"key": Secret("x")}, {"key": object()}, {"key": "\ud800"}])
def test_settings_are_plain_values(store: Store, bad: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.connections.add(StoredConnection("work", "openai", "openai", bad))
    assert caught.value.place == "settings"


@pytest.mark.parametrize("limit", [-1, 1.5, True, 2**63])
def test_limits_are_whole_nanodollars(store: Store, limit: int) -> None:
    with pytest.raises(InvalidInput):
        store.connections.add(StoredConnection("work", "openai", "openai", {}, limit))


def test_update_keeps_secrets_unless_given(store: Store) -> None:
    store.connections.add(WORK, {"api_key": Secret("sk-1")})
    changed = store.connections.update(StoredConnection("work", "openai", "azure", {"a": 1}, 7))
    assert (changed.kind, changed.settings, changed.daily_limit) == ("azure", {"a": 1}, 7)
    assert changed.created > 0
    assert store.connections.secrets("work") == {"api_key": Secret("sk-1")}
    store.connections.update(changed, {"api_key": Secret("sk-2")})
    assert store.connections.secrets("work") == {"api_key": Secret("sk-2")}
    store.connections.update(changed, {})
    assert store.connections.secrets("work") == {}


def test_remove_takes_traits_along(store: Store) -> None:
    store.connections.add(WORK)
    store.connections.add(StoredConnection("home", "openai", "openai"))
    store.traits.put("work", "gpt", {"a": 1})
    store.traits.put("home", "gpt", {"a": 1})
    store.connections.remove("work")
    assert [connection.name for connection in store.connections.all()] == ["home"]
    assert store.traits.all("work") == {}
    assert store.traits.all("home") == {"gpt": {"a": 1}}


def test_traits_are_merged_and_forgotten(store: Store) -> None:
    assert store.traits.get("work", "gpt") == {}
    store.traits.put("work", "gpt", {"limit": "max_tokens", "none": None})
    assert store.traits.put("work", "gpt", {"limit": "both", "names": [1]}) == {
        "limit": "both",
        "none": None,
        "names": [1],
    }
    store.traits.put("work", "odd\0\ud800", {"b": 2})
    assert store.traits.get("work", "odd\0\ud800") == {"b": 2}
    assert set(store.traits.all("work")) >= {"gpt"}
    assert store.traits.forget("work", "gpt") == 1
    assert store.traits.get("work", "gpt") == {}
    assert store.traits.forget("work") == 1


def test_traits_put_from_threads_are_all_kept(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.traits.put("work", "gpt", {f"fact{n}": n}), range(40)))
    assert store.traits.get("work", "gpt") == {f"fact{n}": n for n in range(40)}


def test_messages_come_back_in_order_and_whole(store: Store) -> None:
    chat = store.conversations.create(title=" Tea\nand\0 cake ", assistant=Author("Bot", id="b1", bot=True))
    said = [
        Message("Ana", "Hello\0 ☂ \x1b[31m"),
        Message(Author("Bot", id="b1"), "", id="m1", time="2025-01-01T00:00:00Z", role="assistant"),
        Message("Ana", "see", attachments=(Attachment("image", "a.png", "https://example.org/a"),)),
    ]
    assert store.conversations.append(chat.id, *said[:2]) == 2
    assert store.conversations.append(chat.id, said[2]) == 1
    assert store.conversations.read(chat.id) == said
    assert store.conversations.read(chat.id, last=2) == said[1:]
    assert store.conversations.read(chat.id, last=0) == []
    again = store.conversations.get(chat.id)
    assert (again.messages, again.assistant) == (3, Author("Bot", id="b1", bot=True))
    assert "\n" not in again.title
    assert again.title.startswith("Tea and")


def test_lone_surrogates_are_replaced(store: Store) -> None:
    store.conversations.create("c", title="\ud83d")
    store.conversations.append(
        "c", Message("A\ud800", "x\udfffy", id="\ud800", attachments=(Attachment("f", "\ud800"),))
    )
    (message,) = store.conversations.read("c")
    assert (message.author.name, message.text) == ("A\ufffd", "x\ufffdy")
    assert message.attachments == (Attachment("f", "\ufffd"),)


def test_a_message_with_a_known_id_is_stored_once(store: Store) -> None:
    store.conversations.create("c")
    store.conversations.create("d")
    first = [Message("Ana", "1", id="a"), Message("Ana", "2"), Message("Ana", "3", id="a")]
    assert store.conversations.append("c", *first) == 2
    assert store.conversations.append("c", Message("Ana", "again", id="a"), Message("Ana", "4", id="b")) == 1
    assert store.conversations.append("d", Message("Ana", "elsewhere", id="a")) == 1
    assert [message.text for message in store.conversations.read("c")] == ["1", "2", "4"]
    many = [Message("Ana", str(n), id=f"n{n}") for n in range(1200)]
    assert store.conversations.append("d", *many) == 1200
    assert store.conversations.append("d", *many) == 0


def test_a_failed_append_leaves_nothing(store: Store) -> None:
    store.conversations.create("c")
    with pytest.raises(AttributeError):
        store.conversations.append("c", Message("Ana", "1"), None)  # type: ignore[arg-type]
    assert store.conversations.read("c") == []
    with pytest.raises(UnknownName):
        store.conversations.append("d", Message("Ana", "1"))


def test_conversations_are_listed_newest_first(database: Database) -> None:
    conversations = Conversations(database, clock=count(1000).__next__)
    assert conversations.latest() is None
    for id in ("a", "b", "c"):
        conversations.create(id)
    conversations.append("b", Message("Ana", "Hi"))
    assert [(found.id, found.messages) for found in conversations.list()] == [("b", 1), ("c", 0), ("a", 0)]
    assert [found.id for found in conversations.list(limit=1)] == ["b"]
    latest = conversations.latest()
    assert latest is not None
    assert (latest.id, latest.created, latest.changed) == ("b", 1001, 1003)


def test_rename_and_delete(store: Store) -> None:
    store.conversations.create("c")
    store.conversations.append("c", Message("Ana", "1"))
    store.conversations.rename("c", "Tea")
    assert store.conversations.get("c").title == "Tea"
    store.conversations.delete("c")
    for ask in (store.conversations.get, store.conversations.read, store.conversations.delete):
        with pytest.raises(UnknownName):
            ask("c")
    store.conversations.create("c")
    assert store.conversations.read("c") == []


def test_conversation_ids(store: Store) -> None:
    made = {store.conversations.create().id for _ in range(50)}
    assert len(made) == 50
    assert all(len(id) < 24 and id.count("-") == 2 for id in made)
    store.conversations.create("discord:123/Ä b")
    with pytest.raises(InvalidInput, match="already"):
        store.conversations.create("discord:123/Ä b")
    with pytest.raises(UnknownName, match="Did you mean discord"):
        store.conversations.read("discord:123/Ä")
    for bad in ("", " a", "a\n", "a\0", "\ud800", "a" * 201):
        with pytest.raises(InvalidInput):
            store.conversations.create(bad)
        with pytest.raises(UnknownName):
            store.conversations.rename(bad, "x")


anything = st.text(max_size=30)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(anything, anything, st.none() | st.sampled_from("abcdef")), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_any_texts_in_any_portions_come_back(
    store: Store, parts: list[tuple[str, str, str | None]], cuts: list[int]
) -> None:
    messages = [Message(author, text, id=id) for author, text, id in parts]
    id = store.conversations.create().id
    edges = [0, *sorted(cuts), len(messages)]
    for start, end in pairwise(edges):
        store.conversations.append(id, *messages[start:end])
    seen: set[str | None] = set()
    kept = [m for m in messages if m.id is None or not (m.id in seen or seen.add(m.id))]  # type: ignore[func-returns-value]
    assert store.conversations.read(id) == kept


def test_opening_again_finds_everything(home: Path, url: str) -> None:
    assert not Store.exists(home, url)
    with Store.open(home, url) as store:
        store.connections.add(WORK, {"api_key": Secret("sk-1")})
        store.conversations.create("c")
        assert Store.exists(home, url)
    with Store.open(home, url) as store:
        assert store.connections.secrets("work") == {"api_key": Secret("sk-1")}
        assert store.conversations.get("c").id == "c"
    with pytest.raises(StoreError, match="closed"):
        store.connections.all()


def test_a_newer_database_is_refused_and_left_alone(url: str) -> None:
    future = (*MIGRATIONS, Migration("9999-future", "CREATE TABLE chatstep_future (id {serial}, body {bytes})"))
    database = Database.open(url)
    assert migrate(database, future) == [migration.name for migration in future]
    tables = database.tables()
    with pytest.raises(StoreError, match=r"newer chatstep.*Upgrade chatstep"):
        migrate(database)
    assert database.tables() == tables
    database.close()


def test_a_failing_migration_leaves_the_old_state(database: Database) -> None:
    before = database.tables()
    broken = (*MIGRATIONS, Migration("9998-half", "CREATE TABLE chatstep_half (id {serial}); CREATE NONSENSE"))
    with pytest.raises(StoreError, match="refused"):
        migrate(database, broken)
    assert database.tables() == before
    assert migrate(database) == []


def test_transactions_are_all_or_nothing(database: Database) -> None:
    insert = "INSERT INTO chatstep_traits (connection, model, facts) VALUES (?, ?, ?)"

    def stop_halfway() -> None:
        with database.transaction():
            database.execute(insert, ("a", "b", "50% {} ?"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_halfway()
    with pytest.raises(StoreError):
        database.executemany(insert, [("a", "b", "{}"), ("a", "b", "{}")])
    assert database.rows("SELECT * FROM chatstep_traits") == []
    database.execute(insert, ("a", "b", "50% {} ?"))
    assert database.rows("SELECT facts FROM chatstep_traits WHERE connection = ?", ("a",)) == [("50% {} ?",)]
    with database.transaction(), pytest.raises(RuntimeError, match="nest"), database.transaction():
        pass


def end_other_sessions(server: str) -> None:
    """Break every connection to the server but our own, as a restart of it would."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name = 'chatstep'"
        )


def test_postgres_connects_again_after_a_loss(postgres_server: str, postgres_url: str, tmp_path: Path) -> None:
    with Store.open(tmp_path, postgres_url) as store:
        store.conversations.create("c")
        end_other_sessions(postgres_server)
        assert store.conversations.get("c").id == "c"
        end_other_sessions(postgres_server)
        assert store.conversations.append("c", Message("Ana", "1")) == 1
        assert len(store.conversations.read("c")) == 1


def test_postgres_does_not_go_on_inside_a_broken_transaction(postgres_server: str, postgres_url: str) -> None:
    database = Database.open(postgres_url)
    migrate(database)
    insert = "INSERT INTO chatstep_traits (connection, model, facts) VALUES (?, ?, ?)"

    def lose_it_halfway() -> None:
        with database.transaction():
            database.execute(insert, ("a", "1", "{}"))
            end_other_sessions(postgres_server)
            database.execute(insert, ("a", "2", "{}"))

    with pytest.raises(StoreError, match="lost"):
        lose_it_halfway()
    assert database.rows("SELECT * FROM chatstep_traits") == []
    database.close()


def test_postgres_shares_a_database_with_others(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE messages (id TEXT)")
    with Store.open(tmp_path, postgres_url) as store:
        assert store.conversations.list() == []
