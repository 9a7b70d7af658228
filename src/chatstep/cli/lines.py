"""Lines that a person types in `chat`: editing and history in a terminal, plain lines from a pipe.

A backslash at the end of a line continues the message on the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from chatstep.cli.screen import note
from chatstep.errors import InvalidInput

__all__ = ["Lines"]

_PROMPT, _MORE = "› ", "… "


class Lines:
    """Where the messages of a chat come from."""

    def __init__(self, earlier: Iterable[str] = ()) -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        if self.interactive:
            import readline  # from here on, `input` edits its line

            for text in earlier:
                if "\n" not in text:
                    readline.add_history(text)
        else:
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]

    def next(self) -> str | None:
        """The next message, or None at the end (Ctrl-D). Ctrl-C drops the line that is being typed."""
        while True:
            try:
                return self._message()
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                note()

    def _message(self) -> str | None:
        parts: list[str] = []
        while True:
            line = self._line(_MORE if parts else _PROMPT)
            if line is None:
                return "\n".join(parts) if parts else None
            if line.endswith("\\"):
                parts.append(line[:-1])
                continue
            parts.append(line)
            return _checked("\n".join(parts))

    def _line(self, prompt: str) -> str | None:
        if not self.interactive:
            line = sys.stdin.readline()
            return line.rstrip("\r\n") if line else None
        try:
            return input(prompt)
        except EOFError:
            note()
            return None


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"The line is not UTF-8 (character {error.start + 1}).", place="stdin", hint="Send UTF-8."
        ) from None
    return text
