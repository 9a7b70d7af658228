"""`chatstep chat`: a conversation kept in the store.

What a person says is stored before it is sent, so that nothing is lost when a turn fails; a reply is stored when it is
whole. A reply that was stopped or cut is not kept, and `/retry` asks again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Unpack

import click

from chatstep.cli.completing import conversation_ids
from chatstep.cli.lines import Lines
from chatstep.cli.options import Asked, completion_options, fields_of, json_option
from chatstep.cli.screen import clipped, note
from chatstep.cli.session import open_app
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.store import Conversation, Store

__all__ = ["chat"]


@click.command(
    epilog="\b\nExamples:\n  chatstep chat --connection work -s 'Answer in one sentence.'\n  chatstep chat --continue"
)
@completion_options
@click.option("--continue", "go_on", is_flag=True, help="Go on with the conversation that was changed last.")
@click.option(
    "--conversation",
    metavar="ID",
    shell_complete=conversation_ids,
    help="Go on with this one, or begin one of this name.",
)
@click.option("--name", metavar="NAME", default="You", show_default=True, help="Who you are, for the model to see.")
@click.option("--list", "listing", is_flag=True, help="List the kept conversations and exit.")
@json_option("With --list: give a JSON list.")
def chat(
    go_on: bool, conversation: str | None, name: str, listing: bool, as_json: bool, **asked: Unpack[Asked]
) -> None:
    """Hold a conversation that is kept.

    Type a message and Enter; end a line with \\ to go on in the next one. Ctrl-C stops a reply, Ctrl-D leaves, /help
    says more. When stdin is a pipe, each line is a message. The instructions of its beginning are kept with it; others
    hold until you leave.
    """
    if listing:
        from chatstep.cli.conversations import list_conversations

        list_conversations(as_json=as_json)
        return
    if as_json:
        raise InvalidInput("A chat has no JSON form.", place="--json", hint="Use it with --list, or see `complete`.")
    if go_on and conversation:
        raise InvalidInput("Give --continue or --conversation, not both.", place="--continue")
    if not name.strip() or not name.isprintable():
        raise InvalidInput("The name is empty or unprintable.", place="--name")
    fields = fields_of(asked)
    with asyncio.Runner() as runner:
        app = runner.run(_entered())
        try:
            runner.run(_checked(app, fields))
            code = _hold(runner, app, fields, (_found(app.store, go_on, conversation), name))
        finally:
            runner.run(app.__aexit__(None, None, None))
    raise click.exceptions.Exit(code)


async def _entered() -> App:
    app = open_app()
    return await app.__aenter__()


async def _checked(app: App, fields: dict[str, Any]) -> None:
    """Raise what is wrong with inputs or connection now, before anything is typed or stored."""
    inputs = await app.inputs("Hello", fields)
    await asyncio.to_thread(app.connections.find, inputs.connection)


def _hold(runner: asyncio.Runner, app: App, fields: dict[str, Any], who: tuple[Conversation, str]) -> int:
    """Take messages until there are no more; the exit code is that of the last turn."""
    from chatstep.cli.turns import Turns

    conversation, name = who
    turns = Turns(runner, app, conversation, fields, name)
    lines = Lines(turns.said_before())
    if lines.interactive:
        note(f"Conversation {conversation.id}. /help says what else you can type; Ctrl-D leaves.")
        for message in turns.latest():
            note(f"  {clipped(message.author.name, 20)}: {clipped(message.text, 200)}")
    if turns.unanswered():
        note("The last message has no reply yet: /retry asks again.")
    try:
        while (text := lines.next()) is not None:
            if not turns.take(text):
                break
    finally:
        empty = turns.forget_if_empty()
    if lines.interactive and not empty:
        note(f"Kept. Go on with: chatstep chat --conversation {conversation.id}")
    return turns.exit_code


def _found(store: Store, go_on: bool, id: str | None) -> Conversation:
    from chatstep.errors import UnknownName

    if go_on:
        latest = store.conversations.latest()
        if latest is None:
            raise InvalidInput("There is no conversation yet.", place="--continue", hint="Begin one: chatstep chat.")
        return latest
    if id is None:
        return store.conversations.create()
    try:
        return store.conversations.get(id)
    except UnknownName:
        return store.conversations.create(id)
