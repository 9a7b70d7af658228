"""Author, Message, History: the frozen values that every room talks in.

A Message has an author and a text. A History says whose messages count as the assistant's; everyone else's are the
user's. Items in the protocol's own shape, ``{"role", "content"}``, are read too and keep their role.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.structs import force_setattr

from chatstep.errors import InvalidInput

__all__ = ["Attachment", "Author", "History", "Message", "Role", "clean_text", "message_from"]

Role = Literal["system", "user", "assistant", "tool"]

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


class Author(Struct, frozen=True, omit_defaults=True):
    """Who wrote a message. ``id`` is stable where the platform has one; ``name`` is what people see."""

    name: str
    id: str | None = None
    bot: bool | None = None


class Attachment(Struct, frozen=True, omit_defaults=True):
    """A file, picture or link beside the text. It is kept as a fact and never mixed into the text."""

    kind: str
    name: str | None = None
    url: str | None = None


class Message(Struct, frozen=True, omit_defaults=True):
    """One message: who, what, and optionally its id, time (ISO 8601) and attachments.

    ``author`` may be given as a plain name. ``role`` is set only where the source carried roles itself. ``reply_to`` is
    the id of the message that is answered; ``edited`` says that the text is not the first one.
    """

    if TYPE_CHECKING:  # a name is turned into an Author below, so whoever reads `author` meets an Author
        author: Author

        def __init__(  # noqa: PLR0913 - the fields of this very struct, spelt out for type checkers
            self,
            author: Author | str,
            text: str,
            *,
            id: str | None = None,
            time: str | None = None,
            attachments: tuple[Attachment, ...] = (),
            role: Role | None = None,
            reply_to: str | None = None,
            edited: bool = False,
        ) -> None: ...

    else:
        author: Author | str
    text: str
    id: str | None = None
    time: str | None = None
    attachments: tuple[Attachment, ...] = ()
    role: Role | None = None
    reply_to: str | None = None
    edited: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.author, str):
            force_setattr(self, "author", Author(self.author))
        text: object = self.text
        if not isinstance(text, str):
            self._without_text(text)

    def _without_text(self, given: object) -> None:
        """Platforms give None for a picture alone; anything else is a mistake."""
        if given is not None:
            raise InvalidInput(f"Expected text, got {type(given).__name__}.", place="message.text")
        force_setattr(self, "text", "")


class History(Struct, frozen=True):
    """Earlier messages, oldest first, and whose of them are the assistant's.

    ``assistant`` names one author or several, by id or by name, exactly. It may be left empty only when every message
    brings a role of its own.
    """

    if TYPE_CHECKING:  # loose values become these below
        assistant: tuple[str, ...]
        messages: Sequence[Message]

        def __init__(
            self,
            assistant: str | Author | Iterable[str | Author] = (),
            messages: Iterable[Any] = (),
            older_exist: bool = False,
        ) -> None: ...

    else:
        assistant: Annotated[
            str | tuple[str, ...],
            Meta(
                title="Assistant",
                description="Whose messages are the assistant's, by id or name; all others are user.",
            ),
        ] = ()
        messages: Annotated[
            Sequence[Message],
            Meta(title="Messages", description="Earlier messages, oldest first."),
        ] = ()
    older_exist: Annotated[
        bool,
        Meta(
            title="Older Exist",
            description="Whether older messages were not handed over, as when a platform gives the last 100.",
        ),
    ] = False

    def __post_init__(self) -> None:
        force_setattr(self, "assistant", _who(self.assistant))
        if not _all_messages(self.messages):
            force_setattr(self, "messages", _read_all(self.messages))

    @classmethod
    def of(cls, messages: Iterable[Any], assistant: str | Author | Iterable[str | Author] = ()) -> History:
        """Build a history from messages in any accepted shape (see `message_from`).

        Raises InvalidInput naming the first item that is none.
        """
        return cls(assistant, messages)


_LOOKED_AT = 500


def _who(value: object) -> tuple[str, ...]:
    """The assistant's authors as names and ids; an empty one names nobody."""
    given = (value,) if isinstance(value, (str, Author)) else value
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        who = [author.id or author.name if isinstance(author, Author) else author for author in given]
        if all(isinstance(author, str) for author in who):
            return tuple(author for author in who if author)
    raise InvalidInput(
        f"Expected an author or a list of authors, got {type(value).__name__}.",
        place="history.assistant",
        hint="Name them by id or name.",
    )


