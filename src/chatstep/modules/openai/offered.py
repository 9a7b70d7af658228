"""What a connection's server offers: `GET /models`, and its word on when a model ends.

For doors that list models or try a connection. A shutdown date that the server tells is kept as a trait, so that the
step warns of it.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from chatstep.errors import AnswerUnreadable, ChatstepError
from chatstep.http.values import Patience, Reply, Request, Timeouts
from chatstep.modules.openai.connection import Endpoint, endpoint_of
from chatstep.modules.openai.inputs import DEFAULT_MODEL
from chatstep.modules.openai.refusals import read_refusal
from chatstep.step import Connection, Context

__all__ = ["Offered", "ask_about", "ask_for_all", "some_model"]

_TIMEOUTS = Timeouts(total=30.0)
_PATIENCE = Patience()

T = TypeVar("T", bound=Struct)


class Offered(Struct, frozen=True):
    """A model as the server lists it."""

    id: str
    created: int | None = None
    owned_by: str | None = None
    shutdown_date: str | None = None


class _Listed(Struct, frozen=True):
    data: list[Offered]


async def ask_for_all(ctx: Context, connection: Connection) -> list[Offered]:
    """The models on offer, by name; shutdown dates are kept. Raises the errors of the step."""
    listed = await _ask(ctx, endpoint_of(connection), None, _Listed)
    await _keep(connection, listed.data)
    return sorted(listed.data, key=lambda model: model.id)


async def ask_about(ctx: Context, connection: Connection, model: str) -> Offered | None:
    """One model, or None where the server does not describe models; its shutdown date is kept."""
    try:
        found = await _ask(ctx, endpoint_of(connection), model, Offered)
    except ChatstepError:
        return None
    await _keep(connection, [found])
    return found


async def some_model(ctx: Context, connection: Connection) -> str:
    """A model to try: the step's default, or the first on offer where that one cannot be expected."""
    if connection.kind != "compatible":
        return DEFAULT_MODEL
    offered = await ask_for_all(ctx, connection)
    return offered[0].id if offered else DEFAULT_MODEL


async def _ask(ctx: Context, endpoint: Endpoint, model: str | None, kind: type[T]) -> T:
    request = Request("GET", endpoint.models_url(model), endpoint.headers())
    patience = _PATIENCE if endpoint.tries is None else Patience(tries=endpoint.tries)
    try:
        found: T = await ctx.send(request, lambda reply: _decoded(reply, kind), timeouts=_TIMEOUTS, patience=patience)
    except ChatstepError as error:
        if endpoint.key is not None:
            endpoint.key.keep_out_of(error)
        raise
    return found


def _decoded(reply: Reply, kind: type[T]) -> T:
    if not 200 <= reply.status < 300:
        raise read_refusal(reply.status, reply.headers, reply.body)
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (ValueError, RecursionError):
        raise AnswerUnreadable(
            "The server's list of models cannot be read.",
            hint="Not every compatible server lists its models; name one with --model.",
        ) from None


async def _keep(connection: Connection, models: list[Offered]) -> None:
    for model in models:
        if model.shutdown_date:
            await connection.learn(model.id, {"shutdown_date": model.shutdown_date})
