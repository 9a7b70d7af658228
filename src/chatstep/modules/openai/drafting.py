"""The request that inputs make on a connection: with what is known of the model, and what was learnt of the server.

A dry run and a real one share it. Nothing is sent here; the clock is read for the warning about a model's end.
"""

from __future__ import annotations

import time
from datetime import date
from functools import lru_cache

from msgspec.structs import replace

from chatstep.errors import DoesNotFit
from chatstep.modules.openai import prices
from chatstep.modules.openai.connection import endpoint_of
from chatstep.modules.openai.inputs import MakeChatCompletion
from chatstep.modules.openai.models import facts, shutdown_warning
from chatstep.modules.openai.request import Draft, draft
from chatstep.modules.openai.tokens import ByteCounter, counter_for, is_loaded
from chatstep.step import Connection

__all__ = ["draft_for", "takes_long"]

_LARGE = 100_000  # characters that take 10 ms to count
_MANY = 2000  # messages
_LOOKED_AT = 500  # messages whose size is added up
_WORTH_A_LOOK = 8_000  # characters: with less, hardly any window is too small
_EPOCH = date(1970, 1, 1).toordinal()


def takes_long(inputs: MakeChatCompletion, connection: Connection, *, roughly: bool) -> bool:
    """Whether `draft_for` should run in a thread: much is to be counted, or a table is to be loaded first."""
    size = len(inputs.instructions)
    size += len(inputs.message if isinstance(inputs.message, str) else inputs.message.text)
    if inputs.history is not None:
        messages = inputs.history.messages
        if len(messages) > _MANY:
            return True
        size += sum([len(message.text or "") for message in messages[-_LOOKED_AT:]])
    if size <= _WORTH_A_LOOK:
        return not roughly and not is_loaded(facts(inputs.model).encoding)
    if size > _LARGE:
        return True
    known = facts(inputs.model)
    return not is_loaded(known.encoding) or (known.window is None and not connection.traits(inputs.model).get("window"))


def draft_for(
    inputs: MakeChatCompletion,
    connection: Connection,
    *,
    stream: bool,
    roughly: bool = False,
    window: int | None = None,
) -> Draft:
    """The request that these inputs make on this connection; nothing is sent. A dry run and a real one share it.

    ``roughly`` lets a prompt that fits even by its bytes go uncounted, where the tokenizer is not loaded yet. The
    messages are the same; only the count in the report is an upper one. ``window`` is one that was just met.
    """
    endpoint = endpoint_of(connection)
    traits = connection.traits(inputs.model)
    known = facts(inputs.model)
    dialect = endpoint.dialect.with_traits(traits)
    if known.window is None and dialect.window is None and _is_long(inputs):
        window = window or prices.window(inputs.model, endpoint.priced_at)
    if window is not None:
        dialect = replace(dialect, window=min(window, dialect.window or window))
    made: Draft | None = None
    if roughly and not is_loaded(known.encoding):
        try:
            made = draft(inputs, known, dialect, ByteCounter(), stream=stream)
        except DoesNotFit:
            made = None  # by its bytes; its tokens may be few enough
    if made is None or (made.prompt.dropped and any(dropped.reason == "budget" for dropped in made.prompt.dropped)):
        made = draft(inputs, known, dialect, counter_for(known.encoding), stream=stream)
    shutdown = traits.get("shutdown_date") or (known.shutdown if endpoint.kind == "openai" else None)
    if shutdown and not endpoint.free:
        warning = _shutdown_warning(inputs.model, int(time.time()) // 86_400, shutdown, known.replacement)
        if warning:
            made.warnings.append(warning)
    return made


def _is_long(inputs: MakeChatCompletion) -> bool:
    """Whether it is worth 0.2 s once to look for the window of a model that our own table does not know."""
    size = len(inputs.instructions) + sum(
        len(message.text) for message in (inputs.history.messages if inputs.history else ())[-2000:]
    )
    return size > _WORTH_A_LOOK


@lru_cache(maxsize=256)
def _shutdown_warning(model: str, day: int, shutdown: str, replacement: str | None) -> str | None:
    return shutdown_warning(model, date.fromordinal(_EPOCH + day), shutdown, replacement)
