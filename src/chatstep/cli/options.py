"""The options that `complete` and `chat` share, and how they become inputs of the step.

One place for both, so that an option means the same everywhere. `-o KEY VALUE` takes every input that has no option of
its own; fields of the request's body that chatstep does not know are written `-o extra.KEY VALUE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeVar

import click

from chatstep.cli.completing import connection_names, inputs, models, words
from chatstep.errors import InvalidInput
from chatstep.registry import unknown

__all__ = [
    "OTHER_INPUTS",
    "OWN_OPTIONS",
    "Asked",
    "checked_text",
    "completion_options",
    "connection_option",
    "fields_of",
    "json_option",
    "other_inputs",
    "report_option",
]

F = TypeVar("F", bound=Callable[..., Any])


class Asked(TypedDict):
    """The shared options as click hands them over; None where one was not given."""

    connection: str | None
    model: str | None
    instructions: str | None
    max_tokens: int | None
    speakers: str | None
    other: tuple[tuple[str, str], ...]


connection_option = click.option(
    "--connection",
    metavar="NAME",
    shell_complete=connection_names,
    help="The connection to use. Default: CHATSTEP_CONNECTION, else the environment's, else the only stored one.",
)


def _json_chosen(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value and ctx.find_root().obj is not None:
        ctx.find_root().obj.json = True
    return value


def json_option(help: str) -> Callable[[F], F]:
    """``--json``; errors become JSON too, on stderr."""
    return click.option("--json", "as_json", is_flag=True, is_eager=True, callback=_json_chosen, help=help)


def report_option(help: str) -> Callable[[F], F]:
    """``--report``: data of what else is drawn; errors become JSON too, on stderr."""
    return click.option("--report", is_flag=True, is_eager=True, callback=_json_chosen, help=help)


def completion_options(command: F) -> F:
    """Give a command the shared options."""
    for option in reversed(
        (
            connection_option,
            click.option(
                "-m",
                "--model",
                metavar="MODEL",
                shell_complete=models,
                help="The model that writes. Default: CHATSTEP_MODEL, else gpt-4o-mini.",
            ),
            click.option(
                "-s", "--instructions", "--system", metavar="TEXT", help="What the system message says. [default: none]"
            ),
            click.option(
                "--max-tokens",
                type=int,
                metavar="N",
                help="The longest reply, in tokens of about 4 characters. [default: 256]",
            ),
            click.option(
                "--speakers",
                metavar="HOW",
                shell_complete=words("auto", "off", "name", "prefix"),
                help="How people are told apart: auto, off, name or prefix. [default: auto]",
            ),
            click.option(
                "-o",
                "other",
                nargs=2,
                multiple=True,
                metavar="KEY VALUE",
                shell_complete=inputs,
                help="Any other input, such as -o temperature 0.2; extra.KEY for other fields of the body.",
            ),
        )
    ):
        command = option(command)
    return command


def fields_of(asked: Asked) -> dict[str, Any]:
    """The inputs that were given, by name; raises InvalidInput or UnknownName for a wrong `-o`."""
    given: dict[str, Any] = {
        name: asked[name]
        for name in ("connection", "model", "instructions", "max_tokens", "speakers")
        if asked[name] is not None
    }
    if "instructions" in given:
        given["instructions"] = checked_text(given["instructions"], "instructions")
    return {**given, **other_inputs(asked["other"])}


def checked_text(text: str, place: str) -> str:
    """The text of an argument; raises InvalidInput where it was no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The text is not UTF-8 (character {error.start + 1}).",
            place=place,
            hint="Set the terminal to UTF-8, or convert the text with iconv.",
        ) from None
    return text


def other_inputs(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What `-o KEY VALUE` gave, each value read as its input wants it."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        checked_text(value, f"-o {key}")
        if key.startswith("extra.") and len(key) > len("extra."):
            found.setdefault("extra", {})[key.removeprefix("extra.")] = _json_or_text(value)
        elif key in OWN_OPTIONS:
            raise InvalidInput(f"{key!r} has an option of its own.", place=f"-o {key}", hint=f"Use {OWN_OPTIONS[key]}.")
        elif key in OTHER_INPUTS:
            found[key] = OTHER_INPUTS[key](value, f"-o {key}")
        else:
            error = unknown("input", key, OTHER_INPUTS, place="-o")
            error.details["hint"] = f"{error.hint} For a field of the request's body write -o extra.{key} VALUE."
            raise error
    return found


def _text(value: str, place: str) -> str:
    return value


def _whole(value: str, place: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InvalidInput(f"Expected a whole number, got {value[:80]!r}.", place=place) from None


def _number(value: str, place: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InvalidInput(f"Expected a number, got {value[:80]!r}.", place=place) from None


def _stop(value: str, place: str) -> str | tuple[str, ...]:
    """One text, or a JSON list of texts."""
    if not value.startswith("["):
        return value
    read = _json_or_text(value)
    if isinstance(read, list) and all(isinstance(item, str) for item in read):
        return tuple(read)
    raise InvalidInput("Expected a text or a JSON list of texts.", place=place, hint='Such as ["\\n", "END"].')


def _object(value: str, place: str) -> dict[str, Any]:
    read = _json_or_text(value)
    if not isinstance(read, dict):
        raise InvalidInput("Expected a JSON object.", place=place, hint='Such as {"type": "json_object"}.')
    return read


def _json_or_text(value: str) -> Any:
    import json

    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


OWN_OPTIONS = {
    "connection": "--connection",
    "model": "--model",
    "instructions": "--instructions",
    "message": "the argument MESSAGE",
    "history": "--history",
    "assistant": "--assistant",
    "max_tokens": "--max-tokens",
    "max_completion_tokens": "--max-tokens",
    "max_output_tokens": "--max-tokens",
    "speakers": "--speakers",
    "extra": "-o extra.KEY VALUE",
}

OTHER_INPUTS: dict[str, Callable[[str, str], Any]] = {
    "temperature": _number,
    "top_p": _number,
    "stop": _stop,
    "seed": _whole,
    "response_format": _object,
    "reasoning_effort": _text,
    "reasoning_room": _whole,
    "history_tokens": _whole,
    "window": _text,
    "part_length": _whole,
}
