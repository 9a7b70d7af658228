"""Who wrote in a transcript, and whether the assistant that was named is among them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.message import Author
from chatstep.registry import unknown
from chatstep.transcript import Transcript

__all__ = ["AuthorSummary", "authors", "match_assistant"]

_MOST_LISTED = 12


class AuthorSummary(Struct, frozen=True):
    """One author of a transcript: ``share`` is of all messages, from 0 to 1; ``name`` is the newest one."""

    name: str
    id: str | None
    bot: bool | None
    messages: int
    share: float
    first: str | None
    last: str | None
    other_names: tuple[str, ...] = ()


class _Author:
    """An author while the messages are counted."""

    def __init__(self) -> None:
        self.author = Author("")
        self.names: dict[str, None] = {}
        self.bot: bool | None = None
        self.messages = 0
        self.first: str | None = None
        self.last: str | None = None


def authors(transcript: Transcript) -> list[AuthorSummary]:
    """Who wrote how much, the busiest first. Authors are told apart by id, and by name where there is none."""
    found: dict[tuple[bool, str], _Author] = {}
    for message in transcript.messages:
        author = message.author
        counted = found.setdefault((author.id is None, author.id or author.name), _Author())
        counted.author = author
        counted.names[author.name] = None
        counted.bot = counted.bot if author.bot is None else author.bot
        counted.messages += 1
        counted.first = counted.first or message.time
        counted.last = message.time or counted.last
    total = len(transcript.messages)
    rows = [
        AuthorSummary(
            each.author.name,
            each.author.id,
            each.bot,
            each.messages,
            each.messages / total,
            each.first,
            each.last,
            tuple(name for name in each.names if name != each.author.name),
        )
        for each in found.values()
    ]
    return sorted(rows, key=lambda row: -row.messages)


def match_assistant(transcript: Transcript, who: Sequence[str]) -> tuple[str, ...]:
    """Check that everyone in ``who`` wrote something, by name, id or role; the file's own assistant where it is empty.

    Returns who counts as the assistant. Raises UnknownName with near names for one who wrote nothing, InvalidInput
    listing the authors when nothing tells.
    """
    summary = authors(transcript)
    roles = {message.role for message in transcript.messages if message.role}
    if not who and not transcript.assistant and any(message.role is None for message in transcript.messages):
        listed = ", ".join(f"{row.name} ({row.messages:,})" for row in summary[:_MOST_LISTED])
        more = f" and {len(summary) - _MOST_LISTED} more" if len(summary) > _MOST_LISTED else ""
        likely = next((row for row in summary if row.bot), summary[0]) if summary else None
        raise InvalidInput(
            f"The transcript does not say whose messages are the assistant's. Its authors: {listed}{more}.",
            place="assistant",
            hint=f"Name the bot, such as --assistant {likely.name!r}." if likely else None,
        )
    names = [name for row in summary for name in (row.name, *row.other_names)]
    met = {*names, *(row.id for row in summary if row.id), *roles}
    for name in who:
        if name not in met:
            raise unknown("author", name, dict.fromkeys(names), place="assistant")
    return tuple(who) or transcript.assistant
