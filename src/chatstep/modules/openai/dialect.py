"""What one server takes of the protocol, and how that is learnt from its refusals.

A connection kind gives the first Dialect; what a server refuses by naming a field changes it. The change is kept as
traits, plain data per connection and model, so that the same request is never refused twice, also after a restart.
A refusal that names nothing we know how to leave out teaches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

__all__ = ["DROPPABLE", "Dialect", "Refusal", "learn"]

LimitField = Literal["max_completion_tokens", "max_tokens"]

# Fields that a request can do without; everything else that is refused is the caller's business.
DROPPABLE = frozenset(
    {
        "reasoning_effort",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "verbosity",
        "stream_options",
        "include_obfuscation",
    }
)
_LIMITS: dict[str, LimitField] = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class Dialect(Struct, frozen=True):
    """What a server takes: the name of the token limit, fields it refuses, and its rules for messages."""

    limit_field: LimitField = "max_tokens"
    refused: frozenset[str] = frozenset()
    names: bool = False
    alternate: bool = False
    instructions_role: Literal["system", "developer"] = "system"
    obfuscation: bool = False
    window: int | None = None

    def with_traits(self, traits: Mapping[str, Any]) -> Dialect:
        """This dialect, changed by what was learnt; traits that a newer version wrote are passed over."""
        if not traits:
            return self
        known = {key: traits[key] for key in traits if key in Dialect.__struct_fields__}
        if not known:
            return self
        mine = msgspec.structs.asdict(self)
        try:
            learnt = msgspec.convert({**mine, **known}, Dialect)
        except msgspec.ValidationError:
            learnt = msgspec.convert({**mine, **_readable(known)}, Dialect)
        return replace(learnt, refused=self.refused | learnt.refused)

    def refuses(self, field: str, value: object = None) -> bool:
        """Whether the server is known to refuse this field, or this value of it."""
        return field in self.refused or (isinstance(value, str) and f"{field}={value}" in self.refused)

    def traits_from(self, base: Dialect) -> dict[str, Any]:
        """What differs from ``base``, as plain data for the store."""
        mine, theirs = msgspec.structs.asdict(self), msgspec.structs.asdict(base)
        changed = {key: value for key, value in mine.items() if value != theirs[key]}
        if "refused" in changed:
            changed["refused"] = sorted(self.refused - base.refused)
        return changed


def _readable(traits: Mapping[str, Any]) -> dict[str, Any]:
    """The traits whose values mean something to this version."""
    readable = {}
    for name, value in traits.items():
        try:
            msgspec.convert({name: value}, Dialect)
        except msgspec.ValidationError:
            continue
        readable[name] = value
    return readable


class Refusal(Struct, frozen=True):
    """What a 400 or 422 said: its code, the field that it names (where it does), and its words."""

    status: int
    code: str
    param: str
    message: str


# Refusals that name the field in their words alone: OpenAI's for a field it does not know, Groq's for any.
_UNKNOWN_ARGUMENT = re.compile(r"[Uu]nrecognized request arguments? supplied: ([\w, ]+)")
_UNKNOWN_PROPERTY = re.compile(r"property '(\w+)' is unsupported")
_NAME_FIELD = re.compile(r"^messages\b.*\.name$")
_FIRST_ROLE = re.compile(r"^messages[\[.]0\]?\.role$")
_NAMED_CODES = {"unsupported_parameter", "unsupported_value", "invalid_parameter_combination", "extra_forbidden"}


def learn(refusal: Refusal, dialect: Dialect, sent: Mapping[str, Any]) -> Dialect | None:
    """The dialect that would have avoided this refusal, or None when it teaches nothing.

    ``sent`` is the body that was refused: only a field that we sent can be learnt about.
    """
    if refusal.status not in (400, 422):
        return None
    roles, names = _roles_and_names(sent)
    fields = _named_fields(refusal)
    if (_NAME_FIELD.match(refusal.param) or "name" in fields) and any(names):
        return replace(dialect, names=False, refused=dialect.refused | {"name"})
    if refusal.code == "unsupported_value" and _FIRST_ROLE.match(refusal.param):
        return replace(dialect, instructions_role="developer") if roles[:1] == ["system"] else None
    if not dialect.alternate and "alternat" in refusal.message and "role" in refusal.message.lower():
        return replace(dialect, alternate=True)
    for name in fields:
        if name in _LIMITS and name in sent:
            other = _LIMITS[name]
            return (
                None
                if other in dialect.refused
                else replace(dialect, limit_field=other, refused=dialect.refused | {name})
            )
        if name == "reasoning_effort" and refusal.code == "unsupported_value" and isinstance(sent.get(name), str):
            return replace(dialect, refused=dialect.refused | {f"{name}={sent[name]}"})  # it takes other efforts
        if name in DROPPABLE and (name in sent or name in (sent.get("stream_options") or ())):
            return replace(dialect, refused=dialect.refused | {name})
    return None


def _roles_and_names(sent: Mapping[str, Any]) -> tuple[list[str], list[str | None]]:
    messages = sent.get("messages") or ()
    return [message.role for message in messages], [message.name for message in messages]


def _named_fields(refusal: Refusal) -> list[str]:
    """The fields that the refusal names: by its param where the code says so, or in a sentence that lists them."""
    if refusal.code in _NAMED_CODES and refusal.param:
        name = refusal.param.rpartition(".")[2]
        return ["stream_options" if name == "include_usage" else name]
    if found := _UNKNOWN_ARGUMENT.search(refusal.message) or _UNKNOWN_PROPERTY.search(refusal.message):
        return [name.strip() for name in found[1].split(",")]
    return []
