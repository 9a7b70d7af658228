"""ChatGPT's data export: `conversations.json`, or its numbered parts, as a file, a folder or the zip.

A conversation is a tree: editing and regenerating make branches. The branch that was shown is read, from its last
node up; the others are left out and counted.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import DecodeError, Raw, Struct, json

from chatstep.errors import UnreadableFile
from chatstep.message import Attachment, Author, Message, Role
from chatstep.reading import Reading, decode
from chatstep.records import About, choose_record, sketch_of
from chatstep.source import Source
from chatstep.transcript import Transcript, utc_time

__all__ = ["read", "recognise"]

_AUTHORS = {"user": Author("user"), "assistant": Author("assistant", bot=True)}
_NOT_TEXT = {
    "thoughts": "thinking",
    "reasoning_recap": "thinking",
    "code": "calls and results of tools",
    "execution_output": "calls and results of tools",
    "tether_browsing_display": "calls and results of tools",
    "tether_quote": "calls and results of tools",
    "sonic_webpage": "calls and results of tools",
    "system_error": "errors of the service",
    "user_editable_context": "instructions and context",
    "model_editable_context": "instructions and context",
}
_MARK = re.compile("[\ue200-\ue202]")
_CITATION = re.compile("\ue200([^\ue200\ue201]*)\ue201|[\ue200-\ue202]")


class _Header(Struct):
    """What a conversation says about itself, its messages unread."""

    title: str | None = None
    conversation_id: str | None = None
    id: str | None = None
    create_time: float | None = None
    update_time: float | None = None
    mapping: Raw = Raw()
    current_node: str | None = None


class _Node(Struct):
    parent: str | None = None
    message: Raw = Raw()


class _Author(Struct):
    role: str


class _Content(Struct):
    content_type: str = "text"
    parts: list[Any] | None = None


class _Metadata(Struct):
    is_visually_hidden_from_conversation: bool | None = None
    attachments: list[Any] | None = None


class _Said(Struct):
    author: _Author
    content: _Content
    id: str | None = None
    create_time: float | None = None
    weight: float | None = None
    recipient: str | None = None
    metadata: _Metadata | None = None


class _Stamp(Struct):
    create_time: float | None = None


_HEADER, _MAPPING, _NODE = json.Decoder(_Header), json.Decoder(dict[str, Raw]), json.Decoder(_Node)
_SAID, _STAMP = json.Decoder(_Said), json.Decoder(_Stamp)


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    paths = sketch_of(source).paths
    return any(path in paths for path in ("[].mapping", "conversations[].mapping", "mapping"))


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    reading = Reading()
    chosen = choose_record(source, channel, reading, _about)
    _read_thread(decode(_HEADER, chosen.item, chosen.place), chosen.place, reading)
    transcript = reading.finish("chatgpt", chosen.place, chosen.chats, chosen.chat.name or chosen.chat.id)
    transcript.assistant = ("assistant",)
    return transcript


def _about(item: Any, place: str) -> About | None:
    header = decode(_HEADER, item, place)
    if not _is_given(header.mapping):
        return None
    updated = header.update_time or header.create_time or 0.0
    return About(header.conversation_id or header.id, header.title, updated)


def _is_given(raw: Raw) -> bool:
    """Whether this is more than null, {} or nothing; asked without a copy, since it may be large."""
    return memoryview(raw).nbytes > 4


def _read_thread(header: _Header, place: str, reading: Reading) -> None:
    nodes: dict[str, Any] = decode(_MAPPING, header.mapping, place)
    for id, raw in nodes.items():
        try:
            nodes[id] = _NODE.decode(raw)
        except (DecodeError, RecursionError):
            nodes[id] = None
            reading.leave("unreadable", f"{place}, node {id[:40]}")
    cited = 0
    thread = _shown(nodes, header.current_node, reading)
    for id in thread:
        node = nodes.pop(id)
        if not _is_given(node.message):
            continue
        said = _said(node.message)
        reason = _left_out(said) if said else "unreadable"
        text = _text(said.content.parts) if said and not reason else ""
        if said is None or reason or not text or text.isspace():
            reading.leave(reason or _without_text(said), f"{place}, node {id[:40]}")
            continue
        if _MARK.search(text):
            text, cited = _CITATION.sub(_words_of_citation, text), cited + 1
        reading.messages.append(_message(said, text))
    others = [id for id, node in nodes.items() if node is not None and _is_given(node.message)]
    if others:
        reading.leave("other branches (edited or answered again)", f"{place}, node {others[0][:40]}", len(others))
    if cited:
        reading.notes.append(f"Messages from which marks of citations were taken out: {cited:,}.")


def _shown(nodes: dict[str, Any], current: str | None, reading: Reading) -> list[str]:
    """The ids from the first node to the one that was shown last."""
    if nodes.get(current or "") is None:
        parents = {node.parent for node in nodes.values() if node is not None}
        sound = [id for id, node in nodes.items() if node is not None]
        leaves = [id for id in sound if id not in parents] or sound
        current = max(leaves, key=lambda id: _time_of(nodes[id]), default=None)
        reading.notes.append("The file does not say which branch was shown; the one with the newest message was read.")
    thread: dict[str, None] = {}
    while current is not None and current not in thread and nodes.get(current) is not None:
        thread[current] = None
        current = nodes[current].parent
    if current is not None:
        reading.notes.append("The beginning of the conversation is missing in the file.")
    return list(reversed(thread))


def _time_of(node: _Node) -> float:
    try:
        return _STAMP.decode(node.message).create_time or 0.0
    except (DecodeError, RecursionError):
        return 0.0


def _said(raw: Raw) -> _Said | None:
    try:
        return _SAID.decode(raw)
    except (DecodeError, RecursionError):
        try:
            return decode(_SAID, raw, "message")  # mends halves of characters
        except UnreadableFile:
            return None


def _left_out(said: _Said) -> str | None:
    """Why this is no message of the conversation, or None where it is one."""
    if said.author.role not in _AUTHORS:
        return "calls and results of tools" if said.author.role == "tool" else "instructions and context"
    if said.weight == 0 or (said.metadata and said.metadata.is_visually_hidden_from_conversation):
        return "hidden"
    if said.recipient not in (None, "all"):
        return "calls and results of tools"
    if said.content.content_type not in ("text", "multimodal_text"):
        return _NOT_TEXT.get(said.content.content_type, "other content than text")
    return None


def _text(parts: list[Any] | None) -> str:
    """The words: of texts, and of speech that was written down."""
    words = []
    for part in parts or ():
        is_speech = isinstance(part, dict) and part.get("content_type") == "audio_transcription"
        text = part.get("text") if is_speech else part
        if isinstance(text, str) and text:
            words.append(text)
    return "\n".join(words)


def _words_of_citation(found: re.Match[str]) -> str:
    """A mark that stands for shown words becomes these; any other becomes nothing."""
    kind, *rest = (found[1] or "").split("\ue202")
    if kind == "url" and rest:
        return rest[0]
    if kind == "entity" and rest:
        try:
            return json.decode(rest[0].encode(), type=list[str])[1]
        except (DecodeError, RecursionError, IndexError):
            return ""
    return ""


def _without_text(said: _Said | None) -> str:
    return "attachment without text" if said and _attachments(said) else "empty"


def _message(said: _Said, text: str) -> Message:
    role: Role = "assistant" if said.author.role == "assistant" else "user"
    return Message(
        _AUTHORS[role],
        text,
        id=said.id,
        time=utc_time(said.create_time),
        attachments=_attachments(said),
        role=role,
    )


def _attachments(said: _Said) -> tuple[Attachment, ...]:
    """The files, and the pictures in the content that are not among them."""
    files = (said.metadata.attachments if said.metadata else None) or ()
    parts = said.content.parts or ()
    if not files and (len(parts) == 1 and isinstance(parts[0], str)):
        return ()
    found: list[Attachment] = []
    known = []
    for file in files:
        if isinstance(file, dict):
            name, mime, id = (file.get(key) for key in ("name", "mimeType", "id"))
            kind = "image" if isinstance(mime, str) and mime.startswith("image/") else "file"
            found.append(Attachment(kind, name if isinstance(name, str) else None))
            known.append(id)
    for part in parts:
        pointer = part.get("asset_pointer") if isinstance(part, dict) else None
        if isinstance(pointer, str) and pointer.rpartition("/")[2] not in known:
            found.append(Attachment(str(part.get("content_type")).split("_")[0], url=pointer))
    return tuple(found)
