"""Read Conversation: the messages that are kept."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from chatstep.errors import UnknownName
from chatstep.message import Message
from chatstep.modules.conversation.add import conversation_of
from chatstep.step import Context, step

__all__ = ["ReadConversation", "ReadMessages", "read"]


class ReadConversation(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    conversation: Annotated[
        str, Meta(title="Conversation", description="The id of a conversation. Empty: the run's own.")
    ] = ""
    last: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(title="Last", description="Only so many of the newest. Empty: all.")
    ] = None


class ReadMessages(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    messages: Annotated[tuple[Message, ...], Meta(title="Messages", description="The messages, oldest first.")]
    assistant: Annotated[str, Meta(title="Assistant", description="Whose messages are the assistant's.")]
    count: Annotated[int, Meta(title="Count", description="How many messages the whole conversation has.")]
    older_exist: Annotated[bool, Meta(title="Older Exist", description="Whether there are older ones than these.")]


@step("conversation.read", title="Read Conversation", inputs=ReadConversation, output=ReadMessages)
async def read(inputs: ReadConversation, ctx: Context) -> ReadMessages:
    """Read the messages of a kept conversation; one that is not there yet has none."""
    conversation = conversation_of(inputs.conversation, ctx)

    def load() -> ReadMessages:
        try:
            found = ctx.conversations.get(conversation)
        except UnknownName:
            return ReadMessages(messages=(), assistant="", count=0, older_exist=False)
        messages = tuple(ctx.conversations.read(conversation, last=inputs.last))
        return ReadMessages(
            messages=messages,
            assistant=found.assistant.id or found.assistant.name,
            count=max(found.messages, len(messages)),
            older_exist=len(messages) < found.messages,
        )

    return await asyncio.to_thread(load)
