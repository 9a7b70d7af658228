"""Which connection a name means, opened for use: stored ones, the environment's, and the rehearsal provider's.

A stored connection is looked at again every half minute, so that a key which was replaced or removed elsewhere does not
stay in use in a long-running program.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

from msgspec import Struct

from chatstep.errors import InputError, InvalidInput, RateLimited, StoreError
from chatstep.modules.openai.environment import FromEnvironment
from chatstep.registry import connection_kind, connection_kinds, unknown
from chatstep.secret import Secret
from chatstep.store import Spender, Store, StoredConnection

__all__ = [
    "ENVIRONMENT",
    "MODELS",
    "REHEARSAL",
    "Connections",
    "OpenConnection",
    "Origin",
    "serves",
    "undone_if_cancelled",
]

ENVIRONMENT = "environment"
REHEARSAL = "rehearsal"
MODELS = "openai"
"""What connections serve that reach models (see `chatstep.step.ConnectionKind`)."""
_FRESH = 30.0  # seconds
_LONGEST_TURN = 300.0

T = TypeVar("T")

_log = logging.getLogger("chatstep")


class Origin(Struct, frozen=True):
    """A connection that can be named, and where it comes from: ``store``, ``environment`` or ``built in``."""

    stored: StoredConnection
    origin: str
    secrets: dict[str, Secret] = {}


class OpenConnection:
    """A connection in use (see `chatstep.step.Connection`)."""

    def __init__(self, origin: Origin, store: Store | None, traits: dict[str, dict[str, Any]]) -> None:
        self.name = origin.stored.name
        self.kind = origin.stored.kind
        self.origin = origin
        self.opened: Any = None
        self.limited = origin.stored.daily_limit is not None or origin.stored.monthly_limit is not None
        self.turn: Callable[[], Awaitable[None]] | None = None
        self.checked = time.monotonic()
        self._store = store
        self._traits = traits
        self._resources = AsyncExitStack()
        self._learning = asyncio.Lock()

    async def start(self, secrets: Mapping[str, Secret]) -> None:
        """Let the kind make its address and headers; a kind that has something to start gives a context for it."""
        opened = connection_kind(self.kind).open(self.origin.stored.settings, secrets)
        if hasattr(opened, "__aenter__"):
            opened = await self._resources.enter_async_context(opened)
        self.opened = opened
        if self._store is not None and getattr(opened, "per_minute", None):
            self.turn = self._turn

    async def _turn(self) -> None:
        """Wait until one more request may be sent; raises RateLimited when that is too far away."""
        if self._store is None:
            return
        wait = await asyncio.to_thread(self._store.turns.take, self.name, self.opened.per_minute, _LONGEST_TURN)
        if wait > _LONGEST_TURN:
            raise RateLimited(
                f"The connection {self.name!r} may send {self.opened.per_minute} requests a minute, and so many wait "
                f"that the next turn is {wait:.0f} seconds away.",
                hint="Raise its per_minute, or send less.",
                retry_after=wait,
                attempts=0,
            )
        await asyncio.sleep(wait)

    async def close(self) -> None:
        """End what `start` started."""
        await self._resources.aclose()

    @property
    def fresh(self) -> bool:
        """Whether it was looked at in the last half minute."""
        return time.monotonic() - self.checked < _FRESH

    def traits(self, model: str) -> dict[str, Any]:
        """What was learnt about this model here."""
        return self._traits.get(model, {})

    async def learn(self, model: str, traits: dict[str, Any]) -> None:
        """Remember it, also in the store."""
        self._traits[model] = {**self._traits.get(model, {}), **traits}
        if self._store is None:
            return
        try:
            async with self._learning:  # in the order of learning, as a later lesson may hold an earlier one
                await asyncio.to_thread(self._store.traits.put, self.name, model, traits)
        except StoreError as error:  # the call can go on, and only the next start has to learn it again
            _log.warning("What was learnt about connection %s could not be stored: %s", self.name, error)

    async def reserve(
        self, worst_case: int, instead_of: int | None = None, spender: Spender | None = None
    ) -> int | None:
        """Set the worst case aside (nanodollars); raises SpendLimitReached. ``instead_of`` is given back first.

        ``spender`` is on whose behalf, where he has limits of his own.
        """
        store, stored = self._store, self.origin.stored
        if store is None or not (self.limited or spender):
            return None
        ledger = store.ledger

        def reserve() -> int:
            if instead_of is not None:
                ledger.release(instead_of)
            now = time.time_ns() // 1_000_000
            return ledger.reserve(self.name, worst_case, stored.daily_limit, stored.monthly_limit, now, spender)

        return await undone_if_cancelled(reserve, ledger.release)


def serves(stored: StoredConnection) -> str:
    """The word by which steps ask for such a connection; empty where the package of its kind is gone."""
    found = connection_kinds().get(stored.kind)
    return (found[1].serves or found[1].name) if found else ""


async def undone_if_cancelled(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """What blocking ``work`` gives, run in a thread. A caller that is cancelled waits for its end and undoes it.

    A thread cannot be stopped, so what it opened or set aside would otherwise belong to nobody.
    """
    loop = asyncio.get_running_loop()
    running = loop.run_in_executor(None, work)  # no task, which the end of a program would cancel as well
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await loop.run_in_executor(None, undo, await running)
        raise


class Connections:
    """All connections that can be named, and those that are open.

    ``store`` gives the open store, ``given`` reads the environment's connection: it holds a key, so it is not kept.
    """

    def __init__(
        self,
        store: Callable[[], Store | None],
        given: Callable[[], FromEnvironment | None],
        default: str | None = None,
    ) -> None:
        self._store = store
        self._given = given
        self._default = default
        self._open: dict[str, OpenConnection] = {}
        self._replaced: list[OpenConnection] = []
        self._opening = asyncio.Lock()

    def all(self) -> list[Origin]:
        """Every connection, stored ones first. Blocks."""
        store = self._store()
        found = [Origin(stored, "store") for stored in store.connections.all()] if store else []
        names = {origin.stored.name for origin in found}
        return found + [origin for origin in self._implicit() if origin.stored.name not in names]

    def find(self, name: str) -> Origin:
        """The connection of that name; raises UnknownName with near ones. Blocks."""
        if name == ENVIRONMENT:
            self._given()  # here a wrong variable is an error; elsewhere it must not stand in the way of others
        known = self.all()
        for origin in known:
            if origin.stored.name == name:
                return origin
        raise unknown("connection", name, [origin.stored.name for origin in known], place="connection")

    def default(self) -> str:
        """The connection to models where none is named: the setting, the environment's, the only stored one. Blocks."""
        if self._default:
            return self._default
        if self._given() is not None:
            return ENVIRONMENT
        stored = [
            origin.stored.name
            for origin in self.all()
            if origin.origin == "store" and serves(origin.stored) in (MODELS, "")
        ]
        if len(stored) == 1:
            return stored[0]
        if stored:
            raise InvalidInput(
                "No connection was named, and there are several.",
                place="connection",
                hint=f"Name one of {', '.join(stored)}, or set CHATSTEP_CONNECTION.",
            )
        raise InvalidInput(
            "There is no connection yet.",
            place="connection",
            hint="Set OPENAI_API_KEY, or run `chatstep connections add NAME`. Without a key: `--connection rehearsal`.",
        )

    async def get(self, name: str) -> OpenConnection:
        """The connection of that name, open; raises UnknownName, SealError, InvalidInput."""
        found = self._open.get(name)
        if found is not None and found.fresh:
            return found
        async with self._opening:
            if self._store() is None:
                raise RuntimeError("The App is not open: use `async with App.open() as app`.")
            found = self._open.get(name)
            if found is not None and (found.fresh or await self._still_valid(found)):
                return found
            if found is not None:
                self._replaced.append(self._open.pop(name))  # calls under way use it still
            opened = await self.unsealed(name)
            self._open[name] = opened
            return opened

    async def unsealed(self, name: str, *, key: bool = True) -> OpenConnection:
        """Open a connection anew; without its key for a look at what would be sent."""
        origin, secrets, traits = await asyncio.to_thread(self._load, name, key)
        opened = OpenConnection(origin, self._store(), traits)
        await opened.start(secrets)
        return opened

    def expire(self) -> None:
        """Look at every stored connection again before its next use."""
        for opened in self._open.values():
            opened.checked = float("-inf")

    async def close(self) -> None:
        """Close what is open."""
        async with self._opening, AsyncExitStack() as stack:
            for opened in (*self._replaced, *self._open.values()):
                stack.push_async_callback(opened.close)
            self._replaced.clear()
            self._open.clear()

    async def _still_valid(self, found: OpenConnection) -> bool:
        if found.origin.origin == "store":
            try:
                now = await asyncio.to_thread(self.find, found.name)
            except InputError:
                return False
            if now.stored != found.origin.stored:
                return False
        found.checked = time.monotonic()
        return True

    def _load(self, name: str, key: bool) -> tuple[Origin, dict[str, Secret], dict[str, dict[str, Any]]]:
        origin, store = self.find(name), self._store()
        connection_kind(origin.stored.kind)  # the first time in a process this imports all modules
        secrets = dict(origin.secrets)
        if key and origin.origin == "store" and store is not None:
            secrets = store.connections.secrets(name)
        return origin, secrets, store.traits.all(name) if store is not None else {}

    def _implicit(self) -> list[Origin]:
        """The connections that nobody had to add."""
        found = []
        given = None
        with suppress(InvalidInput):
            given = self._given()
        if given is not None:
            stored = StoredConnection(ENVIRONMENT, "openai", given.kind, given.settings)
            found.append(Origin(stored, "environment", given.secrets))
        found.append(Origin(StoredConnection(REHEARSAL, "rehearsal", "rehearsal"), "built in"))
        return found
