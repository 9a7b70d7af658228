"""YAML values that know where they stand, so that every complaint about a file names its line.

For rehearsal scripts and flows. A `Node` wraps one value with its path and line; its methods check the type and raise
InvalidInput.
"""

from __future__ import annotations

import datetime as dt
import difflib
import io
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Never

from chatstep.errors import InvalidInput, UnreadableFile

__all__ = ["Node", "read_yaml"]

_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


class Node:
    """One value of a script with its path (`rules[0].when`) and line (from 1)."""

    def __init__(self, value: Any, source: str, path: str = "", line: int = 1) -> None:
        self.value, self.source, self.path, self.line = value, source, path, line

    @property
    def place(self) -> str:
        """Where this value stands, for an error's ``place``."""
        return f"{self.source} line {self.line}" + (f", {self.path}" if self.path else "")

    def fail(self, message: str, hint: str | None = None, near: list[str] | None = None) -> Never:
        """Raise InvalidInput about this value."""
        raise InvalidInput(message, place=self.place, hint=hint, near=near or None)

    def mapping(self, allowed: Iterable[str]) -> dict[str, Node]:
        """The entries by key; a key outside ``allowed`` is an error that names the nearest one."""
        entries, known = self.entries(), list(allowed)
        for key, node in entries.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 3)
                hint = f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(known)}."
                node.fail(f"Unknown key `{key}`.", hint, near)
        return entries

    def entries(self) -> dict[str, Node]:
        """The entries of a mapping with any text keys."""
        if not isinstance(self.value, Mapping):
            self._expected("a mapping")
        result: dict[str, Node] = {}
        for key in self.value:
            line = _line_of(self.value, key, self.line)
            node = Node(self.value[key], self.source, f"{self.path}.{key}" if self.path else str(key), line)
            if not isinstance(key, str):
                node.fail(f"A key must be text, this one is {_kind(key)}.", "Put it in quotes.")
            result[key] = node
        return result

    def elements(self) -> list[Node]:
        """The items of a list."""
        if not isinstance(self.value, list):
            self._expected("a list")
        return [
            Node(item, self.source, f"{self.path}[{at}]", _line_of(self.value, at, self.line))
            for at, item in enumerate(self.value)
        ]

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self._expected("text", "Put it in quotes." if isinstance(self.value, (int, float)) else None)
        return str(self.value)

    def choice(self, *known: str) -> str:
        """One of the known words."""
        text = self.text()
        if text not in known:
            self.fail(f"`{text}` is not known here.", f"Write one of: {', '.join(known)}.")
        return text

    def flag(self) -> bool:
        """A truth value: true or false."""
        if not isinstance(self.value, (bool, int)) or self.value not in (0, 1):
            self._expected("true or false")
        return bool(self.value)

    def whole(self, minimum: int = 0) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self._expected("a whole number")
        if self.value < minimum:
            self.fail(f"Expected a whole number of at least {minimum}, got {self.value}.")
        return int(self.value)

    def seconds(self) -> float:
        """A number of seconds, 0 or more."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self._expected("a number of seconds")
        if not 0 <= self.value < 1e9:
            self.fail("Expected 0 seconds or more.")
        return float(self.value)

    def size(self) -> int:
        """A number of bytes: 1000, 3GB, 2 MiB."""
        match = re.fullmatch(r"\s*(\d+)\s*([kKmMgG]?i?[bB]?)\s*", str(self.value))
        unit = match and match[2].upper()
        if isinstance(self.value, bool) or not match or unit not in _SIZES:
            self._expected("a size", "Write bytes, or a size such as 3GB or 2MiB.")
        return int(match[1]) * _SIZES[match[2].upper()]

    def pattern(self) -> re.Pattern[str]:
        """A regular expression in Python's notation."""
        try:
            return re.compile(self.text())
        except (re.error, OverflowError, RecursionError) as problem:
            self.fail(f"Not a regular expression: {problem}.", "The notation is that of Python's re module.")

    def date(self) -> str:
        """A date as text: 2027-01-14."""
        value = self.value.isoformat() if isinstance(self.value, dt.date) else self.value
        try:
            return dt.date.fromisoformat(str(value)[:10]).isoformat()
        except ValueError:
            self._expected("a date", "Write it as 2027-01-14.")

    def plain(self) -> Any:
        """The value as plain Python data."""
        return _plain(self.value)

    def _expected(self, wanted: str, hint: str | None = None) -> Never:
        self.fail(f"Expected {wanted}, got {_kind(self.value)}.", hint)


def read_yaml(script: str | Path) -> Node:
    """Read a file (a Path, or one line ending in .yaml or .yml) or the YAML text itself.

    Raises UnreadableFile for a missing file or broken encoding, InvalidInput for what is not YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text, source = _text_of(script)
    # The round-trip reader builds nothing but plain data, as the safe one does, and keeps the line of every key.
    try:
        value = YAML(typ="rt").load(io.StringIO(text))
    except MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"{source} line {mark.line + 1}" if mark else source
        raise InvalidInput(f"Not YAML: {problem.problem or problem.context}.", place=place) from None
    except (YAMLError, ValueError, RecursionError) as problem:
        raise InvalidInput(f"Not YAML: {str(problem).splitlines()[0]}.", place=source) from None
    return Node(value, source)


def _text_of(script: str | Path) -> tuple[str, str]:
    if isinstance(script, str) and ("\n" in script or not script.endswith((".yaml", ".yml"))):
        return script, "script"
    path = Path(script)
    try:
        return path.read_text("utf-8-sig"), path.name
    except UnicodeDecodeError:
        raise UnreadableFile("The script is not UTF-8 text.", place=str(path)) from None
    except OSError as problem:
        raise UnreadableFile(f"The script cannot be read: {problem.strerror}.", place=str(path)) from None


def _line_of(container: Any, key: Any, default: int) -> int:
    try:
        return int(container.lc.data[key][0]) + 1
    except (AttributeError, KeyError, TypeError, IndexError):
        return default


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    for kind, name in ((str, "text"), (int, "a whole number"), (float, "a number"), (Mapping, "a mapping")):
        if isinstance(value, kind):
            return name
    return "a list" if isinstance(value, list) else "a date" if isinstance(value, dt.date) else type(value).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value.isoformat() if isinstance(value, dt.date) else value
