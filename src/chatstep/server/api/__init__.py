"""The API: what `chatstep serve` does, for programs. One file for each thing that it is about.

`endpoints` makes doors of functions, `document` describes them all.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from msgspec import json

from chatstep.app import App
from chatstep.server.api import connections, conversations, flows, modules, runs, tokens, usage
from chatstep.server.api.document import document
from chatstep.server.api.endpoints import ENDPOINTS, door
from chatstep.server.doors import Asked, Doors
from chatstep.server.under_way import UnderWay

__all__ = ["open_api"]

DOCUMENT = "/api/openapi.json"
PARTS = (connections, flows, runs, conversations, usage, modules, tokens)
"""The files whose endpoints there are."""


def open_api(doors: Doors, app: App, under_way: UnderWay) -> None:
    """Open all doors of the API: to admins, where tokens were made."""
    for endpoint in ENDPOINTS:
        doors.add(endpoint.method, endpoint.address, door(app, endpoint, under_way), "admins")
    doors.add("GET", DOCUMENT, _document)


async def _document(asked: Asked) -> web.StreamResponse:
    return web.Response(body=json.encode(await asyncio.to_thread(document)), content_type="application/json")
