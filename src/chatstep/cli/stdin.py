"""Text from a pipe: read as bytes, limited in size, and said where it is no text."""

from __future__ import annotations

import sys

from chatstep.errors import InvalidInput, UnreadableFile

__all__ = ["read_bytes", "read_message"]

_LARGEST_MESSAGE = 64 * 1024 * 1024


def read_bytes(largest: int) -> bytes:
    """All of stdin; raises UnreadableFile above ``largest`` bytes."""
    data = sys.stdin.buffer.read(largest + 1)
    if len(data) > largest:
        raise UnreadableFile(f"More than {largest // 2**20} MB came in.", place="stdin", hint="Send less.")
    return data


def read_message() -> str:
    """A message from stdin, without its last line end; raises UnreadableFile when it is no text."""
    data = read_bytes(_LARGEST_MESSAGE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"The message is not UTF-8 (byte {error.start + 1:,}).",
            place="stdin",
            hint="Convert it first, such as with iconv -f LATIN1 -t UTF-8.",
        ) from None
    if "\0" in text:
        raise InvalidInput(
            f"The message holds a NUL character (position {text.index(chr(0)) + 1:,}); this looks like no text.",
            place="stdin",
            hint="Pipe text, not a binary file.",
        )
    return text.removesuffix("\n").removesuffix("\r")
