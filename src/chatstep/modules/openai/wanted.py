"""What a client of the gateway wants: its request's body, each field as it was written, and the few that are looked at.

For `forward`. Bodies are not taken apart further than that: tools, pictures and fields of tomorrow pass as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from chatstep.errors import InvalidInput
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.tokens import PER_MESSAGE, PER_NAME, REPLY, Counter
from chatstep.modules.openai.wire import encode

__all__ = ["Wanted", "adapted", "most_tokens", "read_wanted", "values_of"]

_LONGEST_MODEL = 500  # characters
_MISSING = "Object missing required field `"
_LIMITS = ("max_completion_tokens", "max_tokens")


class Wanted(Struct, frozen=True):
    """A request body as its client wrote it: each field as its own bytes, and the few that are looked at."""

    fields: dict[str, Raw]
    model: str
    stream: bool
    include_usage: bool
    limit: int | None
    tier: str | None
    choices: int


class _Options(Struct):
    include_usage: bool | None = None


class _Looked(Struct):
    """The fields of a request that the gateway reads itself."""

    model: str
    messages: Raw
    stream: bool | None = None
    stream_options: _Options | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    service_tier: str | None = None
    n: int | None = None


_looked = msgspec.json.Decoder(_Looked).decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def read_wanted(body: bytes) -> Wanted:
    """Read a request; raises InvalidInput with the field where it is none."""
    try:
        if not body.isascii():
            body.decode()  # texts are passed on as bytes, which nobody else would look at
        fields, looked = _fields(body), _looked(body)
    except msgspec.ValidationError as problem:
        message, _, place = str(problem).partition(" - at `$.")
        missing = message.removeprefix(_MISSING).rstrip("`") if message.startswith(_MISSING) else ""
        raise InvalidInput(f"{message}.", place=place.rstrip("`") or missing or "body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("The body could not be parsed as JSON.", place="body") from None
    if len(looked.model) > _LONGEST_MODEL or not looked.model.isprintable():
        message = f"A model's name has at most {_LONGEST_MODEL} characters, which can be printed."
        raise InvalidInput(message, place="model")
    if looked.stream_options is not None and not looked.stream:
        raise InvalidInput("'stream_options' is allowed only when 'stream' is true.", place="stream_options")
    limit = looked.max_completion_tokens if looked.max_completion_tokens is not None else looked.max_tokens
    return Wanted(
        fields=fields,
        model=looked.model,
        stream=bool(looked.stream),
        include_usage=bool(looked.stream_options and looked.stream_options.include_usage),
        limit=limit,
        tier=looked.service_tier,
        choices=looked.n or 1,
    )


def adapted(wanted: Wanted, model: str, dialect: Dialect) -> dict[str, Raw]:
    """The fields as this server takes them."""
    fields = {**wanted.fields, "model": Raw(encode(model))}
    given = [name for name in _LIMITS if name in fields]
    if len(given) == 1 and given[0] != dialect.limit_field:
        fields[dialect.limit_field] = fields.pop(given[0])
    for refused in dialect.refused:
        name, _, value = refused.partition("=")
        if name in fields and name not in _LIMITS and (not value or bytes(fields[name]) == encode(value)):
            del fields[name]
    if wanted.stream and "stream_options" not in dialect.refused:
        fields["stream_options"] = _with_usage(wanted.fields.get("stream_options"))
    return fields


def values_of(fields: Mapping[str, Raw]) -> dict[str, Any]:
    """What the fields hold, without the messages, as far as it can be read: a number may be too large for us."""
    values: dict[str, Any] = {"messages": ()}
    for name, raw in fields.items():
        if name != "messages":
            try:
                values[name] = msgspec.json.decode(raw)
            except (msgspec.DecodeError, RecursionError):
                values[name] = None
    return values


def _with_usage(options: Raw | None) -> Raw:
    given = msgspec.json.decode(options, type=dict[str, Raw] | None) if options is not None else None
    return Raw(encode({**(given or {}), "include_usage": True}))


_NOT_TEXT = frozenset({"image_url", "input_audio", "file"})


def most_tokens(fields: Mapping[str, Raw], counter: Counter) -> int | None:
    """The most tokens of a prompt: messages counted, all else by its bytes; None where a part is not text."""
    tokens = REPLY + sum(len(raw) for name, raw in fields.items() if name not in ("messages", "model"))
    try:
        messages = msgspec.json.decode(fields["messages"])
    except (msgspec.DecodeError, RecursionError):
        return None
    for message in messages if isinstance(messages, list) else ():
        texts = _texts(message)
        if texts is None:
            return None
        tokens += PER_MESSAGE + PER_NAME + sum(counter[text] + 1 for text in texts)
    return tokens


def _texts(value: Any) -> list[str] | None:
    """All texts in a message, names of fields among them; None where it holds a picture, a sound or a file."""
    found: list[str] = []
    waiting = [value]  # no recursion: clients nest as deeply as they like
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, Mapping):
            if not _NOT_TEXT.isdisjoint(value):
                return None
            waiting += (*value.keys(), *value.values())
        elif isinstance(value, list):
            waiting += value
        elif value is not None:
            found.append(str(value))
    return found
