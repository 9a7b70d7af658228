"""Who is who in a conversation: which messages are the assistant's, which one is the newest, what instructs.

By author where the history says whose messages are the assistant's; an item that brings a role and no name keeps its
role. For building prompts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.message import Author, History, Message
from chatstep.modules.openai.speakers import author_key
from chatstep.registry import near

__all__ = ["Newest", "Roles", "leading_system", "newest_of"]


class Roles:
    """Tells the assistant's messages from the users'."""

    def __init__(self, history: History | None) -> None:
        self.who = frozenset(history.assistant) if history else frozenset()

    def is_assistant(self, message: Message, at: int) -> bool:
        """Whether this message is the assistant's; raises InvalidInput when nothing tells."""
        author, role = message.author, message.role
        if self.who and (role is None or author.name != role):
            return author.name in self.who or author.id in self.who or role in self.who
        if role is None:
            raise InvalidInput(
                "The history does not say whose messages are the assistant's.",
                place="history.assistant",
                hint=f"Name the author, by id or name, such as {author.name[:64]!r} (who wrote messages[{at}]).",
            )
        return role == "assistant"

    def warnings(self, kept: Iterable[Author]) -> tuple[str, ...]:
        """A warning for each assistant's name that is nearly, but not quite, that of somebody who is a user.

        To be asked where none of the messages sent is the assistant's.
        """
        met = {name for author in kept for name in (author.name, author.id) if name} if self.who else set()
        return tuple(
            f"No message sent is by {who!r}; there is {close[0]!r}. Everyone counts as a user."
            for who in sorted(self.who)
            if (close := near(who, met))
        )


class Newest(Struct):
    """The newest message: what it says, by whom (None: not told), and whether the history ends with it."""

    text: str
    author: Author | None
    repeated: bool


def newest_of(message: str | Message, messages: Sequence[Message], roles: Roles) -> Newest | None:
    """The newest message, or None where there is no text. Where the history ends with that very message, it says so.

    The same message is one of the same id, or, where an id is missing, of the same author and text. A plain text is
    by nobody in particular, so that a user's message of the same text at the end is taken for it.
    """
    text = message if isinstance(message, str) else message.text
    if not text or text.isspace():
        return None
    last = messages[-1] if messages else None
    if isinstance(message, Message):
        return Newest(text, message.author, last is not None and _is_same(message, last))
    if last is None or last.text != text or last.role in ("system", "tool") or roles.is_assistant(last, -1):
        return Newest(text, None, repeated=False)
    return Newest(text, last.author, repeated=True)


def _is_same(message: Message, last: Message) -> bool:
    if message.id is not None and last.id is not None:
        return message.id == last.id
    return message.text == last.text and author_key(message.author) == author_key(last.author)


def leading_system(messages: Sequence[Message], end: int) -> int:
    """How many system messages the history begins with."""
    lead = 0
    while lead < end and messages[lead].role == "system":
        lead += 1
    return lead
