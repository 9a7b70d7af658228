"""The bytes of an event stream, as text: the hot path of streaming.

Takes blocks as they come from the socket, whatever their borders. Any line end, comments, several data lines, a byte
order mark, halves of a surrogate pair in two chunks and a last event without its blank line are read; what a stream
must have to count as finished is for `answer` to say.
"""

from __future__ import annotations

from chatstep.errors import AnswerUnreadable
from chatstep.message import clean_text
from chatstep.modules.openai.refusals import parts_of, reported
from chatstep.modules.openai.wire import ArrivingChunk, CompletionUsage, decode_any, decode_chunk

__all__ = ["StreamReader"]


class StreamReader:
    """Reads one stream: give it blocks, take pieces of text, then look at what it gathered."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self.usage: CompletionUsage | None = None
        self.model: str | None = None
        self.refusal = ""
        self.tool_calls = False
        self.done = False
        self.events = 0
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._event = b""
        self._half = ""
        self._started = False
        self._carriage = False

    def feed(self, block: bytes) -> str:
        """The text in this block, of all its events together; raises what the stream reports as its error."""
        if not self._started:
            block = self._without_mark(block)
        if b"\r" in block or self._carriage:
            block = self._with_line_feeds(block)
        if b"\n" not in block:  # a long line is gathered, since joining it anew at every block would be quadratic
            self._line.append(block)
            return ""
        if self._line:
            block = b"".join((*self._line, block))
            self._line.clear()
        lines = block.split(b"\n")
        if rest := lines.pop():
            self._line.append(rest)
        pieces: list[str] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif line:
                self._other_line(line)
            elif data or self._event:
                self._dispatch(pieces)
        return pieces[0] if len(pieces) == 1 else "".join(pieces)

    def finish(self) -> str:
        """The text that an end of the bytes sets free: a last event without its blank line.

        An event of which a part alone arrived says nothing: whether the stream had its end is judged elsewhere.
        """
        text = ""
        if any(self._line) or self._data:
            try:
                text = self.feed(b"\n\n")
            except AnswerUnreadable:
                self._data.clear()
        half, self._half = self._half, ""
        return text + clean_text(half)

    def _without_mark(self, block: bytes) -> bytes:
        block = b"".join((*self._line, block))
        self._line.clear()
        if len(block) < 3 and b"\xef\xbb\xbf".startswith(block):
            return block
        self._started = True
        return block.removeprefix(b"\xef\xbb\xbf")

    def _with_line_feeds(self, block: bytes) -> bytes:
        """CR and CRLF as LF; a CR at the very end may be half of a CRLF, so a following LF is dropped."""
        if not block:
            return block
        if self._carriage and block.startswith(b"\n"):
            block = block[1:]
        self._carriage = block.endswith(b"\r")
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _other_line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
        elif line.startswith(b"event:"):
            self._event = line[6:].strip()
        # comments, ids, retry times and unknown fields say nothing to us

    def _dispatch(self, pieces: list[str]) -> None:
        """Read the event whose data lines are gathered, and add its text, if any."""
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        if (not data.startswith(b"{") or self._event or self.done) and not self._is_chunk(data):
            return
        try:
            chunk = decode_chunk(data)
        except ValueError:
            raise _unreadable(data) from None
        self.events += 1
        choices = chunk.choices
        if chunk.error is not None or choices is None:
            self._without_choices(chunk, data)
        if choices:
            choice = choices[0]
            delta = choice.delta
            if delta is not None:
                text = delta.content
                if text:
                    pieces.append(text if text.isascii() and not self._half else self._joined(text))
                if delta.refusal or delta.tool_calls:
                    self.refusal += delta.refusal or ""
                    self.tool_calls = self.tool_calls or bool(delta.tool_calls)
            if choice.finish_reason:
                self.finish_reason = choice.finish_reason
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.model is not None:
            self.model = chunk.model

    def _is_chunk(self, data: bytes) -> bool:
        """Whether there is a chunk to read in an event that does not look like one, or has a name."""
        event, self._event = self._event, b""
        if self.done or not data or data.isspace():
            return False
        if event == b"error":
            raise reported(_any(data), 500)
        self.done = data.startswith(b"[DONE]")
        return not self.done

    def _without_choices(self, chunk: ArrivingChunk, data: bytes) -> None:
        """Raise the error that an event reports, in the protocol's envelope or without it."""
        if chunk.error is not None:
            raise reported({"error": chunk.error}, 500)
        value = _any(data)
        if parts_of(value).message:
            raise reported(value, 500)

    def _joined(self, text: str) -> str:
        """Text whose surrogate pairs are whole: a first half at the end waits for the next chunk."""
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return clean_text(text)


def _unreadable(data: bytes) -> AnswerUnreadable:
    return AnswerUnreadable(
        "An event of the stream is not the JSON that the protocol has.",
        body=data[:200].decode(errors="replace"),
        hint="The server, or something between, does not speak this protocol properly.",
    )


def _any(data: bytes) -> object:
    """The value in an event that reports an error; its words alone where they are no JSON."""
    try:
        return decode_any(data)
    except ValueError:
        return data.decode(errors="replace")
