"""`chatstep complete --dry-run`: the very Draft that a real run sends, and its picture.

Needs no key; without any connection OpenAI's own is assumed. `transcript` and the demo look at prompts in the same way.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from chatstep.cli.picture import Picture, picture_of
from chatstep.cli.screen import console, print_json
from chatstep.cli.session import open_app
from chatstep.errors import InvalidInput
from chatstep.modules.openai.connection import Endpoint
from chatstep.modules.openai.drafting import draft_for
from chatstep.modules.openai.inputs import MakeChatCompletion, make_inputs
from chatstep.modules.openai.request import Draft
from chatstep.registry import connection_kind

if TYPE_CHECKING:
    from chatstep.app import App

__all__ = ["Form", "Preview", "look", "preview"]

Form = Literal["drawing", "full drawing", "report", "body"]


class Preview(Struct):
    """A draft, and what it was made from."""

    inputs: MakeChatCompletion
    draft: Draft
    endpoint: Endpoint
    connection: str


class _NoConnection:
    """OpenAI as anybody meets it: for a look before there is a connection."""

    name, kind, limited, turn = "none yet", "openai", False, None

    def __init__(self) -> None:
        self.opened: Endpoint = connection_kind("openai").open({}, {})

    def traits(self, model: str) -> dict[str, Any]:
        return {}

    async def learn(self, model: str, traits: dict[str, Any]) -> None:
        """Nothing is sent, so nothing is learnt."""

    async def reserve(self, worst_case: int, instead_of: int | None = None) -> int | None:
        """Nothing is spent."""
        return None


async def preview(fields: dict[str, Any], *, stream: bool, form: Form) -> None:
    """Print the dry run of these inputs: drawn, as data, or exactly the body without a line end."""
    async with open_app() as app:
        found = await look(app, fields, stream=stream)
    if form == "body":
        sys.stdout.buffer.write(found.draft.encoded())
        sys.stdout.buffer.flush()
        return
    picture = await asyncio.to_thread(picture_of, found)
    if form == "report":
        print_json(picture)
        return
    await asyncio.to_thread(_draw, picture, full=form == "full drawing")


def _draw(picture: Picture, *, full: bool) -> None:
    from chatstep.cli.drawing import draw

    draw(picture, console(), full=full)


async def look(app: App, fields: dict[str, Any], *, stream: bool) -> Preview:
    """What would be sent, on the connection that is named, the default, or none yet."""
    try:
        inputs = await app.inputs("", fields)
    except InvalidInput:
        if fields.get("connection") or await _has_connections(app):
            raise
        none = _NoConnection()
        model = {"model": app.settings.model} if app.settings.model else {}
        inputs = make_inputs("", {**model, **fields, "connection": none.name})
        draft = await asyncio.to_thread(draft_for, inputs, none, stream=stream)
        return Preview(inputs, draft, none.opened, none.name)
    connection = await app.connections.unsealed(inputs.connection, key=False)
    try:
        draft = await asyncio.to_thread(draft_for, inputs, connection, stream=stream)
        return Preview(inputs, draft, connection.opened, connection.name)
    finally:
        await connection.close()


async def _has_connections(app: App) -> bool:
    known = await asyncio.to_thread(app.connections.all)
    return any(origin.origin != "built in" for origin in known)
