"""Add to Conversation: keep a message, once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

from msgspec import Meta, Struct

from chatstep.errors import InvalidInput, UnknownName
from chatstep.message import Author, Message, Role
from chatstep.step import Context, step

__all__ = ["AddMessage", "Added", "add", "conversation_of"]


class AddMessage(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The inputs of the step."""

    author: Annotated[str, Meta(title="Author", description="Who wrote the message.", min_length=1)]
    text: Annotated[str, Meta(title="Text", description="What the message says.")]
    conversation: Annotated[
        str,
        Meta(title="Conversation", description="A conversation's id; a new one is begun. Empty: the run's own."),
    ] = ""
    id: Annotated[
        str, Meta(title="ID", description="The message's id; a second one with it is not kept. Empty: this step's own.")
    ] = ""
    role: Annotated[
        Role | None, Meta(title="Role", description="Only where a message must count as that, whoever wrote it.")
    ] = None


class Added(Struct, kw_only=True, frozen=True):
    """The output of the step."""

    conversation: Annotated[str, Meta(title="Conversation", description="The id of the conversation.")]
    id: Annotated[str, Meta(title="ID", description="The id of the message.")]
    added: Annotated[bool, Meta(title="Added", description="False where a message of that id was there already.")]


@step("conversation.add", title="Add to Conversation", inputs=AddMessage, output=Added)
async def add(inputs: AddMessage, ctx: Context) -> Added:
    """Keep a message in a conversation, once, also when the step is run again after a crash."""
    conversation = conversation_of(inputs.conversation, ctx)
    message_id = inputs.id or (ctx.run.key if ctx.run is not None else "")
    message = Message(Author(inputs.author), inputs.text, id=message_id or None, role=inputs.role)

    def keep() -> int:
        try:
            return int(ctx.conversations.append(conversation, message))
        except UnknownName:
            with suppress(InvalidInput):  # somebody began it in the same moment
                ctx.conversations.create(conversation)
            return int(ctx.conversations.append(conversation, message))

    return Added(conversation=conversation, id=message_id, added=bool(await asyncio.to_thread(keep)))


def conversation_of(given: str, ctx: Context) -> str:
    """The conversation that a step means; raises InvalidInput where it names none and its run has none."""
    if given:
        return given
    if ctx.run is None or not ctx.run.conversation:
        raise InvalidInput(
            "No conversation is named, and the run belongs to none.",
            place="conversation",
            hint="Name one, or give the flow a `conversation:`.",
        )
    return ctx.run.conversation
