"""A stream on its way through the gateway: passed on as it comes, with an eye on its end.

Whole events are passed on, byte for byte. The usage event, which the gateway asks for to know the cost, is kept back
where its client did not ask for it; so is the end mark, until the end was judged: clients hang up when they see it.
"""

from __future__ import annotations

import re
from collections import deque

from chatstep.errors import AnswerCut, AnswerUnreadable, ChatstepError
from chatstep.modules.openai.answer import usage_from
from chatstep.modules.openai.prices import Usage
from chatstep.modules.openai.stream import StreamReader
from chatstep.modules.openai.wire import DONE

__all__ = ["UsageTap"]

_TAIL = 64 * 1024  # bytes of the end that are read again for finish reason and usage
_END = re.compile(rb"\r?\n\r?\n|\r\r")
_DONE = re.compile(rb"^data: ?\[DONE\]", re.MULTILINE)
_USAGE = re.compile(rb'"usage":\s*\{')


class UsageTap:
    """Takes blocks from the server, gives blocks for the client."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None
        self._hide_usage = hide_usage
        self._rest = b""
        self._kept: deque[bytes] = deque()
        self._size = 0

    def feed(self, block: bytes) -> bytes:
        """What of this block, and of what was held back, makes whole events."""
        block = self._rest + block if self._rest else block
        end = block.rfind(b"\n\n") + 2
        if end == 1:  # another way to end lines, or no end yet
            end = max((found.end() for found in _END.finditer(block)), default=0)
        self._rest, whole = block[end:], block[:end]
        if not whole:
            return b""
        self._keep(whole)
        if b"[DONE]" in whole and (mark := _DONE.search(whole)):
            whole = whole[: mark.start()]
        if self._hide_usage and b'"usage"' in whole and _USAGE.search(whole):
            return self._without_usage(whole)
        return whole

    def finish(self) -> bytes:
        """What is left to pass on, with the end mark; raises AnswerCut where it was no end, and a reported error."""
        rest, self._rest = self._rest, b""
        if rest:
            self._keep(rest)
        reader = StreamReader()
        reader.feed(b"".join(self._kept))
        reader.finish()
        self.usage, self.model, self.finish_reason = usage_from(reader.usage), reader.model, reader.finish_reason
        if reader.finish_reason is None:
            if not reader.events:
                raise AnswerUnreadable("The stream held no event of the protocol.")
            raise AnswerCut("The answer was cut off: the stream ended without saying that it was finished.")
        return (rest + b"\n\n" if rest and not _DONE.search(rest) else b"") + DONE

    @property
    def said_its_end(self) -> bool:
        """Whether the whole events that came so far say why the answer ended."""
        reader = StreamReader()
        try:
            reader.feed(b"".join(self._kept))
        except ChatstepError:
            return False
        self._rest = b""  # a part of an event says nothing
        return reader.finish_reason is not None

    def _keep(self, whole: bytes) -> None:
        self._kept.append(whole)
        self._size += len(whole)
        while len(self._kept) > 2 and self._size - len(self._kept[0]) > _TAIL:
            self._size -= len(self._kept.popleft())

    def _without_usage(self, whole: bytes) -> bytes:
        passed: list[bytes] = []
        at = 0
        for border in _END.finditer(whole):
            event = whole[at : border.end()]
            at = border.end()
            if _USAGE.search(event) and re.search(rb'"choices":\s*\[\s*\]', event):
                continue
            passed.append(event)
        return b"".join(passed)
