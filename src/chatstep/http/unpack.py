"""Unpacking gzip and deflate in small pieces, so that a few bytes cannot become gigabytes at once."""

from __future__ import annotations

import zlib

from chatstep.errors import AnswerUnreadable

__all__ = ["ENCODINGS", "Unpacker", "unpacker"]

ENCODINGS = "gzip, deflate"
"""What is offered in ``Accept-Encoding``."""

PIECE = 64 * 1024
_MEMBERS = 64


def unpacker(encoding: str | None) -> Unpacker | None:
    """The unpacker for a ``Content-Encoding``; None when there is nothing to unpack; AnswerUnreadable otherwise."""
    if encoding is None:
        return None
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return Unpacker(gzip=name != "deflate")
    raise AnswerUnreadable(
        "The answer is packed in a way that was not asked for.", hint=f"chatstep accepts: {ENCODINGS}."
    )


class Unpacker:
    """Takes packed blocks with `feed`; `piece` hands out at most 64 KiB at a time, and nothing when it needs more."""

    __slots__ = ("_gzip", "_members", "_packed", "_rest", "_stream")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._packed = b""
        self._rest = False
        self._members = 0
        self._stream: zlib._Decompress | None = None

    def feed(self, block: bytes) -> None:
        """Take the next block; what was fed before must have been handed out."""
        self._packed = block

    def piece(self) -> bytes:
        """The next unpacked bytes, or nothing. Raises AnswerUnreadable."""
        while self._packed or self._rest:
            stream = self._stream or self._start()
            try:
                piece = stream.decompress(self._packed, PIECE)
            except zlib.error:
                raise AnswerUnreadable("The answer is packed, and its packing is damaged.") from None
            if stream.eof:
                self._packed, self._stream, self._rest = stream.unused_data, None, False
            else:
                # A full piece may leave more inside zlib although all input is taken.
                self._packed, self._rest = stream.unconsumed_tail, len(piece) == PIECE
            if piece:
                return piece
        return b""

    def end(self) -> None:
        """No more blocks come; raises AnswerUnreadable if the packing is not complete."""
        if self._stream is not None:
            raise AnswerUnreadable("The answer is packed, and its packing ends early.")

    def _start(self) -> zlib._Decompress:
        # A gzip body may be several in a row; each costs time without giving bytes, hence a limit.
        self._members += 1
        if self._members > (_MEMBERS if self._gzip else 1):
            raise AnswerUnreadable("The answer is packed, and something follows its packing.")
        # "deflate" means zlib by the standard, but some servers send the bare stream; the first byte tells.
        window = 31 if self._gzip else 15 if self._packed[0] & 0x8F == 0x08 else -15
        self._stream = zlib.decompressobj(window)
        return self._stream
