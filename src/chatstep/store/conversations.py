"""Conversations: the messages that chatstep keeps itself, in order, for a chat.

The command line's chat and whoever answers people reads and appends here. Several processes may append to one
conversation: nothing is lost, and what one of them appended keeps its order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chatstep.errors import InvalidInput, UnknownName
from chatstep.message import Author, Message, clean_text
from chatstep.store.database import Database
from chatstep.store.names import check_id, findable, nothing_called, storable, unix_ms

__all__ = ["Conversation", "Conversations"]

# Not the shared generator: a program that seeds it would get the same ids at every start.
_chance = random.SystemRandom()
_COLUMNS = "id, title, assistant, created, changed, messages"
_AT_ONCE = 500
# Text until an id is wanted: the store opens without cutting it up.
_MANNERS = (
    "amber azure bold brave brisk calm clear clever cosy crisp deep eager early fair fresh gentle glad golden green "
    "happy honest keen kind light lively lucky mellow merry mild neat noble plain proud quick quiet red ready rosy "
    "sharp shy silver simple smart snowy soft solid spry still sunny swift tidy vivid warm wise witty young"
)
_THINGS = (
    "anchor apple arrow badger beacon birch bridge brook candle canyon cedar cloud clover comet coral crane creek "
    "delta dune ember falcon fern finch fjord forest garden glade grove harbor hazel heron hill island jasmine kite "
    "lagoon lake lantern lark lemon lily lotus lynx maple marble meadow mint moon oak olive orchid otter owl pearl "
    "pebble pine plum pond poppy quartz rabbit raven reef ridge river robin sage shore sparrow spruce star stone "
    "stream swan thistle tiger tulip valley walnut willow wren"
)


class Conversation(Struct, frozen=True):
    """A conversation without its messages. Times are unix ms; ``changed`` is that of the last append."""

    id: str
    title: str
    assistant: Author
    created: int
    changed: int
    messages: int


class Conversations:
    """The stored conversations."""

    def __init__(self, database: Database, clock: Callable[[], int] = unix_ms) -> None:
        self._database = database
        self._clock = clock

    def create(self, id: str | None = None, *, title: str = "", assistant: Author | str = "assistant") -> Conversation:
        """Begin a conversation. Without an id it gets a short one of words; an id in use is InvalidInput."""
        if id is not None:
            check_id(id, "conversation")
        who = Author(assistant) if isinstance(assistant, str) else assistant
        now = self._clock()
        draft = Conversation(id or "", _line(title), who, now, now, 0)
        for attempt in range(8):
            conversation = draft if id is not None else replace(draft, id=_readable_id(attempt))
            if self._insert(conversation):
                return conversation
            if id is not None:
                break
        raise InvalidInput(
            "There is a conversation with that id already.",
            place="conversation",
            hint="Continue it, or choose another id.",
        )

    def _insert(self, new: Conversation) -> bool:
        return bool(
            self._database.execute(
                f"INSERT INTO chatstep_conversations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
                " ON CONFLICT (id) DO NOTHING",
                (new.id, new.title, _json(new.assistant), new.created, new.changed, new.messages),
            )
        )

    def append(self, id: str, *messages: Message) -> int:
        """Add messages at the end, all or none, and give how many were new.

        A message whose own ``id`` is in the conversation already is not stored again.
        """
        with self._database.transaction():
            return self._append(id, *messages)

    def _append(self, id: str, *messages: Message) -> int:
        bodies = [(storable(message.id) if message.id else None, _body(message)) for message in messages]
        # This comes first: on Postgres the changed row makes other writers of this conversation wait.
        self._change(id, "changed = ?", self._clock())
        (count,) = self._database.rows("SELECT messages FROM chatstep_conversations WHERE id = ?", (id,))[0]
        seen = self._stored_ids(id, [message_id for message_id, _ in bodies if message_id])
        rows: list[tuple[str, int, str | None, str]] = []
        for message_id, body in bodies:
            if message_id not in seen:
                rows.append((id, count + len(rows) + 1, message_id, body))
                if message_id:
                    seen.add(message_id)
        self._database.executemany(
            "INSERT INTO chatstep_messages (conversation, number, message_id, body) VALUES (?, ?, ?, ?)", rows
        )
        self._change(id, "messages = ?", count + len(rows))
        return len(rows)

    def receive(self, id: str, message: Message, assistant: Author | str) -> int:
        """Store a message that came in, beginning the conversation if need be, and give its number (from 1).

        A message that is there already keeps its number. Without an id it is not stored; the number is then the one
        that the next message gets.
        """
        if message.id is None:
            known = self._find(id)
            return (known.messages if known else 0) + 1
        check_id(id, "conversation")
        now = self._clock()
        who = Author(assistant) if isinstance(assistant, str) else assistant
        with self._database.transaction():
            self._insert(Conversation(id, _line(message.text)[:80], who, now, now, 0))
            self._append(id, message)
            rows = self._database.rows(
                "SELECT number FROM chatstep_messages WHERE conversation = ? AND message_id = ?",
                (id, storable(message.id)),
            )
        return int(rows[0][0])

    def before(self, id: str, number: int, most: int) -> list[Message]:
        """What was said before message ``number``: up to ``most`` earlier ones, each followed by its replies.

        It is the same at whatever time it is asked, since a reply stands where it belongs and not where it came.
        """
        rows = self._database.rows(
            "SELECT number, body FROM chatstep_messages WHERE conversation = ? AND number >= ? ORDER BY number",
            (id, max(1, number - most)),
        )
        decode = msgspec.json.Decoder(Message).decode
        earlier: list[Message] = []
        replies: dict[str, list[Message]] = {}
        for at, body in rows:
            message = decode(body)
            if _is_reply(message):
                replies.setdefault(message.reply_to or "", []).append(message)
            elif at < number:
                earlier.append(message)
        return [each for message in earlier for each in (message, *replies.get(message.id or "", ()))]

    def newer(self, id: str, number: int) -> str | None:
        """The id of the newest message after ``number`` that is not the assistant's; None when there is none."""
        found = self._find(id)
        rows = self._database.rows(
            "SELECT body FROM chatstep_messages WHERE conversation = ? AND number > ? ORDER BY number DESC",
            (id, number),
        )
        decode = msgspec.json.Decoder(Message).decode
        for (body,) in rows:
            message = decode(body)
            if message.id and not _is_reply(message) and found and message.author != found.assistant:
                return message.id
        return None

    def _find(self, id: str) -> Conversation | None:
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM chatstep_conversations WHERE id = ?",  # noqa: S608 - a constant
            (findable(id),),
        )
        return _from_row(rows[0]) if rows else None

    def _stored_ids(self, id: str, wanted: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            rows = self._database.rows(
                "SELECT message_id FROM chatstep_messages WHERE conversation = ?"  # noqa: S608 - only marks are added
                f" AND message_id IN ({', '.join('?' * len(part))})",
                (id, *part),
            )
            found.update(message_id for (message_id,) in rows)
        return found

    def read(self, id: str, *, first: int | None = None, last: int | None = None) -> list[Message]:
        """The messages, oldest first; with ``first`` or ``last`` only so many of the oldest or newest."""
        stored = self.get(id).messages
        after = 0 if last is None else max(0, stored - last)
        until = stored if first is None else first
        rows = self._database.rows(
            "SELECT body FROM chatstep_messages WHERE conversation = ? AND number > ? AND number <= ? ORDER BY number",
            (id, after, until),
        )
        decode = msgspec.json.Decoder(Message).decode
        return [decode(body) for (body,) in rows]

    def page(self, id: str, after: int, limit: int) -> list[tuple[int, Message]]:
        """Messages behind a number, oldest first, each with its number (from 1). Raises UnknownName."""
        self.get(id)
        rows = self._database.rows(
            "SELECT number, body FROM chatstep_messages WHERE conversation = ? AND number > ? ORDER BY number LIMIT ?",
            (id, after, limit),
        )
        decode = msgspec.json.Decoder(Message).decode
        return [(number, decode(body)) for number, body in rows]

    def get(self, id: str) -> Conversation:
        """One conversation. Raises UnknownName with the ids that are close."""
        found = self._find(id)
        if found is None:
            raise self._unknown(id)
        return found

    def list(self, limit: int = 1000, after: tuple[int, int, str] | None = None) -> list[Conversation]:
        """The conversations, the one changed last first; those behind one's ``(changed, created, id)``."""
        behind = ""
        values: tuple[int | str, ...] = ()
        if after is not None:
            behind = " WHERE changed < ? OR (changed = ? AND (created < ? OR (created = ? AND id > ?)))"
            changed, created, id = after
            values = (changed, changed, created, created, id)
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM chatstep_conversations{behind}"  # noqa: S608 - constants
            " ORDER BY changed DESC, created DESC, id LIMIT ?",
            (*values, limit),
        )
        return [_from_row(row) for row in rows]

    def latest(self) -> Conversation | None:
        """The conversation changed last, or None when there is none."""
        return next(iter(self.list(limit=1)), None)

    def rename(self, id: str, title: str) -> None:
        """Give a conversation another title."""
        self._change(id, "title = ?", _line(title))

    def delete(self, id: str) -> None:
        """Delete a conversation with its messages."""
        with self._database.transaction():
            # In the same order as `append`, so that the two wait for each other.
            if not self._database.execute("DELETE FROM chatstep_conversations WHERE id = ?", (findable(id),)):
                raise self._unknown(id)
            self._database.execute("DELETE FROM chatstep_messages WHERE conversation = ?", (id,))

    def _change(self, id: str, what: str, value: int | str) -> None:
        found = self._database.execute(
            f"UPDATE chatstep_conversations SET {what} WHERE id = ?",  # noqa: S608 - constants of the callers above
            (value, findable(id)),
        )
        if not found:
            raise self._unknown(id)

    def _unknown(self, id: str) -> UnknownName:
        rows = self._database.rows("SELECT id FROM chatstep_conversations ORDER BY changed DESC LIMIT 1000")
        return nothing_called("conversation", id, (known for (known,) in rows))


def _is_reply(message: Message) -> bool:
    """Whether a run of a flow said this."""
    return bool(message.id and message.id.startswith("run:"))


def _readable_id(attempt: int) -> str:
    """Two words and a number, which grows longer when short ones are taken."""
    return (
        f"{_chance.choice(_MANNERS.split())}-{_chance.choice(_THINGS.split())}-{_chance.randrange(10 ** (2 + attempt))}"
    )


def _line(text: str) -> str:
    """A title: one line, cut at 200 characters."""
    return " ".join(storable(text).split())[:200]


def _body(message: Message) -> str:
    try:
        return _json(message)
    except UnicodeEncodeError:
        return _json(_cleaned(msgspec.to_builtins(message)))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {key: _cleaned(part) for key, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, (list, tuple)) else value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _from_row(row: tuple[Any, ...]) -> Conversation:
    id, title, assistant, created, changed, messages = row
    return Conversation(id, title, msgspec.json.decode(assistant, type=Author), created, changed, messages)
