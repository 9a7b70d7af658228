"""What Make Chat Completion takes and gives: the one declaration that forms, command line, checks and docs read."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import compress
from operator import is_not
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_args

from msgspec import Meta, Struct
from msgspec.structs import astuple, fields, force_setattr

from chatstep.errors import InvalidInput
from chatstep.message import History, Message, message_from
from chatstep.modules.openai.prices import Usage
from chatstep.modules.openai.speakers import Speakers
from chatstep.modules.openai.tail import Dropped
from chatstep.modules.openai.window import Window
from chatstep.registry import unknown

__all__ = ["DEFAULT_MODEL", "Completion", "CompletionFields", "Cost", "MakeChatCompletion", "make_inputs"]

DEFAULT_MODEL = "gpt-4o-mini"
MOST_TOKENS = 100_000_000
OWN_FIELDS = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "response_format",
        "reasoning_effort",
    }
)
STREAM_FIELDS = frozenset({"stream", "stream_options"})


class MakeChatCompletion(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step. A wrong value raises InvalidInput naming its field."""

    connection: Annotated[
        str,
        Meta(
            title="Connection",
            description="The name of the connection to use.",
            extra_json_schema={"format": "connection:openai"},
        ),
    ]
    model: Annotated[str, Meta(title="Model", description="The model that writes the message.")] = DEFAULT_MODEL
    instructions: Annotated[
        str, Meta(title="Instructions", description="How the assistant should behave. Empty: nothing is said of it.")
    ] = ""
    message: Annotated[
        str | Message, Meta(title="Message", description="The newest message, which is to be answered.")
    ] = ""
    history: Annotated[
        History | None,
        Meta(title="History", description="Earlier messages, and whose of them are the assistant's."),
    ] = None
    max_tokens: Annotated[
        int,
        Meta(
            title="Max Tokens",
            description="The longest reply, in tokens of about 4 characters. Raise it if replies stop short.",
            ge=1,
        ),
    ] = 256
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(title="Temperature", description="How freely words are chosen, 0 to 2."),
    ] = None
    top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(title="Top P", description="The share of likely words to choose from, 0 to 1."),
    ] = None
    stop: Annotated[
        str | tuple[str, ...] | None, Meta(title="Stop", description="Texts at which the reply ends, up to four.")
    ] = None
    seed: Annotated[
        int | None, Meta(title="Seed", description="The same number asks for the same reply, where a server can.")
    ] = None
    response_format: Annotated[
        dict[str, Any] | None,
        Meta(title="Response Format", description="The protocol's object, such as a JSON schema."),
    ] = None
    reasoning_effort: Annotated[
        str | None,
        Meta(title="Reasoning Effort", description="How long to think: none, minimal, low, medium, high, xhigh, max."),
    ] = None
    speakers: Annotated[
        Speakers,
        Meta(
            title="Speakers",
            description="How people are told apart: auto (when two or more speak), off, name (a field beside the "
            "message) or prefix (in front of its text).",
        ),
    ] = "auto"
    window: Annotated[
        Window,
        Meta(
            title="Window",
            description="Which part of a history is sent that does not fit: steady moves its start rarely, so that the "
            "provider's cache makes it cheaper; newest keeps as much as fits.",
        ),
    ] = "steady"
    history_tokens: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(title="History Tokens", description="The most tokens of history to send. Empty: what the model takes."),
    ] = None
    reasoning_room: Annotated[
        int,
        Meta(title="Reasoning Room", description="Tokens for thinking, on top of Max Tokens. They are paid for.", ge=0),
    ] = 0
    part_length: Annotated[
        Annotated[int, Meta(ge=20)] | None,
        Meta(title="Part Length", description="Also give the reply in parts of at most so many characters."),
    ] = None
    extra: Annotated[
        dict[str, Any] | None, Meta(title="Extra", description="Any other field of the request's body.")
    ] = None

    def __post_init__(self) -> None:
        # Most inputs are left as they are, and a default needs no check.
        for name in compress(_NAMES, map(is_not, astuple(self), _DEFAULTS)):
            _CHECKS[name](getattr(self, name), name)
        model = self.model.strip()
        if not model or not model.isprintable():
            raise InvalidInput("The model's name is empty or unprintable.", place="model", hint="Such as gpt-4o-mini.")
        if model != self.model:
            force_setattr(self, "model", model)


