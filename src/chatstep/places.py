"""YAML values that know where they stand, so that every complaint about a file names its line.

For rehearsal scripts and flows. A `Node` wraps one value with its path and line; its methods check the type and raise
InvalidInput.
"""

from __future__ import annotations

import datetime as dt
import difflib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Never

from chatstep.errors import InvalidInput, UnreadableFile

__all__ = ["Node", "near", "parse_yaml", "read_text", "read_yaml"]

_SIZES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_OLD_YAML = re.compile(r"^%YAML\s+1\.[01]\b", re.M)  # there `on` and `yes` are truth values
_MOST_VALUES = 100_000
_DEEPEST = 60


class Node:
    """One value of a script with its path (`rules[0].when`) and line (from 1)."""

    def __init__(self, value: Any, source: str, path: str = "", line: int = 1) -> None:
        self.value, self.source, self.path, self.line = value, source, path, line

    @property
    def place(self) -> str:
        """Where this value stands, for an error's ``place``."""
        return f"{self.source} line {self.line}" + (f", {self.path}" if self.path else "")

    def fail(self, message: str, hint: str | None = None, near: str | None = None) -> Never:
        """Raise InvalidInput about this value."""
        raise InvalidInput(message, place=self.place, hint=hint, near=[near] if near else None)

    def mapping(self, allowed: Iterable[str]) -> dict[str, Node]:
        """The entries by key; a key outside ``allowed`` is an error that names the nearest one."""
        entries, known = self.entries(), list(allowed)
        for key, node in entries.items():
            node.one_of(key, known)
        return entries

    def one_of(self, key: str, known: Iterable[str], what: str = "key") -> None:
        """Raise InvalidInput that names the nearest unless ``key``, which stands here, is ``known``."""
        known = list(known)
        if key not in known:
            close = near(key, known)
            hint = f"Did you mean `{close}`?" if close else f"Known here: {', '.join(known)}."
            self.fail(f"Unknown {what} `{key[:80]}`.", hint, close)

    def entries(self) -> dict[str, Node]:
        """The entries of a mapping with any text keys."""
        if not isinstance(self.value, Mapping):
            self.expected("a mapping")
        result: dict[str, Node] = {}
        for key in self.value:
            line = _line_of(self.value, key, self.line)
            name = str(key)[:80]
            node = Node(self.value[key], self.source, f"{self.path}.{name}" if self.path else name, line)
            if not isinstance(key, str):
                node.fail(f"A key must be text, this one is {_kind(key)}.", "Put it in quotes.")
            result[key] = node
        return result

    def elements(self) -> list[Node]:
        """The items of a list."""
        if not isinstance(self.value, list):
            self.expected("a list", "Begin each item with `- `.")
        return [
            Node(item, self.source, f"{self.path}[{at}]", _line_of(self.value, at, self.line))
            for at, item in enumerate(self.value)
        ]

    def children(self) -> list[Node]:
        """The values inside this one, whatever it is."""
        if isinstance(self.value, Mapping):
            return list(self.entries().values()) if all(isinstance(key, str) for key in self.value) else []
        return self.elements() if isinstance(self.value, list) else []

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            self.expected("text", "Put it in quotes." if isinstance(self.value, (int, float)) else None)
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
            self.expected("true or false")
        return bool(self.value)

    def whole(self, minimum: int = 0) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.expected("a whole number")
        if self.value < minimum:
            self.fail(f"Expected a whole number of at least {minimum}, got {self.value}.")
        return int(self.value)

    def seconds(self) -> float:
        """A number of seconds, 0 or more."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self.expected("a number of seconds")
        if not 0 <= self.value < 1e9:
            self.fail("Expected 0 seconds or more.")
        return float(self.value)

    def size(self) -> int:
        """A number of bytes: 1000, 3GB, 2 MiB."""
        match = re.fullmatch(r"\s*(\d+)\s*([kKmMgG]?i?[bB]?)\s*", str(self.value))
        unit = match and match[2].upper()
        if isinstance(self.value, bool) or not match or unit not in _SIZES:
            self.expected("a size", "Write bytes, or a size such as 3GB or 2MiB.")
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
            self.expected("a date", "Write it as 2027-01-14.")

    def plain(self) -> Any:
        """The value as plain Python data: what JSON can hold. Aliases that multiply beyond reason are refused."""
        try:
            return _plain(self.value, iter(range(_MOST_VALUES)), 0)
        except _NotPlain as problem:
            self.fail(str(problem))

    def expected(self, wanted: str, hint: str | None = None) -> Never:
        """Raise InvalidInput: another kind of value was wanted."""
        self.fail(f"Expected {wanted}, got {_kind(self.value)}.", hint)


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, where any is."""
    return next(iter(difflib.get_close_matches(name[:80], list(known), 1)), None)


