"""/hooks/PATH: deliveries of webhooks become runs of flows.

A delivery is acknowledged once its run is stored. With ``?wait=SECONDS`` the answer holds the flow's outputs, if the
run ends in that time.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from chatstep.errors import ChatstepError, CredentialsRefused, UnknownName
from chatstep.flows.webhooks import LARGEST, Delivery, webhook_event
from chatstep.registry import near
from chatstep.secret import Secret
from chatstep.server.doors import Asked
from chatstep.server.envelope import NotServed

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.flows.definition import Flow, Trigger
    from chatstep.flows.records import RunRecord

__all__ = ["Hooks"]

LONGEST_WAIT = 300.0
_FRESH = 1.0  # seconds that the list of paths is believed


class Hooks:
    """Answers ``POST /hooks/PATH``."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._paths: dict[str, tuple[Flow, Trigger]] = {}
        self._until = 0.0

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """One delivery."""
        request, body = asked.request, asked.body
        if len(body) > LARGEST:
            raise NotServed(413, f"The body is larger than {LARGEST:,} bytes.", code="request_too_large")
        flow, trigger = await self._find(asked.names["path"].strip("/"))
        query = request.rel_url.raw_query_string
        wait = _wait(request.rel_url.query.get("wait"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        delivery = Delivery(headers=headers, body=body, query=query)
        try:
            event = webhook_event(trigger, delivery, await self._secret(trigger), time.time())
        except CredentialsRefused as error:
            raise NotServed(401, error.message, code="signature_refused") from None
        except ChatstepError as error:
            status = error.details.get("http_status", error.http_status)
            message = f"{error.place}: {error.message}" if error.place else error.message
            raise NotServed(status, message, code=error.code) from None
        started = await self._app.flows.start(flow.name, event)
        asked.visit.run = started.id
        if wait is not None:
            try:
                async with asyncio.timeout(wait):
                    return _json(200, _outcome(await self._app.flows.wait(started.id)))
            except TimeoutError:
                pass  # it goes on; its id says where to look
        return _json(202, {"run": started.id, "new": started.new})

    async def _find(self, path: str) -> tuple[Flow, Trigger]:
        if self._until < time.monotonic():
            self._paths = await self._published()
            self._until = time.monotonic() + _FRESH
        if path not in self._paths:
            close = near(path[:100], self._paths)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise NotServed(404, f"No published flow has a webhook at {path[:100]!r}.{hint}", code="unknown_url")
        return self._paths[path]

    async def _published(self) -> dict[str, tuple[Flow, Trigger]]:
        found: dict[str, tuple[Flow, Trigger]] = {}
        for published in await asyncio.to_thread(self._app.store.flows.all):
            flow = await self._app.flows.version(published.name, published.version)
            for trigger in flow.on:
                if trigger.type == "webhook" and trigger.path is not None:
                    found.setdefault(trigger.path.strip("/"), (flow, trigger))
        return found

    async def _secret(self, trigger: Trigger) -> Secret | None:
        """The secret of the trigger's connection; None where it has none or is not there, and then nothing passes."""
        if trigger.secret is None:
            return None
        try:
            opened = (await self._app.connections.get(trigger.secret)).opened
        except UnknownName:
            return None
        return opened if isinstance(opened, Secret) else None


def _wait(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise NotServed(
            400, f"`wait` is a number of seconds, 0 to {LONGEST_WAIT:g}.", code="invalid_value", param="wait"
        )
    return seconds


def _outcome(record: RunRecord) -> dict[str, Any]:
    said: dict[str, Any] = {"run": record.id, "state": record.state, "outputs": record.outputs}
    if record.error is not None:
        said["error"] = {"code": record.error.get("error"), "message": record.error.get("message")}
    if record.merged_into is not None:
        said["merged_into"] = record.merged_into
    return said


def _json(status: int, value: Any) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
