"""From YAML to a Flow. All that is wrong is collected, so that one look at a file tells everything.

What a value is by itself (its type, its limits, a misspelt key) is judged here; what it means beside others, by
checking.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from chatstep.errors import InvalidInput
from chatstep.flows import format as keys
from chatstep.flows.definition import ConversationPart, Flow, InputPart, Retry, StepPart, Trigger
from chatstep.flows.format import INPUT_TYPES, Key
from chatstep.flows.problems import Problem, refusal
from chatstep.places import Node, near, parse_yaml, read_text

__all__ = ["LARGEST", "Draft", "fits", "read_draft", "read_flow"]

LARGEST = 256_000
"""Bytes of a flow's file."""
_MOST_PROBLEMS = 100
_MOST_MARKS = 50_000
_NESTED = re.compile(r"(?:[\[{]\s{0,9}){61}")
_MOST_LINES = 20_000
_LONGEST_PATH = 1000

T = TypeVar("T")


class Draft(NamedTuple):
    """A flow as far as it could be read. What could not be read is left out of it and stands in ``problems``."""

    flow: Flow
    problems: list[Problem]
    lines: dict[str, int]
    """The line of every key and item, by its path."""


def read_flow(source: str | Path) -> Flow:
    """The flow of a file (a Path, or one line that ends in .yaml or .yml) or of a YAML text.

    Raises InvalidInput with all ``problems`` among its details, UnreadableFile for a file that cannot be read.
    """
    draft = read_draft(source)
    if draft.problems:
        raise refusal(draft.problems, "flow")
    return draft.flow


def read_draft(source: str | Path) -> Draft:
    """What can be read of a flow; raises InvalidInput for what is not YAML or too large, and UnreadableFile."""
    text, name = read_text(source, "flow", LARGEST)
    # Such files take the reader of YAML seconds, so they are refused beforehand.
    if _NESTED.search(text):
        raise InvalidInput("The file is nested too deeply.", place=name, hint="No flow needs so many brackets.")
    if sum(map(text.count, ",[{")) > _MOST_MARKS:
        raise InvalidInput("The file holds more values than any flow.", place=name, hint="Split it in several flows.")
    root = parse_yaml(text, name)
    reader = _Reader()
    try:
        flow = reader.flow(root, text)
    except _EnoughProblems:
        flow = Flow(name="", source=text)
    reader.problems.sort(key=lambda problem: problem.line)
    return Draft(flow, reader.problems, _lines(root))


def fits(value: Any, type: str) -> bool:
    """Whether a value is of one of the types that a flow's inputs have."""
    if type == "any":
        return True
    if isinstance(value, bool):
        return type == "flag"
    kinds: dict[str, Any] = {"text": str, "number": (int, float), "whole": int, "list": list, "mapping": dict}
    return type in kinds and isinstance(value, kinds[type])


class _EnoughProblems(Exception):
    """So much is wrong that the rest is not looked at."""


