"""OpenAI's files of one conversation a line: fine-tuning, preferences, and the input of a batch.

A line that cannot be read is left out and named; the others are read all the same.
"""

from __future__ import annotations

from msgspec import Raw, Struct, json

from chatstep.errors import UnreadableFile
from chatstep.modules.openai.role_rows import read_rows
from chatstep.reading import Chat, Reading, choose, decode, read_utf8
from chatstep.records import data_files, lines, sketch_of
from chatstep.source import Source
from chatstep.transcript import Transcript

__all__ = ["read", "recognise"]


class _Inner(Struct):
    messages: list[Raw] | None = None


class _Line(Struct):
    """A line of any of the three kinds of file."""

    messages: list[Raw] | None = None
    input: _Inner | None = None
    preferred_output: list[Raw] | None = None
    non_preferred_output: list[Raw] | None = None
    body: _Inner | None = None
    custom_id: str | None = None

    def rows(self) -> list[Raw] | None:
        """Its messages, with the answer that was preferred."""
        if self.messages is not None:
            return self.messages
        if self.input is not None and self.input.messages is not None:
            return [*self.input.messages, *(self.preferred_output or ())]
        return self.body.messages if self.body is not None else None


_LINE = json.Decoder(_Line)


def recognise(source: Source) -> bool:
    """Whether the file is of this format."""
    seen = sketch_of(source)
    if seen.kind != "lines" and not (seen.kind == "object" and seen.one_line):
        return False
    if seen.has("messages[].role"):
        return not seen.has("messages[].author") and not seen.has("assistant")
    return seen.has("input.messages[].role", "preferred_output") or seen.has("body.messages[].role")


def read(source: Source, channel: str | None) -> Transcript:
    """Read that channel, or the only one (see `TranscriptFormat`)."""
    name = next(iter(data_files(source)), None)
    reading = Reading()
    chats, found = _conversations(source, name, channel, reading)
    if not chats:
        raise UnreadableFile(
            "The file holds no conversation that can be read.",
            place=source.place(name),
            hint='Each line must be an object such as {"messages": [{"role": "user", "content": "Hello"}]}.',
        )
    at = choose(chats, channel, source.place(name))
    item = found[at]
    found.clear()
    where = source.place(name, int(chats[at].name))
    line = decode(_LINE, item, where)
    if line.messages is None and line.non_preferred_output:
        reading.leave("answers that were not preferred", where, len(line.non_preferred_output))
    rows = line.rows() or []
    del item, line
    read_rows(rows, where, reading)
    transcript = reading.finish("openai-jsonl", where, chats, chats[at].name)
    transcript.assistant = ("assistant",)
    return transcript


def _conversations(
    source: Source, name: str | None, channel: str | None, reading: Reading
) -> tuple[list[Chat], list[Raw]]:
    """The lines that are conversations; the others are counted as left out."""
    data, notes = read_utf8(source, name)
    reading.notes += notes
    ends = data.endswith((b"\n", b"}"))
    chats: list[Chat] = []
    found: list[Raw] = []
    bad = 0
    rows = lines(data)
    del data
    for number, item in rows:
        where = source.place(name, number)
        try:
            id = _id(item, where, number)
        except UnreadableFile:
            if channel == str(number):
                raise
            reading.leave("lines that are no conversation", where)
            bad = number
            continue
        if id is None:
            reading.leave("lines without messages", where)
        else:
            found.append(item)
            chats.append(Chat(id, str(number)))
    if bad and bad == number and not ends:
        reading.notes.append(f"The last line ({bad:,}) is cut off.")
    return chats, found


def _id(item: Raw, where: str, number: int) -> str | None:
    """What the line is called, or None where it has no messages."""
    line = decode(_LINE, item, where)
    return (line.custom_id or str(number)) if line.rows() else None
