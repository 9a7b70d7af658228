"""The API: connections. Keys come in under `secrets` and never go out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

from chatstep.app import App
from chatstep.connections import (
    RESERVED,
    Origin,
    check_has_cost,
    kind_named,
    nanodollars_of,
    serves,
    settings_of,
)
from chatstep.connections.facts import address, facts_of
from chatstep.errors import ChatstepError, InvalidInput
from chatstep.modules.openai.connection import checked_key
from chatstep.modules.openai.offered import Offered, ask_for_all, some_model
from chatstep.registry import connection_kind, connection_kinds, unknown
from chatstep.secret import Secret
from chatstep.server.api.endpoints import Body, delete, get, patch, post
from chatstep.server.api.shapes import Dollars, Page, PageWanted, dollars_text, paged
from chatstep.step import ConnectionKind
from chatstep.store import StoredConnection

__all__ = ["add", "change", "connection", "connections", "models", "remove", "test"]

Limit = Annotated[str, Meta(description="Dollars, such as 5 or 0.50.")]
Texts = dict[str, str]


class Connection(Struct, kw_only=True):
    """A connection. `origin` is store, environment or built in; `default` is the one used where none is named."""

    name: str
    kind: str
    origin: str
    address: str
    default: bool


class ConnectionDetails(Connection, kw_only=True):
    """A connection with all that may be known of it. `secrets` names those that are set; `learnt` is by model."""

    settings: dict[str, Any]
    secrets: tuple[str, ...]
    daily_limit: Dollars | None
    monthly_limit: Dollars | None
    daily_spent: Dollars
    monthly_spent: Dollars
    learnt: dict[str, dict[str, Any]]


class NewConnection(Body, kw_only=True):
    """A connection to be added. `/api/modules` tells the kinds, and the settings and secrets of each."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    kind: Annotated[str | None, Meta(description="openai where neither this nor a preset is given.")] = None
    preset: Annotated[str | None, Meta(description="A known compatible server, such as ollama or groq.")] = None
    settings: Texts = field(default_factory=dict)
    secrets: Texts = field(default_factory=dict)
    daily_limit: Limit | None = None
    monthly_limit: Limit | None = None


class ConnectionChange(Body, kw_only=True):
    """What is to be changed: settings and secrets that are named, and limits; null lifts a limit."""

    settings: Texts = field(default_factory=dict)
    secrets: Texts = field(default_factory=dict)
    daily_limit: Limit | UnsetType | None = UNSET
    monthly_limit: Limit | UnsetType | None = UNSET


class Trial(Body, kw_only=True):
    """What to try. Without a model, one is chosen."""

    model: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Tried(Struct, kw_only=True):
    """How a trial ended: with a message, or with what was wrong."""

    ok: bool
    model: str
    message: str | None = None
    error: dict[str, Any] | None = None


@get("/api/connections")
async def connections(app: App, query: PageWanted) -> Page[Connection]:
    """The connections, by name: stored ones, the environment's, and the built-in rehearsal."""
    found, default = await asyncio.to_thread(_all, app)
    return paged(found, lambda origin: origin.stored.name, lambda origin: _shown(origin, default), query)


@post("/api/connections", status=201)
async def add(app: App, body: NewConnection) -> ConnectionDetails:
    """Add a connection. It is checked first, and stored with its secrets sealed."""
    await asyncio.to_thread(_add, app, body)
    return await connection(app, body.name)


@get("/api/connections/{connection}")
async def connection(app: App, connection: str) -> ConnectionDetails:
    """One connection: settings, limits, what was spent, what was learnt. Never its secrets."""
    return await asyncio.to_thread(_details, app, connection)


@patch("/api/connections/{connection}")
async def change(app: App, connection: str, body: ConnectionChange) -> ConnectionDetails:
    """Change a stored connection. Calls under way end as they began."""
    await asyncio.to_thread(_change, app, connection, body)
    app.connections.expire()
    return await asyncio.to_thread(_details, app, connection)


@delete("/api/connections/{connection}")
async def remove(app: App, connection: str) -> None:
    """Remove a stored connection with its secrets and what was learnt; records of usage stay."""
    _check_stored(connection)
    await asyncio.to_thread(app.store.connections.remove, connection)
    app.connections.expire()


@get("/api/connections/{connection}/models", asks=True)
async def models(app: App, connection: str, query: PageWanted) -> Page[Offered]:
    """The models that the connection's server offers, as it says now."""
    found = await ask_for_all(app.context, await app.connections.get(connection))
    return paged(found, lambda model: model.id, lambda model: model, query)


