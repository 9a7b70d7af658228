"""Which connection, and which of its models, a client means by a model's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatstep.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.step import Connection, Context

__all__ = ["connection_for"]


async def connection_for(app: App, name: str, context: Context) -> tuple[Connection, str]:
    """``CONNECTION/MODEL``, or a bare MODEL on the default connection; raises UnknownName, InvalidInput."""
    first, slash, rest = name.partition("/")
    if not slash:
        return await context.connection(await app.default_connection()), name
    try:
        connection = await context.connection(first)
    except UnknownName as error:
        try:
            default = await app.default_connection()
        except InvalidInput:
            raise error.with_details(place="model") from None
        return await context.connection(default), name  # some providers' own names have a slash
    if not rest:
        raise InvalidInput("The model's name is empty.", place="model", hint="Write CONNECTION/MODEL.")
    return connection, rest
