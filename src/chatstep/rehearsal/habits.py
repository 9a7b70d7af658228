"""What a server takes beyond the contract: habits of model families, and those that a script gives the server.

`check_habits` refuses what the pretended server would refuse: a window passed, a field or value it does not take, names
and role orders of strict templates, the other name for the token limit. Raises Refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from chatstep.modules.openai.models import facts
from chatstep.rehearsal.refusal import Refusal, by_code
from chatstep.rehearsal.validation_messages import STRICT_NAME, check_names

__all__ = ["LIMITS", "Habits", "check_habits", "check_window", "limit_of"]

LIMITS = ("max_completion_tokens", "max_tokens")
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


class Habits(Struct, frozen=True, kw_only=True):
    """The server's own rules, as a script sets them. ``limit_field`` None: by model, as OpenAI does."""

    window: int | None = None
    strict_names: bool = False
    strict_roles: bool = False
    refuse_fields: tuple[str, ...] = ()
    refuse_values: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    refuse_as: Literal["openai", "mistral"] = "openai"
    ignore_fields: tuple[str, ...] = ()
    limit_field: Literal["max_tokens", "max_completion_tokens", "both"] | None = None
    families: bool = True


def limit_of(body: Mapping[str, Any]) -> int | None:
    """The longest reply that the request allows, in tokens."""
    return next((body[name] for name in LIMITS if body.get(name) is not None), None)


def check_habits(body: Mapping[str, Any], habits: Habits) -> None:
    """Raise Refusal where this server, or this model, would."""
    refused = list(habits.refuse_fields)
    if habits.limit_field in LIMITS:
        refused.append(next(name for name in LIMITS if name != habits.limit_field))
    for name in refused:
        _refuse_field(body, name, habits)
    for name, values in habits.refuse_values.items():
        _refuse_value(body, name, values)
    if habits.strict_names:
        check_names(body["messages"], STRICT_NAME)
    if habits.strict_roles:
        _check_roles([message["role"] for message in body["messages"]])
    if habits.families:
        _check_family(body, habits)


def check_window(prompt: int, body: Mapping[str, Any], window: int | None) -> None:
    """Raise Refusal when prompt and longest reply together pass the window."""
    longest = limit_of(body) or 0
    if window is not None and prompt + longest > window:
        raise by_code(
            "context_length_exceeded",
            param="messages",
            message=f"This model's maximum context length is {window} tokens, but {prompt + longest} were asked for: "
            f"{prompt} in the messages and {longest} for the completion.",
        )


def _refuse_field(body: Mapping[str, Any], name: str, habits: Habits) -> None:
    outer, _, inner = name.partition(".")
    place: list[Any]
    if outer == "messages" and inner:
        at = next((at for at, message in enumerate(body["messages"]) if inner in message), None)
        if at is None:
            return
        param, place = f"messages[{at}].{inner}", ["messages", at, body["messages"][at]["role"], inner]
    elif inner:
        if inner not in (body.get(outer) or {}):
            return
        param, place = name, [outer, inner]
    elif body.get(name) is None:
        return
    else:
        param, place = name, [name]
    if habits.refuse_as == "mistral":
        complaint = {"type": "extra_forbidden", "loc": ["body", *place], "msg": "Extra inputs are not permitted"}
        raise Refusal(
            "Extra inputs are not permitted",
            status=422,
            body={"object": "error", "message": {"detail": [complaint]}, "type": "invalid_request_error", "code": None},
        )
    other = next((limit for limit in LIMITS if limit != name), None) if name in LIMITS else None
    raise by_code(
        "unsupported_parameter",
        param=param,
        message=f"Unsupported parameter: '{param}' is not supported with this model."
        + (f" Use '{other}' instead." if other else ""),
    )


def _refuse_value(body: Mapping[str, Any], name: str, values: tuple[Any, ...]) -> None:
    holders: list[tuple[str, Mapping[str, Any]]] = [(name, body)]
    key = name
    if name.startswith("messages."):
        key = name.partition(".")[2]
        holders = [(f"messages[{at}].{key}", message) for at, message in enumerate(body["messages"])]
    for param, holder in holders:
        if key in holder and holder[key] in values:
            raise by_code(
                "unsupported_value", param=param, message=f"Unsupported value: '{param}' does not take this value here."
            )


def _check_roles(roles: list[str]) -> None:
    if roles[0] in ("system", "developer"):
        roles = roles[1:]
    if any(role in ("system", "developer") for role in roles):
        raise Refusal("The system message must be the first one.", param="messages", code="invalid_value")
    wanted = [("user", "assistant")[at % 2] for at in range(len(roles))]
    if roles != wanted or not roles or roles[-1] != "user":
        raise Refusal(
            "Conversation roles must alternate user/assistant/user/assistant, and end with user.",
            param="messages",
            code="invalid_value",
        )


def _check_family(body: Mapping[str, Any], habits: Habits) -> None:
    model = facts(body["model"])
    if not model.known:
        return
    if not model.chat:
        raise Refusal(
            "This model is only supported in v1/responses and not in v1/chat/completions.", status=404, param="model"
        )
    effort = body.get("reasoning_effort")
    if model.reasons and habits.limit_field is None:
        _refuse_field(body, "max_tokens", habits)
    if effort is not None and not model.reasons:
        raise Refusal("Unrecognized request argument supplied: reasoning_effort")
    if effort is not None and model.effort and effort not in model.effort:
        known = ", ".join(f"'{word}'" for word in model.effort)
        raise by_code(
            "unsupported_value",
            param="reasoning_effort",
            message=f"Unsupported value: 'reasoning_effort' does not take '{effort}' with this model. "
            f"Supported values are: {known}.",
        )
    if model.sampling == "never" or (model.sampling == "without_effort" and effort != "none"):
        for name in _SAMPLING:
            usual = 1 if name in ("temperature", "top_p") else 0
            if body.get(name) not in (None, usual):
                raise by_code(
                    "unsupported_value",
                    param=name,
                    message=f"Unsupported value: '{name}' takes only the default ({usual}) with this model.",
                )
    longest = limit_of(body)
    if longest is not None and model.max_output is not None and longest > model.max_output:
        name = next(name for name in LIMITS if body.get(name) is not None)
        raise by_code(
            "invalid_value",
            param=name,
            message=f"{name} is too large: {longest}. This model supports at most {model.max_output} completion "
            f"tokens, whereas you provided {longest}.",
        )
