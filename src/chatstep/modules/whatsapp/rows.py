"""What a row of a WhatsApp chat is, behind its head: somebody's text, media with or without caption, or the app's own.

On iOS whatever WhatsApp wrote itself begins with U+200E, in every language; on Android the tables of `words` tell.
"""

from __future__ import annotations

import re

from chatstep.message import Attachment
from chatstep.modules.whatsapp.words import (
    ATTACHED,
    CALLS,
    DELETED,
    EDITED,
    FILE_ATTACHED,
    MARKS,
    MEDIA_LEFT_OUT,
    MEDIA_OMITTED,
    POLLS,
    RENAMES,
    RENAMES_TO,
    SYSTEM_STARTS,
    WAITING,
    fold,
)

__all__ = ["Said", "are_plain", "author_name", "is_plain", "is_rename", "said"]

Said = tuple[str, tuple[Attachment, ...], bool, str | None]
"""Text, attachments, whether it was edited, and why the row is to be left out (None when it is a message)."""

_LRM = "\u200e"
_LAST_MARKER = re.compile(r"<([^<>\n]{3,60})>\u200e?\s*\Z")
_NAMED = re.compile(r"\u200e?<\u200e?([^<>:\n]{1,30}): ?([^<>\n]{1,255})>")
_FILE = re.compile(r"\A\u200e?([^\n]{1,255}?\.\w{1,8}) \(([^()\n]{3,40})\)(?:\n|\Z)")
_OWN_FILE = re.compile(r"(?:IMG|VID|AUD|PTT|STK|DOC)-\d{8}-WA\d+\.\w+")
_OMITTED = re.compile(r"\A\u200e?<([^<>\n]{3,60})>(?:\n|\Z)")
_DOCUMENT = re.compile(r"\A(\S[^\n]{0,250}\.\w{1,8}) •[^\n]*\Z")
_QUOTE = re.compile("[\"“”„«»「'׳״]")
_IMAGES = ("jpg", "jpeg", "png", "heic", "gif")
_KINDS = dict.fromkeys(_IMAGES, "image") | {
    **dict.fromkeys(("mp4", "mov", "3gp"), "video"),
    **dict.fromkeys(("opus", "m4a", "mp3", "aac", "amr", "ogg"), "audio"),
    "webp": "sticker",
    "vcf": "contact",
}


_REASONS = {"deleted": DELETED, "call": CALLS, "not delivered": WAITING, "poll": POLLS}
_WHOLE = {line + stop: reason for reason, lines in _REASONS.items() for line in lines for stop in ("", ".", "。")}
_FOLDED = {fold(line): reason for reason, lines in _REASONS.items() for line in lines}
_STARTS = frozenset(line[:4] for line in (*_WHOLE, *SYSTEM_STARTS))


def author_name(written: str) -> str:
    """An author without direction marks and with plain spaces, as a number such as "+41 79 123 45 67" needs."""
    return written.translate(MARKS).replace("\u00a0", " ").replace("\u202f", " ").strip()


def is_rename(author: str) -> bool:
    """Whether an author is the beginning of a row that gives a group a name, which may hold a `: `."""
    if _QUOTE.search(author) is None:
        return author.rstrip(" \u00a0\u202f").endswith(RENAMES_TO)
    return any(phrase in author for phrase in RENAMES)


def is_plain(line: str) -> bool:
    """Whether a row of one line is surely somebody's text and nothing else: the cheap first look, which most pass."""
    return not (line[:4] in _STARTS or "<" in line or _LRM in line or line[-1:] == ")" or not line or line.isspace())


def are_plain(body: str) -> bool:
    """The same of a row of several lines."""
    first, _, others = body.partition("\n")
    return is_plain(first) and "<" not in others and _LRM not in others


def _own_words(body: str) -> str | None:
    """Why a row without marks is WhatsApp's own, else None."""
    reason = _WHOLE.get(body)
    if reason is not None:
        return reason
    if body.startswith(SYSTEM_STARTS):
        return "system"
    if "\n" in body and _WHOLE.get(body.partition("\n")[0].strip()) == "poll":
        return "poll"
    return None


def said(body: str, ios: bool) -> Said:
    """Tell what a row is that is not `is_plain`."""
    marked = body.startswith(_LRM)
    body, edited = _without_edit(body)
    bare = body.translate(MARKS) if marked else body
    reason = _own_words(bare) or _FOLDED.get(fold(bare[:120])) if marked else _own_words(bare)
    if reason is None and bare.startswith("This message was deleted by admin "):
        reason = "deleted"
    if reason is not None:
        return "", (), edited, reason
    text, attachments = _media(body)
    if attachments:
        return text, attachments, edited, None if text.strip() else _kind_without_text(attachments)
    if ios and marked:
        return "", (), edited, "system"
    return text, (), edited, None if text.strip() else "empty"


def _without_edit(body: str) -> tuple[str, bool]:
    """The text without the marker of an edit and the one space before it; and whether there was one."""
    at = body.rfind("<")
    found = _LAST_MARKER.match(body, at) if at >= 0 else None
    if found is None or fold(found[1]) not in EDITED:
        return body, False
    text = body[:at].removesuffix(_LRM)
    return (text[:-1] if text[-1:].isspace() else text), True


def _kind_without_text(attachments: tuple[Attachment, ...]) -> str:
    stickers = all(attachment.kind == "sticker" for attachment in attachments)
    return "sticker without text" if stickers else "attachment without text"


def _media(body: str) -> tuple[str, tuple[Attachment, ...]]:
    """The caption and the media, when the row has any."""
    named = _NAMED.search(body)
    if named and (fold(named[1]) in ATTACHED or named[0].startswith(_LRM)):
        rest = body[: named.start()] + body[named.end() :]
        name = named[2].strip()
        title = _DOCUMENT.match(rest.translate(MARKS).strip())
        return ("" if title else _caption(rest)), (Attachment(_kind(name), name),)
    file = _FILE.match(body)
    if file and (fold(file[2]) in FILE_ATTACHED or body.startswith(_LRM) or _OWN_FILE.fullmatch(file[1])):
        return _caption(body[file.end() :]), (Attachment(_kind(file[1]), file[1]),)
    omitted = _OMITTED.match(body)
    if omitted and fold(omitted[1]) in MEDIA_OMITTED:
        return _caption(body[omitted.end() :]), (Attachment("media"),)
    if _LRM in body:
        return _left_out(body)
    return body, ()


def _left_out(body: str) -> tuple[str, tuple[Attachment, ...]]:
    """Media of an iOS export without media: after a mark, the last words say what is missing."""
    before, _, words = body.rpartition(_LRM)
    line, _, after = words.partition("\n")
    kind = MEDIA_LEFT_OUT.get(fold(line))
    if kind is None:
        return body, ()
    title = _DOCUMENT.match(before.translate(MARKS).strip()) if kind == "file" else None
    if title:
        return _caption(after), (Attachment(kind, title[1]),)
    return _caption(before + after), (Attachment(kind),)


def _caption(text: str) -> str:
    return text.strip().strip(_LRM).strip()


def _kind(name: str) -> str:
    if "STICKER" in name or name.startswith("STK-"):
        return "sticker"
    return _KINDS.get(name.rpartition(".")[2].lower(), "file")
