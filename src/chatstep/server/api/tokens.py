"""The API: tokens of the server's clients."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Meta, Struct

from chatstep.app import App
from chatstep.connections import nanodollars_of
from chatstep.server.api.endpoints import Body, delete, get, post
from chatstep.server.api.shapes import Dollars, Page, PageWanted, Time, dollars_text, paged, time_of
from chatstep.store import Token as StoredToken

__all__ = ["make", "revoke", "tokens"]


class Token(Struct, kw_only=True):
    """A token without its text. It is good for `models`, one ending in `*` standing for all that begin so; none
    named: for all. An `admin` may use the API as well.
    """

    name: str
    admin: bool
    models: tuple[str, ...]
    daily_limit: Dollars | None
    monthly_limit: Dollars | None
    created: Time
    expires: Time | None
    used: Time | None


class NewToken(Body, kw_only=True):
    """A token to be made."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    admin: bool = False
    models: tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...] = ()
    days: Annotated[int, Meta(ge=1, le=36_500, description="It expires after so many days.")] | None = None
    daily_limit: Annotated[str, Meta(description="Dollars per UTC day, such as 5 or 0.50.")] | None = None
    monthly_limit: Annotated[str, Meta(description="Dollars per UTC month.")] | None = None


class MadeToken(Struct):
    """A new token, with the text that a client sends as its API key. The text cannot be had again."""

    token: Token
    text: str


@get("/api/tokens")
async def tokens(app: App, query: PageWanted) -> Page[Token]:
    """The tokens, by name, without their texts."""
    found = await asyncio.to_thread(app.store.tokens.all)
    return paged(found, lambda token: token.name, _shown, query)


@post("/api/tokens", status=201)
async def make(app: App, body: NewToken) -> MadeToken:
    """Make a token. From the first one on, every client needs one, also on this machine."""
    wanted = StoredToken(
        name=body.name,
        admin=body.admin,
        models=body.models,
        daily_limit=nanodollars_of(body.daily_limit, "daily_limit"),
        monthly_limit=nanodollars_of(body.monthly_limit, "monthly_limit"),
        expires=None if body.days is None else time.time_ns() // 1_000_000 + body.days * 86_400_000,
    )
    made, text = await asyncio.to_thread(app.store.tokens.make, wanted)
    return MadeToken(_shown(made), text.reveal())


@delete("/api/tokens/{token}")
async def revoke(app: App, token: str) -> None:
    """Revoke a token; it is refused within five seconds. What it spent stays in the ledger."""
    await asyncio.to_thread(app.store.tokens.revoke, token)


def _shown(token: StoredToken) -> Token:
    return Token(
        name=token.name,
        admin=token.admin,
        models=token.models,
        daily_limit=None if token.daily_limit is None else dollars_text(token.daily_limit),
        monthly_limit=None if token.monthly_limit is None else dollars_text(token.monthly_limit),
        created=time_of(token.created / 1000),
        expires=None if token.expires is None else time_of(token.expires / 1000),
        used=None if token.used is None else time_of(token.used / 1000),
    )
