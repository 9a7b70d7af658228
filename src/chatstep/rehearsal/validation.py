"""Whether a chat-completions request is one: types, ranges and combinations, as strictly as OpenAI judges them.

Table-driven from the contract (openapi.yaml) and from what its server is known to refuse beyond it. Raises Refusal.
What depends on the model is in habits.py, the messages are in validation_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Never

import msgspec

from chatstep.rehearsal.refusal import Refusal
from chatstep.rehearsal.validation_messages import check_messages

__all__ = ["check_request", "read_json"]

Check = Callable[[str, Any], None]


def read_json(raw: bytes) -> dict[str, Any]:
    """The body as an object; raises Refusal when it is none."""
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal("The body could not be parsed as JSON.") from None
    if not isinstance(body, dict):
        raise Refusal(f"The body must be a JSON object, but got {kind_of(body)}.")
    return body


def check_request(body: Mapping[str, Any]) -> None:
    """Raise Refusal for the first thing that is wrong with the request."""
    unknown = [key for key in body if key not in _FIELDS]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise Refusal(f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
    for name in ("model", "messages"):
        if body.get(name) is None:
            raise Refusal(f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")
    for name, value in body.items():
        if value is not None:
            _FIELDS[name](name, value)
    check_messages(body["messages"])
    _check_combinations(body)


def _check_combinations(body: Mapping[str, Any]) -> None:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise Refusal(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Refusal("'stream_options' is allowed only when 'stream' is true.", param="stream_options")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        raise Refusal("'top_logprobs' is allowed only when 'logprobs' is true.", param="top_logprobs")
    if body.get("tool_choice") not in (None, "none") and not body.get("tools"):
        raise Refusal("'tool_choice' is allowed only when 'tools' are given.", param="tool_choice")
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object" and "json" not in json.dumps(body["messages"]).lower():
        raise Refusal("'messages' must contain the word 'json' for this 'response_format'.", param="messages")


def kind_of(value: Any) -> str:
    """The JSON type of a value, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, name in ((str, "a string"), (int, "an integer"), (float, "a decimal"), (list, "an array")):
        if isinstance(value, kind):
            return name
    return "an object"


def _wrong_type(name: str, wanted: str, value: Any) -> Never:
    raise Refusal(
        f"Invalid type for '{name}': expected {wanted}, but got {kind_of(value)} instead.",
        param=name,
        code="invalid_type",
    )


def _number(low: float, high: float) -> Check:
    return _within("decimal", (int, float), low, high)


def _integer(low: float = -(2**63), high: float = 2**63 - 1) -> Check:
    return _within("integer", (int,), low, high)


def _within(kind: str, types: tuple[type, ...], low: float, high: float) -> Check:
    article = "an" if kind == "integer" else "a"

    def check(name: str, value: Any) -> None:
        if not isinstance(value, types) or isinstance(value, bool):
            _wrong_type(name, f"{article} {kind}", value)
        number: Any = value
        if number < low or number > high:
            side, bound, sign = ("below minimum", low, ">=") if number < low else ("above maximum", high, "<=")
            raise Refusal(
                f"Invalid '{name}': {kind} {side} value. Expected a value {sign} {bound}, but got {value} instead.",
                param=name,
                code=f"{kind}_{side.replace(' ', '_')[:9]}_value",
            )

    return check


def _text(longest: int | None = None, *, shortest: int = 0) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            _wrong_type(name, "a string", value)
        if len(value) < shortest:
            raise Refusal(f"Invalid '{name}': empty string.", param=name, code="empty_string")
        if longest is not None and len(value) > longest:
            raise Refusal(
                f"Invalid '{name}': string too long. Expected at most {longest} characters, but got {len(value)}.",
                param=name,
                code="string_above_max_length",
            )

    return check


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        _wrong_type(name, "a boolean", value)


def _choice(*known: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str):
            _wrong_type(name, "a string", value)
        if value not in known:
            shown = ", ".join(f"'{word}'" for word in known)
            raise Refusal(f"Invalid value for '{name}'. Supported values: {shown}.", param=name, code="invalid_value")

    return check


