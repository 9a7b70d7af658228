"""The API: conversations that chatstep keeps."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from chatstep.app import App
from chatstep.message import Author, Message
from chatstep.server.api.endpoints import Body, delete, get, patch
from chatstep.server.api.shapes import Page, PageWanted, Time, cursor, position, time_of
from chatstep.store import Conversation as StoredConversation

__all__ = ["conversation", "conversations", "messages", "remove", "rename"]


class Conversation(Struct, kw_only=True):
    """A conversation without its messages, which `messages` counts."""

    id: str
    title: str
    assistant: Author
    created: Time
    changed: Time
    messages: int


class Title(Body, kw_only=True):
    """Another title."""

    title: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]


@get("/api/conversations")
async def conversations(app: App, query: PageWanted) -> Page[Conversation]:
    """The conversations, the one changed last first."""
    after = position(query.cursor, tuple[int, int, str])
    found = await asyncio.to_thread(app.store.conversations.list, query.limit + 1, after)
    page = found[: query.limit]
    last = page[-1] if len(found) > len(page) else None
    return Page([_shown(each) for each in page], cursor((last.changed, last.created, last.id)) if last else None)


@get("/api/conversations/{conversation}")
async def conversation(app: App, conversation: str) -> Conversation:
    """One conversation."""
    return _shown(await asyncio.to_thread(app.store.conversations.get, conversation))


@get("/api/conversations/{conversation}/messages")
async def messages(app: App, conversation: str, query: PageWanted) -> Page[Message]:
    """The messages of a conversation, oldest first."""
    after = position(query.cursor, int) or 0
    found = await asyncio.to_thread(app.store.conversations.page, conversation, after, query.limit + 1)
    page = found[: query.limit]
    return Page([message for _, message in page], cursor(page[-1][0]) if len(found) > len(page) else None)


@patch("/api/conversations/{conversation}")
async def rename(app: App, conversation: str, body: Title) -> Conversation:
    """Give a conversation another title."""
    await asyncio.to_thread(app.store.conversations.rename, conversation, body.title)
    return _shown(await asyncio.to_thread(app.store.conversations.get, conversation))


@delete("/api/conversations/{conversation}")
async def remove(app: App, conversation: str) -> None:
    """Delete a conversation with its messages."""
    await asyncio.to_thread(app.store.conversations.delete, conversation)


def _shown(found: StoredConversation) -> Conversation:
    return Conversation(
        id=found.id,
        title=found.title,
        assistant=found.assistant,
        created=time_of(found.created / 1000),
        changed=time_of(found.changed / 1000),
        messages=found.messages,
    )