@post("/api/connections/{connection}/test", asks=True)
async def test(app: App, connection: str, body: Trial) -> Tried:
    """Make the call that the step makes, and say what is wrong. It may cost a fraction of a cent."""
    opened = await app.connections.get(connection)
    model = body.model or app.settings.model
    try:
        model = model or await some_model(app.context, opened)
        done = await app.complete("Say hello.", connection=connection, model=model, max_tokens=32)
    except ChatstepError as error:
        shown = {"code": error.code, "message": error.message, "hint": error.hint}
        return Tried(ok=False, model=model or "", error=shown)
    return Tried(ok=True, model=done.model or model, message=done.message)


def _all(app: App) -> tuple[list[Origin], str | None]:
    try:
        default = app.connections.default()
    except InvalidInput:
        default = None
    return app.connections.all(), default


def _shown(origin: Origin, default: str | None) -> Connection:
    stored = origin.stored
    return Connection(
        name=stored.name,
        kind=stored.kind,
        origin=origin.origin,
        address=address(origin),
        default=stored.name == default,
    )


def _details(app: App, name: str) -> ConnectionDetails:
    facts = facts_of(app.connections.find(name), app.store)
    _, default = _all(app)
    return ConnectionDetails(
        name=facts.name,
        kind=facts.kind,
        origin=facts.origin,
        address=facts.address,
        default=facts.name == default,
        settings=facts.settings,
        secrets=tuple(facts.secrets),
        daily_limit=None if facts.daily_limit is None else dollars_text(facts.daily_limit),
        monthly_limit=None if facts.monthly_limit is None else dollars_text(facts.monthly_limit),
        daily_spent=dollars_text(facts.daily_spent),
        monthly_spent=dollars_text(facts.monthly_spent),
        learnt=facts.learnt,
    )


def _check_stored(name: str) -> None:
    if name in RESERVED:
        raise InvalidInput(f"{name!r} is not stored, so it cannot be changed.", place="connection")


def _add(app: App, body: NewConnection) -> None:
    if body.name in RESERVED:
        raise InvalidInput(f"{body.name!r} is built in.", place="name", hint="Choose another.")
    kind = kind_named(body.kind, body.preset)
    settings = settings_of(kind, body.settings, body.preset)
    daily = nanodollars_of(body.daily_limit, "daily_limit")
    monthly = nanodollars_of(body.monthly_limit, "monthly_limit")
    if daily or monthly:
        check_has_cost(kind.name, kind.serves or kind.name)
    secrets = _secrets(kind, body.secrets)
    for each in kind.fields:
        if each.secret and each.required and each.name not in secrets:
            raise InvalidInput(f"{each.title} is missing.", place=f"secrets.{each.name}")
    kind.open(settings, secrets)
    module = connection_kinds()[kind.name][0].name
    app.store.connections.add(StoredConnection(body.name, module, kind.name, settings, daily, monthly), secrets)


def _change(app: App, name: str, body: ConnectionChange) -> None:
    _check_stored(name)
    store = app.store.connections
    stored = store.get(name)
    kind = connection_kind(stored.kind)
    preset = stored.settings.get("preset")
    if body.settings:
        settings = settings_of(kind, {**_without_preset(stored.settings), **body.settings}, preset)
        stored = replace(stored, settings=settings)
    if body.daily_limit is not UNSET:
        stored = replace(stored, daily_limit=nanodollars_of(body.daily_limit, "daily_limit"))
    if body.monthly_limit is not UNSET:
        stored = replace(stored, monthly_limit=nanodollars_of(body.monthly_limit, "monthly_limit"))
    if stored.daily_limit or stored.monthly_limit:
        check_has_cost(stored.kind, serves(stored))
    given = _secrets(kind, body.secrets)
    secrets = {**store.secrets(name), **given} if given else None
    if body.settings or given:
        kind.open(stored.settings, store.secrets(name) if secrets is None else secrets)
    store.update(stored, secrets)


def _without_preset(settings: dict[str, Any]) -> Texts:
    return {name: str(value) for name, value in settings.items() if name != "preset"}


def _secrets(kind: ConnectionKind, given: Texts) -> dict[str, Secret]:
    fields = [each.name for each in kind.fields if each.secret]
    for name in given:
        if name not in fields:
            raise unknown(f"secret of a connection of kind {kind.name!r}", name[:80], fields, place="secrets")
    return {name: checked_key(text, f"secrets.{name}") for name, text in given.items()}