def _object(fields: Mapping[str, Check] | None = None, values: Check | None = None, required: str = "") -> Check:
    """An object: with these fields and no others, or with any keys and values of one kind."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            _wrong_type(name, "an object", value)
        for key in required.split():
            if key not in value:
                path = f"{name}.{key}"
                raise Refusal(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
        for key, item in value.items():
            if fields is not None and key not in fields:
                raise Refusal(f"Unknown parameter: '{name}.{key}'.", param=f"{name}.{key}", code="unknown_parameter")
            judge = fields[key] if fields is not None else values
            if judge is not None and item is not None:
                judge(f"{name}.{key}", item)

    return check


def _array(item: Check | None = None, shortest: int = 0, longest: int | None = None) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, list):
            _wrong_type(name, "an array", value)
        if len(value) < shortest:
            raise Refusal(
                f"Invalid '{name}': empty array. Expected at least {shortest} item.", param=name, code="empty_array"
            )
        if longest is not None and len(value) > longest:
            raise Refusal(
                f"Invalid '{name}': array too long. Expected at most {longest} items, but got {len(value)}.",
                param=name,
                code="array_above_max_length",
            )
        for at, element in enumerate(value):
            if item is not None:
                item(f"{name}[{at}]", element)

    return check


def _stop(name: str, value: Any) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        _wrong_type(name, "a string or an array of strings", value)
    _array(_text(), 1, 4)(name, value)


def _response_format(name: str, value: Any) -> None:
    _object(_RESPONSE_FORMAT, required="type")(name, value)
    if value["type"] == "json_schema":
        if value.get("json_schema") is None:
            path = f"{name}.json_schema"
            raise Refusal(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
    elif "json_schema" in value:
        raise Refusal(f"Unknown parameter: '{name}.json_schema'.", param=f"{name}.json_schema")


def _tool_choice(name: str, value: Any) -> None:
    if isinstance(value, str):
        _choice("none", "auto", "required")(name, value)
    else:
        _object(required="type")(name, value)


_FUNCTION = _object(
    {"name": _text(64, shortest=1), "description": _text(), "parameters": _object(), "strict": _flag}, required="name"
)
_TOOL = _object({"type": _choice("function", "custom"), "function": _FUNCTION, "custom": _object()}, required="type")
_RESPONSE_FORMAT: dict[str, Check] = {
    "type": _choice("text", "json_object", "json_schema"),
    "json_schema": _object(
        {"name": _text(64, shortest=1), "description": _text(), "schema": _object(), "strict": _flag}, required="name"
    ),
}
_FIELDS: dict[str, Check] = {
    "audio": _object(required="voice format"),
    "frequency_penalty": _number(-2, 2),
    "function_call": lambda name, value: None if isinstance(value, str) else _object(required="name")(name, value),
    "functions": _array(_FUNCTION, 1, 128),
    "logit_bias": _object(values=_number(-100, 100)),
    "logprobs": _flag,
    "max_completion_tokens": _integer(1),
    "max_tokens": _integer(1),
    "messages": _array(_object(required="role"), 1),
    "metadata": _object(values=_text(512)),
    "modalities": _array(_choice("text", "audio")),
    "model": _text(shortest=1),
    "moderation": _object(),
    "n": _integer(1, 128),
    "parallel_tool_calls": _flag,
    "prediction": _object(required="type content"),
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": _text(),
    "prompt_cache_options": _object(),
    "prompt_cache_retention": _choice("in_memory", "24h"),
    "reasoning_effort": _choice("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "response_format": _response_format,
    "safety_identifier": _text(128),
    "seed": _integer(),
    "service_tier": _choice("auto", "default", "flex", "scale", "priority", "fast"),
    "stop": _stop,
    "store": _flag,
    "stream": _flag,
    "stream_options": _object({"include_usage": _flag, "include_obfuscation": _flag}),
    "temperature": _number(0, 2),
    "tool_choice": _tool_choice,
    "tools": _array(_TOOL, 1, 128),
    "top_logprobs": _integer(0, 20),
    "top_p": _number(0, 1),
    "user": _text(),
    "verbosity": _choice("low", "medium", "high"),
    "web_search_options": _object(),
}
