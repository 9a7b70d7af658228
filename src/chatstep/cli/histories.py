"""Transcripts as commands read them: options that choose messages, a file or stdin, and what was read in words.

For `complete`, `transcript` and `conversations import`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct

from chatstep.cli.screen import warn
from chatstep.errors import InputError, InvalidInput
from chatstep.message import History

if TYPE_CHECKING:
    from chatstep.source import Source
    from chatstep.transcript import Transcript

__all__ = ["Choice", "Chosen", "choice_options", "format_title"]

F = TypeVar("F", bound=Callable[..., Any])

# Words in a reader's reasons that tell of damage, where joins, pictures and deleted messages are left out on purpose.
_DAMAGE = re.compile(r"no message|no conversation|unreadable|damaged|cells|unknown|without author|text before")


def choice_options(command: F) -> F:
    """Give a command ``--assistant`` and the options that choose messages of a transcript."""
    for option in reversed(
        (
            click.option(
                "--assistant",
                metavar="WHO",
                multiple=True,
                help="Whose messages are the assistant's, by name or id. May be repeated.",
            ),
            click.option("--channel", metavar="NAME", help="Which chat of a file that holds several, by name or id."),
            click.option("--last", type=click.IntRange(1), metavar="N", help="Only the newest N messages."),
            click.option("--since", metavar="TIME", help="Only messages from this day or time on, such as 2026-03-01."),
            click.option("--until", metavar="TIME", help="Only messages up to this time, or to the end of this day."),
        )
    ):
        command = option(command)
    return command


class Chosen(Struct):
    """What was read: the transcript with the chosen messages, and how many were read and left out before choosing."""

    transcript: Transcript
    place: str
    read: int
    left_out: int
    older_exist: bool

    def history(self, assistant: tuple[str, ...]) -> History:
        """The chosen messages as a History; ``assistant`` outranks what the file says.

        Raises InvalidInput listing the authors where nobody says who it is, UnknownName for one who wrote nothing.
        """
        from chatstep.transcripts import match_assistant

        who = assistant
        if not who and any(message.role is None for message in self.transcript.messages):
            who = self.transcript.assistant
        try:
            found = match_assistant(self.transcript, who)
        except InputError as error:
            error.details["place"] = "--assistant" if assistant else f"{self.place}: assistant"
            raise
        return History(found, self.transcript.messages, self.older_exist)

    def damage(self) -> str | None:
        """What of the file should have been a message and could not be read; None where all is well."""
        rows = [row for row in self.transcript.left_out if _DAMAGE.search(row.reason)]
        if not rows:
            return None
        listed = "; ".join(f"{row.count:,} {row.reason}" + (f" ({row.example})" if row.example else "") for row in rows)
        return f"Part of {self.place} was not read: {listed}."

    def warn_of_damage(self) -> None:
        """Say on stderr what of the file could not be read, if anything."""
        if damage := self.damage():
            warn(damage)

    def summary(self) -> str:
        """What was read in one line."""
        transcript = self.transcript
        people = len({message.author.id or message.author.name for message in transcript.messages})
        messages = f"{self.read:,} message{'' if self.read == 1 else 's'}"
        chosen = "" if len(transcript.messages) == self.read else f", {len(transcript.messages):,} of them chosen,"
        kind = format_title(transcript.format).partition(" (")[0]
        left = f"; {self.left_out:,} left out (see chatstep transcript {self.place})" if self.left_out else ""
        return f"Read {messages}{chosen} of {people:,} author{'' if people == 1 else 's'} ({kind}){left}."


class Choice(Struct, frozen=True):
    """What is to be read: a file (`-`: stdin), one of its chats, and which of its messages."""

    file: str
    channel: str | None = None
    last: int | None = None
    since: str | None = None
    until: str | None = None

    def read(self) -> Chosen:
        """Read it. Raises UnreadableFile, UnknownName for a chat, InvalidInput where the choice leaves nothing."""
        from chatstep.transcripts import read_transcript, select

        whole = read_transcript(self._source(), self.channel)
        place = "stdin" if self.file == "-" else self.file
        left = sum(row.count for row in whole.left_out)
        if self.last is None and self.since is None and self.until is None:
            return Chosen(whole, place, len(whole.messages), left, older_exist=False)
        try:
            found = select(whole, last=self.last, since=self.since, until=self.until)
        except InvalidInput as error:
            error.details["place"] = f"--{error.place}"
            raise
        if not found.messages:
            raise InvalidInput(
                "No message is in that time.",
                place=place,
                hint=f"The file's messages are from {_span(whole)}." if _span(whole) else "They have no times.",
            )
        older = found.messages[0] is not whole.messages[0]
        return Chosen(found, place, len(whole.messages), left, older_exist=older)

    def _source(self) -> Path | Source:
        if self.file != "-":
            return Path(self.file)
        from chatstep.cli.stdin import read_bytes
        from chatstep.source import LARGEST_STREAM, Source

        return Source.of_bytes(read_bytes(LARGEST_STREAM))


def _span(transcript: Transcript) -> str:
    times = [message.time for message in (transcript.messages[0], transcript.messages[-1]) if message.time]
    return " to ".join(times)


def format_title(name: str) -> str:
    """How a format is called, such as "Slack export (zip or folder)"; its name where no module has it."""
    from chatstep.transcripts import formats

    known = formats()
    return known[name].title if name in known else name
