"""Tokens: who may use the server, what for, until when, and for how much.

A token's text is shown once, when it is made; the store keeps a digest of it. The text has 256 random bits, so a fast
digest is enough.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.secret import Secret
from chatstep.store.database import Database
from chatstep.store.ledger import Spender
from chatstep.store.names import check_name, findable, nothing_called, unix_ms

__all__ = ["Token", "Tokens"]

PREFIX = "cs_"
_COLUMNS = "name, admin, models, daily_limit, monthly_limit, created, expires, used"


class Token(Struct, frozen=True, kw_only=True):
    """A token without its text.

    ``models`` lists what may be asked for, as the endpoint names it (``work/gpt-4o``, ``flow/shop``); one that ends in
    ``*`` stands for all that begin so, and none at all means everything. ``admin`` may use the API as well. Limits are
    in nanodollars per UTC day and month, times in unix ms.
    """

    name: str
    admin: bool = False
    models: tuple[str, ...] = ()
    daily_limit: int | None = None
    monthly_limit: int | None = None
    created: int = 0
    expires: int | None = None
    used: int | None = None

    def allows(self, model: str) -> bool:
        """Whether this model may be asked for."""
        return not self.models or any(
            model.startswith(allowed[:-1]) if allowed.endswith("*") else model == allowed for allowed in self.models
        )

    @property
    def spender(self) -> Spender:
        """On whose behalf its calls are made."""
        return Spender(self.name, self.daily_limit, self.monthly_limit)


class Tokens:
    """The stored tokens."""

    def __init__(self, database: Database, clock: Callable[[], int] = unix_ms) -> None:
        self._database = database
        self._clock = clock

    def make(self, token: Token) -> tuple[Token, Secret]:
        """Store a new token and give it with its text, which cannot be had again. A name in use is InvalidInput."""
        check_name(token.name, "token")
        now = self._clock()
        if token.expires is not None and token.expires <= now:
            raise InvalidInput("The token would have expired already.", place="expires", hint="Name a later time.")
        text = PREFIX + secrets.token_urlsafe(32)
        made = msgspec.structs.replace(token, created=now, used=None)
        new = self._database.execute(
            "INSERT INTO chatstep_tokens (name, digest, admin, models, daily_limit, monthly_limit, created, expires)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
            (made.name, _digest(text), int(made.admin), _json(made.models), made.daily_limit, made.monthly_limit, now,
             made.expires),
        )  # fmt: skip
        if not new:
            raise InvalidInput(
                f"There is a token called '{made.name}' already.",
                place="token",
                hint="Choose another name, or revoke that one first.",
            )
        return made, Secret(text)

    def find(self, text: str) -> Token | None:
        """The token of that text, unless it has expired; its use is noted, to the hour."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM chatstep_tokens WHERE digest = ?",  # noqa: S608 - a constant
            (_digest(text),),
        )
        if not rows:
            return None
        token, now = _from_row(rows[0]), self._clock()
        if token.expires is not None and token.expires <= now:
            return None
        if token.used is None or now - token.used > 3_600_000:
            self._database.execute("UPDATE chatstep_tokens SET used = ? WHERE name = ?", (now, token.name))
        return token

    def all(self) -> list[Token]:
        """All tokens, by name."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM chatstep_tokens")  # noqa: S608 - a constant
        return sorted(map(_from_row, rows), key=lambda token: token.name)

    def revoke(self, name: str) -> None:
        """Remove a token; what it spent stays in the ledger. Raises UnknownName."""
        if not self._database.execute("DELETE FROM chatstep_tokens WHERE name = ?", (findable(name),)):
            raise nothing_called("token", name, (token.name for token in self.all()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _json(models: Sequence[str]) -> str:
    return msgspec.json.encode(models).decode()


def _from_row(row: tuple[Any, ...]) -> Token:
    name, admin, models, daily, monthly, created, expires, used = row
    return Token(
        name=name,
        admin=bool(admin),
        models=msgspec.json.decode(models, type=tuple[str, ...]),
        daily_limit=daily,
        monthly_limit=monthly,
        created=created,
        expires=expires,
        used=used,
    )
