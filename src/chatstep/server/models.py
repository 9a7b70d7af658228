"""``GET /v1/models``: what may stand as a model in a request, as CONNECTION/MODEL and flow/NAME."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

from chatstep.connections import MODELS, serves
from chatstep.errors import ChatstepError
from chatstep.modules.openai.offered import Offered, ask_about, ask_for_all
from chatstep.modules.openai.wire import encode
from chatstep.registry import unknown
from chatstep.server.doors import Asked
from chatstep.server.flow_models import FLOW, FlowModels
from chatstep.server.naming import connection_for

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.store import Token

__all__ = ["Models"]

_FRESH = 300.0  # seconds
_PATIENCE = 5.0  # seconds that one connection's list may take


class _List(Struct):
    data: list[dict[str, object]]
    object: str = "list"


class Models:
    """The models of all connections; a connection that does not answer in time is left out."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._flows = FlowModels(app)
        self._known: dict[str, tuple[list[Offered], float]] = {}

    async def all(self, asked: Asked) -> web.StreamResponse:
        """The whole list, less what the token may not use."""
        return _json(encode(_List(list((await self._by_name(asked.token)).values()))))

    async def one(self, asked: Asked) -> web.StreamResponse:
        """One model; raises UnknownName with near ones."""
        name = asked.names["model"]
        known = await self._by_name(asked.token)
        found = known.get(name) or await self._asked_for(name, asked.token)
        if found is None:
            raise unknown("model", name[:200], known, place="model")
        return _json(encode(found))

    async def _asked_for(self, name: str, token: Token | None) -> dict[str, object] | None:
        """A model that no list names, as its server describes it: servers know more than they list."""
        if name.startswith(FLOW) or not (token is None or token.allows(name)):
            return None
        context = self._app.context
        try:
            connection, model = await connection_for(self._app, name, context)
            async with asyncio.timeout(_PATIENCE):
                offered = await ask_about(context, connection, model)
        except (ChatstepError, TimeoutError):
            return None
        return None if offered is None else _as_listed(name, offered, connection.name)

    async def _by_name(self, token: Token | None) -> dict[str, dict[str, object]]:
        origins = await asyncio.to_thread(self._app.connections.all)
        names = [origin.stored.name for origin in origins if serves(origin.stored) == MODELS]
        lists = await asyncio.gather(*(self._of(name) for name in names))
        found = {
            name: _as_listed(name, Offered(name, created=since), "chatstep")
            for name, since in (await self._flows.names()).items()
            if token is None or token.allows(name)
        }
        for connection, offered in zip(names, lists, strict=True):
            for model in offered:
                name = f"{connection}/{model.id}"
                if token is None or token.allows(name):
                    found[name] = _as_listed(name, model, connection)
        return found

    async def _of(self, connection: str) -> list[Offered]:
        offered, until = self._known.get(connection, ([], 0.0))
        if until > time.monotonic():
            return offered
        context = self._app.context
        try:
            async with asyncio.timeout(_PATIENCE):
                offered = await ask_for_all(context, await context.connection(connection))
        except (ChatstepError, TimeoutError):
            offered = []
        self._known[connection] = (offered, time.monotonic() + (_FRESH if offered else _PATIENCE))
        return offered


def _as_listed(name: str, model: Offered, connection: str) -> dict[str, object]:
    listed: dict[str, object] = {
        "id": name,
        "object": "model",
        "created": model.created or 0,
        "owned_by": model.owned_by or connection,
    }
    if model.shutdown_date:
        listed["shutdown_date"] = model.shutdown_date
    return listed


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
