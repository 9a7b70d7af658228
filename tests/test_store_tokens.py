"""Tokens in the store, on SQLite and on Postgres."""

from __future__ import annotations

import pytest

from chatstep.errors import InvalidInput, SpendLimitReached, UnknownName
from chatstep.store import Entry, Spender, Store, Token
from chatstep.store.tokens import Tokens

NOON = 1_795_600_000_000


def test_a_token_is_found_by_its_text_alone(store: Store) -> None:
    made, text = store.tokens.make(Token(name="shop", models=("work/*",), daily_limit=5, admin=True))
    found = store.tokens.find(text.reveal())
    assert found is not None
    assert (found.name, found.models, found.daily_limit, found.admin) == ("shop", ("work/*",), 5, True)
    assert text.reveal().startswith("cs_")
    assert len(text.reveal()) > 40
    for wrong in ("", "shop", text.reveal()[:-1], text.reveal().upper(), "\ud800"):
        assert store.tokens.find(wrong) is None
    assert [token.name for token in store.tokens.all()] == ["shop"]
    assert made.created > 0


def test_its_text_is_nowhere_in_the_database(store: Store) -> None:
    _, text = store.tokens.make(Token(name="shop"))
    rows = store._database.rows("SELECT * FROM chatstep_tokens")
    assert text.reveal() not in repr(rows)
    assert text.reveal() not in repr(store.tokens.all())


def test_a_name_is_taken_once_and_must_be_a_name(store: Store) -> None:
    store.tokens.make(Token(name="shop"))
    with pytest.raises(InvalidInput, match="already"):
        store.tokens.make(Token(name="shop"))
    with pytest.raises(InvalidInput):
        store.tokens.make(Token(name="two words"))


def test_a_token_expires_and_is_revoked(store: Store) -> None:
    now = [NOON]
    tokens = Tokens(store._database, lambda: now[0])
    with pytest.raises(InvalidInput, match="expired already"):
        tokens.make(Token(name="late", expires=NOON))
    _, text = tokens.make(Token(name="day", expires=NOON + 1000))
    assert tokens.find(text.reveal()) is not None
    now[0] += 1000
    assert tokens.find(text.reveal()) is None
    tokens.revoke("day")
    assert tokens.all() == []
    tokens.make(Token(name="shop"))
    with pytest.raises(UnknownName, match="Did you mean shop"):
        tokens.revoke("shopp")


@pytest.mark.parametrize(
    ("models", "model", "allowed"),
    [
        ((), "work/x", True),
        (("work/x",), "work/x", True),
        (("work/x",), "work/xy", False),
        (("work/*",), "work/xy", True),
        (("work/*",), "home/x", False),
        (("a", "flow/*"), "flow/shop", True),
    ],
)
def test_what_a_token_may_ask_for(models: tuple[str, ...], model: str, allowed: bool) -> None:
    assert Token(name="x", models=models).allows(model) is allowed


def test_a_spender_has_limits_beside_the_connections(store: Store) -> None:
    """Both are kept: what somebody spends on several connections adds up, whatever each of them allows."""
    reserve, ana = store.ledger.reserve, Spender("ana", daily_limit=1000)
    first = reserve("work", 600, None, None, NOON, ana)
    with pytest.raises(SpendLimitReached, match="token ana"):
        reserve("home", 500, None, None, NOON, ana)
    with pytest.raises(SpendLimitReached, match="connection home"):
        reserve("home", 300, 200, None, NOON, ana)
    reserve("home", 500, None, None, NOON, Spender("ben", daily_limit=500))
    store.ledger.record(Entry(time=NOON, connection="work", model="m", cost=100, reservation=first, token="ana"))
    second = reserve("home", 900, None, None, NOON, ana)
    with pytest.raises(SpendLimitReached):
        reserve("home", 1, None, None, NOON, ana)
    store.ledger.release(second)
    reserve("home", 900, None, None, NOON, ana)


def test_totals_by_token(store: Store) -> None:
    for token, cost in (("ana", 5), ("ana", 7), ("", 1)):
        store.ledger.record(Entry(time=NOON, connection="work", model="m", cost=cost, token=token))
    assert [(total.key, total.calls, total.cost) for total in store.ledger.totals("token")] == [
        ("", 1, 1),
        ("ana", 2, 12),
    ]
    with pytest.raises(SpendLimitReached):
        store.ledger.reserve("home", 1, None, None, NOON, Spender("ana", daily_limit=12))