def _is(expected: str, *kinds: type) -> Callable[[Any, str], None]:
    """A check that a value is of one of these types."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, kinds):
            raise InvalidInput(f"Expected {expected}, got {type(value).__name__}.", place=place)

    return check


def _count(least: int, such_as: int) -> Callable[[Any, str], None]:
    """A check that a value is a whole number of tokens or characters, ``least`` or more."""
    hint = f"Write a whole number such as {such_as}."

    def check(value: object, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInput(f"Expected a whole number, got {reprlib.repr(value)}.", place=place, hint=hint)
        if value < least:
            raise InvalidInput(f"Must be {least} or more, is {_shown(value)}.", place=place, hint=hint)
        if value > MOST_TOKENS:
            raise InvalidInput(f"{_shown(value)} is more than any model takes.", place=place, hint=hint)

    return check


def _shown(value: int) -> str:
    return str(value) if abs(value) < 10**20 else "a number of many digits"


def _share(most: int) -> Callable[[Any, str], None]:
    """A check that a value is a number from 0 to ``most``."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= most:
            raise InvalidInput(f"Must be a number from 0 to {most}, is {reprlib.repr(value)}.", place=place)

    return check


def _choice(what: str, choices: tuple[str, ...]) -> Callable[[Any, str], None]:
    """A check that a value is one of these."""

    def check(value: object, place: str) -> None:
        if value not in choices:
            raise unknown(what, str(value)[:40], choices, place)

    return check


def _check_seed(value: object, place: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"Expected a whole number, got {type(value).__name__}.", place=place)


def _check_stop(value: object, place: str) -> None:
    _is("a text or several", str, tuple)(value, place)
    if isinstance(value, tuple) and not all(isinstance(text, str) for text in value):
        raise InvalidInput("Expected texts.", place=place)


def _check_extra(extra: dict[str, Any], where: str) -> None:
    _is("an object", dict)(extra, where)
    for name, value in extra.items():
        place = f"{where}.{name}"
        if name in OWN_FIELDS:
            raise InvalidInput(f"`{name}` has a field of its own.", place=place, hint="Use that.")
        if name in STREAM_FIELDS:
            raise InvalidInput("Whether to stream is decided by who calls the step.", place=place, hint="Leave it out.")
        if name == "n" and value != 1:
            raise InvalidInput("The step writes one message.", place=place, hint="Run it several times.")


_CHECKS: dict[str, Callable[[Any, str], None]] = {
    "connection": _is("text", str),
    "model": _is("text", str),
    "instructions": _is("text", str),
    "message": _is("text or a Message", str, Message),
    "history": _is("a History", History),
    "max_tokens": _count(1, 256),
    "temperature": _share(2),
    "top_p": _share(1),
    "stop": _check_stop,
    "seed": _check_seed,
    "response_format": _is("an object", dict),
    "reasoning_effort": _is("text", str),
    "speakers": _choice("way to tell speakers apart", get_args(Speakers)),
    "window": _choice("window", get_args(Window)),
    "history_tokens": _count(0, 4000),
    "reasoning_room": _count(0, 2048),
    "part_length": _count(20, 2000),
    "extra": _check_extra,
}
_NAMES = MakeChatCompletion.__struct_fields__
_KNOWN = frozenset(_NAMES)
_SPELLINGS = frozenset({"max_completion_tokens", "max_output_tokens"})
_DEFAULTS = tuple(field.default for field in fields(MakeChatCompletion))


class CompletionFields(TypedDict, total=False):
    """The inputs as keywords, for `complete`, `acomplete` and `App`; the three spellings of Max Tokens among them.

    A Path as ``history`` is a transcript to read; the App reads it.
    """

    connection: str
    model: str
    instructions: str
    history: History | Iterable[Any] | Path | None
    assistant: str | Iterable[str]
    max_tokens: int
    max_completion_tokens: int
    max_output_tokens: int
    temperature: float | None
    top_p: float | None
    stop: str | tuple[str, ...] | None
    seed: int | None
    response_format: dict[str, Any] | None
    reasoning_effort: str | None
    speakers: Speakers
    window: Window
    history_tokens: int | None
    reasoning_room: int
    part_length: int | None
    extra: dict[str, Any] | None


