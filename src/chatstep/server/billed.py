"""The App as a client of the server sees it: what a call costs is put down to the client's token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from chatstep.connections import OpenConnection
from chatstep.step import Context
from chatstep.store import Entry, Spender, Token

__all__ = ["BilledConnection", "BilledContext"]


class BilledConnection:
    """A connection whose calls also count against a token's limits (see `chatstep.step.Connection`)."""

    def __init__(self, connection: OpenConnection, spender: Spender) -> None:
        self.name, self.kind, self.opened = connection.name, connection.kind, connection.opened
        self.traits, self.learn, self.turn = connection.traits, connection.learn, connection.turn
        self._connection, self._spender = connection, spender

    @property
    def limited(self) -> bool:
        """Whether the connection or the token has a limit."""
        return self._connection.limited or self._spender.limited

    async def reserve(self, worst_case: int, instead_of: int | None = None) -> int | None:
        """Set the worst case aside for both."""
        return await self._connection.reserve(worst_case, instead_of, self._spender)


class BilledContext:
    """A Context whose calls are made on behalf of a token."""

    def __init__(self, inner: Context, token: Token) -> None:
        self._inner, self._token = inner, token
        self.conversations, self.run, self.listener = inner.conversations, inner.run, inner.listener

    async def connection(self, name: str) -> BilledConnection:
        """The connection of that name, open."""
        connection: Any = await self._inner.connection(name)
        return BilledConnection(connection, self._token.spender)

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """As the App sends."""
        return self._inner.send

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """As the App streams."""
        return self._inner.stream

    def emit(self, event: Any) -> None:
        """Put an entry of the ledger down to the token, and pass it on."""
        if isinstance(event, Entry):
            event.token = self._token.name
        self._inner.emit(event)