class _Reader:
    """One file on its way to a Flow."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, node: Node, message: str, hint: str | None = None) -> None:
        """Add a problem at a value."""
        self.problems.append(Problem(line=node.line, place=node.path, message=message, hint=hint))
        if len(self.problems) == _MOST_PROBLEMS:
            raise _EnoughProblems

    def tried(self, node: Node, work: Callable[[], T], otherwise: T) -> T:
        """What ``work`` gives; where it raises, that is a problem of ``node``."""
        try:
            return work()
        except InvalidInput as error:
            self.note(node, error.message, error.hint)
            return otherwise

    def values(self, node: Node, table: tuple[Key, ...]) -> dict[str, Any]:
        """What a mapping with the keys of ``table`` holds; what cannot be read is left out."""
        names = [key.name for key in table]
        entries = self.tried(node, node.entries, None)
        if entries is None:
            return {}
        misspelt = {near(name, names) for name in entries if name not in names}
        for name, child in entries.items():
            self.tried(child, partial(child.one_of, name, names), None)
        given: dict[str, Any] = {}
        for key in table:
            if key.name in entries:
                child = entries[key.name]
                value = self.tried(child, partial(self.value, key, child), _UNREADABLE)
                if value is not _UNREADABLE:
                    given[key.name] = value
            elif key.required and key.name not in misspelt:
                self.note(node, f"`{key.name}` is missing.", key.help)
        return given

    def value(self, key: Key, node: Node) -> Any:
        """The value of one key, read as its kind says; raises InvalidInput."""
        own = {
            "triggers": self.triggers,
            "inputs": self.inputs,
            "conversation": self.conversation,
            "steps": self.steps,
            "retry": self.retry,
        }.get(key.kind)
        return own(node) if own else _KINDS[key.kind](key, node)

    def flow(self, root: Node, text: str) -> Flow:
        if root.value is None:
            self.note(root, "The file is empty.", "`name` and `steps` are the least that a flow has.")
            return Flow(name="", source=text)
        given = self.values(root, keys.FLOW)
        return Flow(**{"name": "", **given}, source=text)

    def triggers(self, node: Node) -> tuple[Trigger, ...]:
        if isinstance(node.value, (str, dict)):
            node.fail("`on` is a list.", "Put `- ` before each trigger, on a line of its own.")
        found = [self.tried(child, partial(self.trigger, child), None) for child in node.elements()]
        if not found:
            node.fail("No trigger stands here.", "Leave `on` out for a flow that is started by hand.")
        return tuple(trigger for trigger in found if trigger is not None)

    def trigger(self, node: Node) -> Trigger:
        """``- chat`` or ``- webhook: {...}``."""
        if isinstance(node.value, str):
            kind, inner = node.value, Node({}, node.source, node.path, node.line)
        else:
            entries = node.entries()
            if len(entries) != 1:
                node.fail("A trigger is one name, with its keys below it.", "Begin each trigger with `- `.")
            kind, inner = next(iter(entries.items()))
            if inner.value is None:
                inner = Node({}, node.source, inner.path, inner.line)
        inner.one_of(kind, keys.TRIGGERS, "trigger")
        known: Any = kind
        return Trigger(type=known, line=node.line, **self.values(inner, keys.TRIGGERS[kind][1]))

    def inputs(self, node: Node) -> dict[str, InputPart]:
        found = {}
        for name, child in node.entries().items():
            if not re.fullmatch(keys.ID, name):
                self.note(child, "This is not a usable name for an input.", _ID_HINT)
            found[name] = self.input(child)
        return found

    def input(self, node: Node) -> InputPart:
        """``topic: text`` or ``topic: {type: text, default: ...}``."""
        type_key = keys.INPUT[0]
        if isinstance(node.value, str):
            return InputPart(type=self.tried(node, partial(self.value, type_key, node), "any"))
        given = self.values(node, keys.INPUT)
        entries = node.entries() if "default" in given else {}
        kind = given.get("type", "any" if "type" in entries else "text")
        if "default" in given:
            given["required"] = False
            default = given["default"]
            if default is not None and not fits(default, kind):
                self.note(entries["default"], f"The default is not {INPUT_TYPES[kind]}.", "Correct it, or the type.")
            elif "${{" in str(default):
                self.note(entries["default"], "A default cannot hold an expression.", "Use the expression in a step.")
        return InputPart(**given)

    def conversation(self, node: Node) -> ConversationPart:
        return ConversationPart(**self.values(node, keys.CONVERSATION))

    def steps(self, node: Node) -> tuple[StepPart, ...]:
        found = node.elements()
        if not found:
            node.fail("A flow has at least one step.", "Begin it with `- id: reply`.")
        if len(found) > keys.MOST_STEPS:
            node.fail(f"A flow has at most {keys.MOST_STEPS} steps; this one has {len(found)}.", "Split it in two.")
        return tuple(self.step(child) for child in found)

    def step(self, node: Node) -> StepPart:
        given = self.values(node, keys.STEP)
        inputs = given.pop("with", {})
        if "id" not in given and isinstance(node.value, dict):  # it is wrong, but expressions may name it
            given["id"] = str(node.value.get("id", ""))[:80]
        return StepPart(**{"id": "", "uses": "", **given}, inputs=inputs, line=node.line)

    def retry(self, node: Node) -> Retry:
        return Retry(**self.values(node, keys.RETRY))


_ID_HINT = "Use small letters, digits and _, beginning with a letter: expressions read a hyphen as minus."
_NAME_HINT = "Use small letters, digits and hyphens, up to 64: shop-helper."


_UNREADABLE: Any = object()


def _name(key: Key, node: Node) -> str:
    return _matching(node, keys.NAME, "This is not a usable name.", _NAME_HINT)


def _id(key: Key, node: Node) -> str:
    return _matching(node, keys.ID, "This is not a usable id.", _ID_HINT)


def _path(key: Key, node: Node) -> str:
    return _matching(node, keys.PATH, "This is not a usable path.", "Use letters, digits, - and _, up to 64: shop.")


def _matching(node: Node, pattern: str, message: str, hint: str) -> str:
    text = node.text()
    if not re.fullmatch(pattern, text):
        node.fail(message, hint)
    return text


def _text(key: Key, node: Node) -> str:
    text = node.text()
    if not text.strip():
        node.fail(f"`{key.name}` is empty.", key.help)
    return text


def _any_text(key: Key, node: Node) -> str:
    return node.text()


def _expression(key: Key, node: Node) -> str:
    text = node.text()
    if not text.startswith("${{"):
        node.fail(f"`{key.name}` needs an expression.", "Write it as `${{ ... }}`.")
    return text


def _condition(key: Key, node: Node) -> str:
    if isinstance(node.value, bool):
        return "${{ true }}" if node.value else "${{ false }}"
    return _expression(key, node)


def _number(key: Key, node: Node) -> float:
    number = node.value
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        node.expected("a number")
    if not key.least <= number <= key.most:
        node.fail(f"`{key.name}` must be from {key.least:g} to {key.most:g}.", key.help)
    return float(number)


def _whole(key: Key, node: Node) -> int:
    if not isinstance(node.value, int):
        node.expected("a whole number")
    return int(_number(key, node))


def _flag(key: Key, node: Node) -> bool:
    return node.flag()


def _choice(key: Key, node: Node) -> str:
    node.one_of(node.text(), key.choices, "value")
    return node.text()


def _values(key: Key, node: Node) -> Any:
    node.entries()
    return node.plain()


def _any(key: Key, node: Node) -> Any:
    return node.plain()


_KINDS: dict[str, Callable[[Key, Node], Any]] = {
    "name": _name,
    "id": _id,
    "path": _path,
    "text": _text,
    "sentence": _any_text,
    "template": _any_text,
    "expression": _expression,
    "condition": _condition,
    "number": _number,
    "whole": _whole,
    "flag": _flag,
    "choice": _choice,
    "values": _values,
    "any": _any,
}


def _lines(root: Node) -> dict[str, int]:
    """The line of every value, by its path. Aliases may stand for more than is there, so it ends somewhere."""
    lines: dict[str, int] = {}
    waiting = [root]
    while waiting and len(lines) < _MOST_LINES:
        node = waiting.pop()
        lines[node.path] = node.line
        if len(node.path) < _LONGEST_PATH:
            waiting.extend(node.children())
    return lines