def _all_messages(items: object) -> bool:
    """Whether these are Messages already. Of a long list both ends are looked at; who walks it looks at the rest."""
    if not isinstance(items, (list, tuple)):
        return False
    if len(items) <= 2 * _LOOKED_AT:
        return set(map(type, items)) <= {Message}
    return {*map(type, items[:_LOOKED_AT]), *map(type, items[-_LOOKED_AT:])} <= {Message}


def _read_all(items: object) -> list[Message]:
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise InvalidInput(f"Expected messages, got {type(items).__name__}.", place="history.messages")
    return [message_from(item, f"history.messages[{at}]") for at, item in enumerate(items)]


def message_from(item: object, place: str = "message") -> Message:
    """Read one message: a Message, ``(author, text)``, ``{author, text}`` or ``{role, content}``.

    Raises InvalidInput with ``place`` when it is none of these.
    """
    if isinstance(item, Message):
        return item
    if isinstance(item, Mapping):
        return _from_fields(item, place) if "author" in item or "role" not in item else _from_roles(item, place)
    if isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, str) for part in item):
        return Message(item[0], item[1])
    raise InvalidInput(
        f"Expected a message, got {type(item).__name__}.",
        place=place,
        hint='Write {"author": "Ana", "text": "Hello"} or {"role": "user", "content": "Hello"}.',
    )


def _role(value: object, place: str) -> Role:
    role = _ROLES.get(value) if isinstance(value, str) else None
    if role is None:
        raise InvalidInput(
            f"Unknown role {reprlib.repr(value)}.",
            place=f"{place}.role",
            hint="Roles: system, user, assistant, tool.",
        )
    return role


def _from_roles(item: Mapping[str, Any], place: str) -> Message:
    role = _role(item["role"], place)
    name = _text(item.get("name"), f"{place}.name") if item.get("name") is not None else None
    text, attachments = _content(item.get("content"), f"{place}.content")
    return Message(
        Author(name or role),
        text,
        id=_opt_text(item, "id", place),
        time=_opt_text(item, "time", place),
        attachments=attachments,
        role=role,
    )


def _from_fields(item: Mapping[str, Any], place: str) -> Message:
    for key in ("author", "text"):
        if key not in item:
            raise InvalidInput(
                f"A message needs `{key}`; this one has {', '.join(map(str, list(item)[:8]))[:80] or 'nothing'}.",
                place=place,
                hint='Write {"author": "Ana", "text": "Hello"}.',
            )
    text, attachments = _content(item["text"], f"{place}.text")
    return Message(
        _author(item["author"], f"{place}.author"),
        text,
        id=_opt_text(item, "id", place),
        time=_opt_text(item, "time", place),
        attachments=(*_attachments(item.get("attachments"), f"{place}.attachments"), *attachments),
        role=_role(item["role"], place) if item.get("role") is not None else None,
    )


def _attachments(value: object, place: str) -> tuple[Attachment, ...]:
    try:
        return convert(value if value is not None else (), tuple[Attachment, ...], from_attributes=True)
    except ValidationError:
        raise InvalidInput(
            "Expected a list of attachments.", place=place, hint='Write [{"kind": "image", "url": "..."}].'
        ) from None


def _author(value: object, place: str) -> Author:
    if isinstance(value, Author):
        return value
    if isinstance(value, Mapping):
        known = _opt_text(value, "id", place)
        name = value.get("name")
        bot = value.get("bot")
        return Author(
            _text(known if name is None else name, f"{place}.name"),
            id=known,
            bot=bot if isinstance(bot, bool) else None,
        )
    return Author(_text(value, place))


def _content(value: object, place: str) -> tuple[str, tuple[Attachment, ...]]:
    """Text, or the protocol's list of parts: their texts joined, everything else kept as attachments."""
    if value is None:
        return "", ()
    if not isinstance(value, list):
        return _text(value, place), ()
    texts: list[str] = []
    rest: list[Attachment] = []
    for at, part in enumerate(value):
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, Mapping):
            rest.append(Attachment(str(part.get("type", "unknown"))))
        else:
            texts.append(_text(part, f"{place}[{at}]"))
    return "".join(texts), tuple(rest)


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"Expected text, got {type(value).__name__}.", place=place)
    return value


def _opt_text(item: Mapping[str, Any], key: str, place: str) -> str | None:
    """Ids and times; numbers are common there and become their text."""
    value = item.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"Expected text, got {type(value).__name__}.", place=f"{place}.{key}")


def clean_text(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD, since they cannot be written as UTF-8; else unchanged."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
