"""A text with holes: found, read once, and evaluated as often as the flow runs.

A text that is one hole and nothing else has the hole's value, whatever its type; in any other text the value is written
into it. A hole that only names something (most do) needs no Jinja2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from chatstep.errors import InvalidInput
from chatstep.expressions.values import LARGEST, Evaluator, Wrong, as_text, path, too_large

__all__ = ["Template", "evaluate", "parse"]

_OPENING = "${{"
_LONGEST = 2_000
_MOST_HOLES = 1_000
_DEEPEST = 40
_KEPT_LENGTH = 10_000
_DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_WORDS = {"true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"}
_TOKEN = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\}\}|[\"'(\[{)\]}]", re.S)
_ESCAPE = re.compile(r"\\(?![\\'\"nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}).?", re.S)


class Template:
    """A text of a flow, read. Made by `parse`."""

    __slots__ = ("_holes", "_parts", "lone", "named", "references", "text")

    def __init__(self, text: str, parts: list[str | Evaluator], holes: list[str], references: frozenset[Any]) -> None:
        self.text = text
        """As it was written."""
        self.references: frozenset[tuple[str, ...]] = references
        """What it reads: paths such as ``("steps", "reply", "message")``; an index that is no text ends a path."""
        self.lone = len(parts) == 1 and len(holes) == 1
        """Whether it is one hole and nothing else, which keeps the type of its value."""
        self.named: tuple[str, ...] | None = None
        """What it names, where it is one hole with a dotted name in it and nothing else."""
        if self.lone and (dotted := _dotted(holes[0][3:-2])):
            self.named = dotted
        self._parts = parts
        self._holes = holes

    @property
    def constant(self) -> bool:
        """Whether its value never changes."""
        return not self.references

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        """The value, or the text with the values written into it.

        Raises InvalidInput where a name is not there or a value does not serve; its place shows the expression.
        """
        at = 0
        try:
            if self.lone:
                return self._parts[0](names)  # type: ignore[operator]
            texts: list[str] = []
            size = 0
            for part in self._parts:
                if isinstance(part, str):
                    texts.append(part)
                else:
                    texts.append(as_text(part(names)))
                    at += 1
                size += len(texts[-1])
                if size > LARGEST:
                    raise too_large()
            return "".join(texts)
        except Wrong as wrong:
            raise _invalid(wrong, self._holes[min(at, len(self._holes) - 1)] if self._holes else "") from None


def parse(text: str) -> Template:
    """Read a text; raises InvalidInput with the expression as its place. What was read is kept for the next time."""
    return _kept(text) if len(text) <= _KEPT_LENGTH else _parsed(text)


def evaluate(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with all texts in it evaluated; dicts and lists are made anew, other values are as they were.

    ``value`` comes from a flow's definition, ``names`` holds what happened; texts in ``names`` are never evaluated.
    Raises InvalidInput.
    """
    made, _ = _evaluated(value, names, LARGEST)
    return made


def _evaluated(value: Any, names: Mapping[str, Any], left: int) -> tuple[Any, int]:
    """The value, and how many of the ``left`` characters are left after the texts that were made."""
    if isinstance(value, str):
        if _OPENING not in value:
            return value, left
        template = parse(value)
        made = template.evaluate(names)
        if not template.lone:
            left -= len(made)
            if left < 0:
                raise _invalid(too_large(), value)
        return made, left
    if isinstance(value, dict):
        mapping = {}
        for key, item in value.items():
            mapping[key], left = _evaluated(item, names, left)
        return mapping, left
    if isinstance(value, list):
        items = []
        for item in value:
            made, left = _evaluated(item, names, left)
            items.append(made)
        return items, left
    return value, left


def _parsed(text: str) -> Template:
    parts: list[str | Evaluator] = []
    holes: list[str] = []
    references: set[tuple[str, ...]] = set()
    at = 0
    while (begin := text.find(_OPENING, at)) >= 0:
        if begin > at:
            parts.append(text[at:begin])
        try:
            end = _end_of(text, begin + len(_OPENING))
            source = text[begin + len(_OPENING) : end - 2]
            work, read = _expression(source)
        except Wrong as wrong:
            raise _invalid(wrong, text[begin:]) from None
        parts.append(work)
        holes.append(text[begin:end])
        references |= read
        at = end
        if len(holes) > _MOST_HOLES:
            raise InvalidInput(f"A text has at most {_MOST_HOLES:,} expressions.", place=_clipped(holes[0]))
    # The line break at the end of a YAML block is no part of what its writer means to say.
    if at < len(text) and not (len(holes) == len(parts) == 1 and text[at:] == "\n"):
        parts.append(text[at:])
    return Template(text, parts, holes, frozenset(references))


_kept = lru_cache(maxsize=4096)(_parsed)


def _end_of(text: str, at: int) -> int:
    """Where the hole ends whose inside begins at ``at``: behind its ``}}``; those in quotes and mappings are inside."""
    opened = braces = 0
    begin = at
    while found := _TOKEN.search(text, at, begin + _LONGEST + 2):
        mark, at = found[0], found.end()
        if mark == "}}" and braces == 0:
            return at
        if mark in ("'", '"'):
            raise Wrong("A text in quotes is not closed.", f"Put {mark} at its end.")
        if mark[0] in "'\"":
            if escape := _ESCAPE.search(mark):
                raise Wrong(f"`{escape[0]}` has no meaning in a text in quotes.", "A backslash is written as two.")
        elif mark[0] in "([{":
            opened += 1
            braces += mark == "{"
            if opened > _DEEPEST:
                raise Wrong("The expression is nested too deeply.")
        elif mark[0] == "}" and braces:
            braces -= 1
            at = found.start() + 1  # of two braces the first closes a mapping
    if len(text) > begin + _LONGEST:
        raise Wrong(f"An expression has at most {_LONGEST:,} characters.", "Is it closed with `}}`?")
    raise Wrong("`${{` is not closed.", "Put `}}` behind the expression.")


def _expression(source: str) -> tuple[Evaluator, frozenset[tuple[str, ...]]]:
    if not source.strip():
        raise Wrong("The expression is empty.", "Name something, such as `${{ trigger.text }}`.")
    if names := _dotted(source):
        return path(names), frozenset({names})
    from chatstep.expressions.grammar import compiled

    return compiled(source.strip())


def _dotted(source: str) -> tuple[str, ...] | None:
    """The names of a dotted name, or None for any other expression."""
    source = source.strip()
    if not _DOTTED.fullmatch(source):
        return None
    names = tuple(source.split("."))
    return names if names[0] not in _WORDS else None


def _invalid(wrong: Wrong, hole: str) -> InvalidInput:
    return InvalidInput(wrong.message, place=_clipped(hole), hint=wrong.hint)


def _clipped(text: str) -> str:
    line = " ".join(text[:200].split())
    return line if len(line) <= 80 else line[:79] + "…"