def read_yaml(script: str | Path, kind: str = "script", largest: int | None = None) -> Node:
    """Read a file (a Path, or one line ending in .yaml or .yml) or the YAML text itself.

    ``kind`` is what the errors call it; ``largest`` is the most bytes it may have. Raises UnreadableFile for a missing
    file or broken encoding, InvalidInput for what is too large or not YAML.
    """
    return parse_yaml(*read_text(script, kind, largest))


def parse_yaml(text: str, source: str) -> Node:
    """The YAML of a text; errors call it ``source``. Raises InvalidInput."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    # The round-trip reader builds nothing but plain data, as the safe one does, and keeps the line of every key.
    reader = YAML(typ="rt")
    reader.composer.warn_double_anchors = False  # YAML lets a name be used again, and a warning would show the text
    if _OLD_YAML.search(text):
        raise InvalidInput("YAML 1.1 is not read.", place=source, hint="Leave the line `%YAML 1.1` out.")
    try:
        value = reader.load(io.StringIO(text))
    except MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"{source} line {mark.line + 1}" if mark else source
        message, hint = _in_words(problem.problem or problem.context or "")
        raise InvalidInput(message, place=place, hint=hint) from None
    except RecursionError:
        raise InvalidInput("Not YAML that anybody would write: it is nested too deeply.", place=source) from None
    except (YAMLError, ValueError) as problem:
        raise InvalidInput(f"Not YAML: {str(problem).splitlines()[0]}.", place=source) from None
    return Node(value, source)


def _in_words(problem: str) -> tuple[str, str | None]:
    """What is wrong with the YAML, without the values that stand there, and what to do."""
    if twice := re.match(r'found duplicate key "(.{0,80}?)" with', problem):
        return f"Not YAML: the key `{twice[1]}` is there twice.", "Keep one of them."
    if "'\\t'" in problem:
        return "Not YAML: a tab stands where spaces belong.", "Indent with spaces."
    if "found another document" in problem:
        return "A second document begins here (`---`).", "Put it into a file of its own."
    return f"Not YAML: {problem}.", None


def read_text(script: str | Path, kind: str, largest: int | None = None) -> tuple[str, str]:
    """The text of a file, or the text itself, and what errors call it; see `read_yaml`."""
    if isinstance(script, str) and ("\n" in script or not script.endswith((".yaml", ".yml"))):
        if largest is not None and len(script.encode(errors="replace")) > largest:
            raise _too_large(kind, kind, largest)
        return script, kind
    path = Path(script)
    try:
        with path.open("rb") as file:
            data = file.read(-1 if largest is None else largest + 1)
        if largest is not None and len(data) > largest:
            raise _too_large(kind, path.name, largest)
        return data.decode("utf-8-sig"), path.name
    except UnicodeDecodeError:
        raise UnreadableFile(f"The {kind} is not UTF-8 text.", place=str(path)) from None
    except OSError as problem:
        raise UnreadableFile(f"The {kind} cannot be read: {problem.strerror}.", place=str(path)) from None


def _too_large(kind: str, place: str, largest: int) -> InvalidInput:
    return InvalidInput(f"A {kind} has at most {largest // 1000} kB, this one has more.", place=place)


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


class _NotPlain(Exception):
    """Why a value is no plain data."""


def _plain(value: Any, left: Iterator[int], depth: int) -> Any:
    if next(left, None) is None:
        raise _NotPlain(f"This stands for more than {_MOST_VALUES:,} values.")
    if depth > _DEEPEST:
        raise _NotPlain(f"This is nested deeper than {_DEEPEST} levels.")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, left, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise _NotPlain("This is no number that can be passed on.")
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, dt.date):
        return value.isoformat()
    raise _NotPlain("Tags and sets of YAML (`!name`, `!!set`) have no meaning here.")
