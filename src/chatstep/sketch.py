"""What a file looks like from its first bytes: the kind of JSON and the paths of its keys, or text.

For recognising formats by content, also where the beginning is cut, and for telling what an unknown file begins with.
Paths are such as ``[].mapping`` or ``messages[].author.name``.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

__all__ = ["Sketch", "head_as_utf8", "may_have", "sketch"]

_TOKEN = re.compile(rb'"((?:[^"\\\n]|\\.)*)"|[{}\[\]:,]')
_PLAIN_KEY = re.compile(r"[\w@:-]{1,40}")
_LIST_START = re.compile(rb'\[\s*(?:[{\["\]]|null|true|false|-?\d+\s*[,\]]|$)')  # not [12/31/23, 9:12 PM]
_DEEPEST = 6
_LINES = 50
_MOST_PATHS = 2000
_MOST_LISTED = 8
_FIRST = 256

_HTML = re.compile(rb"<(?:!doctype html|html|head|body|!--)", re.IGNORECASE)

Kind = Literal["array", "object", "lines", "text", "html", "binary", "empty"]


_NO_JSON = {"text": "text", "html": "HTML", "binary": "bytes that are no text", "empty": "nothing"}


class Sketch(Struct, frozen=True):
    """The kind of a file, its keys' paths in order of appearance, and whether its first value begins and stays on one
    line (as in JSON Lines) as far as can be seen.
    """

    kind: Kind
    paths: tuple[str, ...] = ()
    one_line: bool = False

    def has(self, *paths: str) -> bool:
        """Whether all of these keys are there."""
        return all(path in self.paths for path in paths)

    def __str__(self) -> str:
        if self.kind in _NO_JSON:
            return _NO_JSON[self.kind]
        prefix = "[]." if self.kind == "array" else ""
        top = [path.removeprefix(prefix) for path in self.paths if path.startswith(prefix)]
        keys = [key for key in top if _PLAIN_KEY.fullmatch(key)][:_MOST_LISTED]
        what = {"array": "a JSON array", "object": "a JSON object", "lines": "lines of JSON objects"}[self.kind]
        if not keys:
            return what
        return f"{what}{' of objects' if prefix else ''} with keys {', '.join(keys)}"


def may_have(head: bytes, *keys: bytes) -> bool:
    """Whether keys can be in a file that begins so: a quick look, which spares most files of a folder a sketch."""
    return b"\0" in head or all(b'"' + key + b'"' in head for key in keys)


@lru_cache(maxsize=2)  # each format asks about the same head
def sketch(head: bytes) -> Sketch:
    """Look at the first bytes of a file, whole or cut anywhere."""
    text = head_as_utf8(head).strip()
    if b"\0" in text[:_FIRST]:
        return Sketch("binary")
    if not text:
        return Sketch("empty")
    if text[:1] == b"[":
        return Sketch("array", _paths(text)) if _LIST_START.match(text) else Sketch("text")
    if text[:1] != b"{":
        return Sketch("html" if _HTML.match(text) else "text")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    alone = [line[:1] == b"{" and line[-1:] == b"}" for line in lines]
    if len(lines) > 1 and sum(alone) >= len(lines) * (1 / 2 if alone[0] else 2 / 3):  # a damaged line is no surprise
        return Sketch("lines", tuple(dict.fromkeys(path for line in lines[:_LINES] for path in _paths(line))), True)
    return Sketch("object", _paths(text), len(lines) == 1)


def head_as_utf8(head: bytes) -> bytes:
    """The first bytes of a file as UTF-8 without a byte order mark; not checked, and perhaps cut."""
    for marks, name in (
        ((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"),
        ((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
    ):
        if head.startswith(marks):
            return head.decode(name, "ignore").encode()
    return head.removeprefix(codecs.BOM_UTF8)


def _paths(data: bytes) -> tuple[str, ...]:
    """The paths of all keys, of the first value and of those that follow it."""
    found: dict[str, None] = {}
    stack: list[tuple[bool, str]] = []  # whether it is an object, and its path
    key: list[str | None] = []  # the key whose value comes, per open object
    for token in _TOKEN.finditer(data):
        mark = token[0]
        if mark in (b"{", b"["):
            inside, prefix = stack[-1] if stack else (False, "")
            path = _join(prefix, key[-1] or "") if inside else prefix
            if mark == b"[" and stack and not inside and len(stack) <= _DEEPEST:
                found[f"{path}[]"] = None  # a list in a list
            inner = path if mark == b"{" else f"{path}[]"
            stack.append((mark == b"{", inner if len(stack) <= _DEEPEST else ""))  # deeper ones are not kept anyway
            key.append(None)
        elif mark in (b"}", b"]"):
            if stack:
                stack.pop()
                key.pop()
        elif not stack or not stack[-1][0] or mark == b":":
            continue
        elif mark == b",":
            key[-1] = None
        elif key[-1] is None:
            name = key[-1] = token[1].decode("utf-8", "replace")
            if len(stack) <= _DEEPEST and len(found) < _MOST_PATHS:
                found[_join(stack[-1][1], name)] = None
    return tuple(found)


def _join(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key
