"""Whether the messages of a request are messages: roles, contents, parts and names. For validation.py."""

from __future__ import annotations

import re
from typing import Any

from chatstep.rehearsal.refusal import Refusal

__all__ = ["STRICT_NAME", "check_messages", "check_names", "text_of"]

_KEYS = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "refusal", "audio", "tool_calls", "function_call", "annotations"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
_PARTS = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
    "function": (),
}
NAME = re.compile(r"[^\s<|\\/>]{1,64}")
STRICT_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Raise Refusal for the first message that is none."""
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        role = message["role"]
        if not isinstance(role, str) or role not in _KEYS:
            roles = ", ".join(f"'{known}'" for known in _KEYS)
            raise Refusal(
                f"Invalid value for '{place}.role'. Supported values: {roles}.",
                param=f"{place}.role",
                code="invalid_value",
            )
        for key in message:
            if key not in _KEYS[role]:
                raise Refusal(f"Unknown parameter: '{place}.{key}'.", param=f"{place}.{key}", code="unknown_parameter")
        _check_content(message, role, place)
        if role == "tool" and not isinstance(message.get("tool_call_id"), str):
            _missing(f"{place}.tool_call_id")
    check_names(messages, NAME)


def check_names(messages: list[dict[str, Any]], pattern: re.Pattern[str]) -> None:
    """Raise Refusal for a `name` that does not match, whole."""
    for at, message in enumerate(messages):
        name = message.get("name")
        if name is not None and (not isinstance(name, str) or not pattern.fullmatch(name)):
            place = f"messages[{at}].name"
            raise Refusal(
                f"Invalid '{place}': expected a string that matches the pattern '^{pattern.pattern}$'.",
                param=place,
                code="invalid_value",
            )


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, of its text parts where it has parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _missing(place: str) -> None:
    raise Refusal(f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")


def _check_content(message: dict[str, Any], role: str, place: str) -> None:
    content, place = message.get("content"), f"{place}.content"
    if content is None:
        calls = any(message.get(key) for key in ("tool_calls", "function_call", "refusal", "audio"))
        if (role == "assistant" and calls) or (role == "function" and "content" in message):
            return
        if "content" not in message:
            _missing(place)
    if isinstance(content, list):
        _check_parts(content, role, place)
    elif not isinstance(content, str):
        got = "null" if content is None else type(content).__name__
        raise Refusal(
            f"Invalid value for '{place}': expected a string, but got {got}.", param=place, code="invalid_type"
        )


def _check_parts(parts: list[Any], role: str, place: str) -> None:
    if not parts:
        raise Refusal(f"Invalid '{place}': empty array. Expected at least 1 item.", param=place, code="empty_array")
    known = _PARTS[role]
    for at, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in known:
            shown = ", ".join(f"'{word}'" for word in known)
            raise Refusal(
                f"Invalid value for '{place}[{at}].type'. Supported values here: {shown}.",
                param=f"{place}[{at}].type",
                code="invalid_value",
            )
        value = part.get(kind)
        wanted = str if kind in ("text", "refusal") else dict
        if value is None:
            _missing(f"{place}[{at}].{kind}")
        elif not isinstance(value, wanted):
            raise Refusal(
                f"Invalid type for '{place}[{at}].{kind}'.", param=f"{place}[{at}].{kind}", code="invalid_type"
            )