def make_inputs(message: object = "", fields: Mapping[str, Any] | None = None) -> MakeChatCompletion:
    """Inputs from loose values: messages in any accepted shape, any spelling of Max Tokens.

    Raises InvalidInput for a wrong value, UnknownName for a field that is none.
    """
    values = dict(fields or {})
    if not _SPELLINGS.isdisjoint(values):
        _spell_max_tokens(values)
    assistant = values.pop("assistant", None)
    if "history" in values:
        values["history"] = _history(values["history"], assistant)
    if "message" in values:
        message = values.pop("message")
    values["message"] = message if isinstance(message, (str, Message)) else message_from(message)
    if not _KNOWN.issuperset(values):
        name = next(name for name in values if name not in _KNOWN)
        raise unknown("input", name, _NAMES, place=name)
    if isinstance(values.get("stop"), list):
        values["stop"] = tuple(values["stop"])
    if "connection" not in values:
        raise InvalidInput("No connection was named.", place="connection", hint="Name one, such as rehearsal.")
    return MakeChatCompletion(**values)


def _spell_max_tokens(values: dict[str, Any]) -> None:
    for spelling in sorted(_SPELLINGS.intersection(values)):
        if "max_tokens" in values:
            raise InvalidInput("Max Tokens is given twice.", place=spelling, hint="Give it once, as max_tokens.")
        values["max_tokens"] = values.pop(spelling)


def _history(history: object, assistant: object) -> History | None:
    """A History from whatever was given; ``assistant`` given beside it outranks the one in it."""
    if history is None:
        return None
    messages: Any = history
    older_exist = False
    if isinstance(history, History):
        if not assistant:
            return history
        messages, older_exist = history.messages, history.older_exist
    elif isinstance(history, Mapping):
        for name in history:
            if name not in History.__struct_fields__:
                raise unknown("field", str(name)[:40], History.__struct_fields__, place="history")
        assistant, messages = assistant or history.get("assistant", ()), history.get("messages", ())
        older_exist = history.get("older_exist") is True
    if isinstance(history, (str, Path)):
        raise InvalidInput(
            f"Expected messages, got {'text' if isinstance(history, str) else 'a path'}.",
            place="history",
            hint="The App reads a file that is given as a pathlib.Path.",
        )
    who: Any = assistant
    return History(who or (), messages, older_exist)


class Cost(Struct, frozen=True):
    """An amount of money."""

    amount: Decimal
    currency: str = "USD"


class Completion(Struct, frozen=True, kw_only=True):
    """The output of the step: the message first, then how it came about. Never the conversation it was given."""

    message: Annotated[str, Meta(title="Message", description="The reply.")]
    finish_reason: Annotated[str, Meta(title="Finish Reason", description="Why the model stopped: stop, length, ...")]
    truncated: Annotated[bool, Meta(title="Truncated", description="Whether Max Tokens cut the reply.")]
    refusal: Annotated[str | None, Meta(title="Refusal", description="What the model said against it, if anything.")]
    model: Annotated[str, Meta(title="Model", description="The model that answered, as the provider names it.")]
    usage: Annotated[Usage, Meta(title="Usage", description="Tokens: prompt, cached, completion, reasoning, total.")]
    cost: Annotated[
        Cost | Literal["unknown"], Meta(title="Cost", description="What it cost, or unknown; never 0 by ignorance.")
    ]
    dropped: Annotated[
        tuple[Dropped, ...], Meta(title="Dropped", description="History messages that were left out, and why.")
    ] = ()
    message_parts: Annotated[
        tuple[str, ...], Meta(title="Message Parts", description="The reply in parts of Part Length, when asked for.")
    ] = ()
    request_id: Annotated[str | None, Meta(title="Request ID", description="The provider's name for the request.")] = (
        None
    )
    attempts: Annotated[int, Meta(title="Attempts", description="How many requests were sent.")] = 1
    duration: Annotated[float, Meta(title="Duration", description="Seconds from start to end.")] = 0.0
    warnings: Annotated[tuple[str, ...], Meta(title="Warnings", description="What somebody should know.")] = ()
