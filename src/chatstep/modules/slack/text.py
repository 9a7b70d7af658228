"""Slack's text as people saw it: tokens become names and labels, escapes are undone, blocks become their words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chatstep.message import Attachment

__all__ = ["plain_text", "words_of_attachments", "words_of_blocks"]

_TOKEN = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")
_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*:\S")
_DEEPEST = 20


def plain_text(
    text: str, users: Callable[[str], str | None], channels: Mapping[str, str]
) -> tuple[str, tuple[Attachment, ...]]:
    """The text with its tokens as names and labels, then its escapes undone; and the links behind labels."""
    links: list[Attachment] = []

    def shown(found: re.Match[str]) -> str:
        sign, target, label = found[1], found[2], found[3]
        if sign == "@":
            return "@" + (label or _escape(users(target)) or target).removeprefix("@")
        if sign == "#":
            return "#" + (label or _escape(channels.get(target)) or target).removeprefix("#")
        if sign == "!":
            # <!here>, <!subteam^S1|@group>, <!date^1392734382^{date}|18 February 2014>
            return label or "@" + target.partition("^")[0]
        if not _ADDRESS.match(target):
            return found[0]
        if label and label not in target:
            links.append(Attachment("link", _unescape(label), _unescape(target)))
        return label or target

    if "<" in text:
        text = _TOKEN.sub(shown, text)
    return _unescape(text), tuple(links)


def _unescape(text: str) -> str:
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def words_of_blocks(blocks: Any) -> str:
    """The text of layout blocks, still with tokens; rich text becomes tokens where Slack has some."""
    lines = [_words(block, 0) for block in blocks] if isinstance(blocks, list) else []
    return "\n".join(line for line in lines if line)


def _words(node: Any, depth: int) -> str:
    if not isinstance(node, dict) or depth > _DEEPEST:
        return ""
    kind = node.get("type")
    if isinstance(kind, str) and kind in _INLINE:
        return _INLINE[kind](node)
    text = node.get("text")
    if isinstance(text, str):
        return text
    own = _words(text, depth + 1)
    inner: list[str] = [own] if own else []
    for key in ("fields", "elements"):
        children = node.get(key)
        if isinstance(children, list):
            inner += [words for words in (_words(child, depth + 1) for child in children) if words]
    flat = kind in ("rich_text_section", "rich_text_quote", "rich_text_preformatted")
    return ("" if flat else "\n").join(inner)


def _escape(text: Any) -> str:
    if not isinstance(text, str):
        return ""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _link(node: Mapping[str, Any]) -> str:
    url, text = _escape(node.get("url")), _escape(node.get("text"))
    return f"<{url}|{text}>" if text and url else text or url


# Rich text holds plain text, which is escaped here because the whole is unescaped afterwards.
_INLINE: dict[Any, Callable[[Mapping[str, Any]], str]] = {
    "text": lambda node: _escape(node.get("text")),
    "link": _link,
    "user": lambda node: f"<@{_escape(node.get('user_id'))}>",
    "channel": lambda node: f"<#{_escape(node.get('channel_id'))}>",
    "broadcast": lambda node: f"<!{_escape(node.get('range'))}>",
    "emoji": lambda node: f":{_escape(node.get('name'))}:",
    "usergroup": lambda node: f"@{_escape(node.get('usergroup_id'))}",
    "plain_text": lambda node: _escape(node.get("text")),
}


def words_of_attachments(attachments: Any) -> str:
    """The texts of old-style attachments, as bots send them: pretext, title, text, fields; else the fallback."""
    lines: list[str] = []
    for attachment in attachments if isinstance(attachments, list) else []:
        if isinstance(attachment, dict):
            lines += _of_attachment(attachment)
    return "\n".join(lines)


def _of_attachment(attachment: Mapping[str, Any]) -> list[str]:
    found = [attachment.get(key) for key in ("pretext", "title", "text")]
    fields = attachment.get("fields")
    for field in fields if isinstance(fields, list) else []:
        if isinstance(field, dict):
            parts = [part for part in (field.get("title"), field.get("value")) if isinstance(part, str) and part]
            found.append(": ".join(parts))
    words = [text for text in found if isinstance(text, str) and text]
    if not words and (inner := words_of_blocks(attachment.get("blocks"))):
        words = [inner]
    fallback = attachment.get("fallback")
    return words or ([fallback] if isinstance(fallback, str) and fallback else [])
