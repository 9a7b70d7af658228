"""`chatstep conversations export` and `import`: between the store and files, with the same messages on both sides.

Of a conversation with several assistants one is the conversation's own; the messages of the others bring the role
``assistant`` with them, so that `chat` and an export know them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from chatstep.cli.completing import conversation_ids, files
from chatstep.cli.histories import Choice, choice_options
from chatstep.cli.output import FORMATS, output_options, write_messages
from chatstep.cli.screen import for_terminal, note
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput
from chatstep.message import Author, Message

if TYPE_CHECKING:
    from chatstep.message import History
    from chatstep.store import Conversation, Store

__all__ = ["assistants", "export", "import_file"]


def assistants(conversation: Conversation, messages: Sequence[Message]) -> tuple[str, ...]:
    """Everybody who counts as the assistant of a kept conversation, by id or else by name."""
    who = [conversation.assistant]
    who += [each.author for each in messages if each.role == "assistant" and each.author.name != each.role]
    return tuple(dict.fromkeys(author.id or author.name for author in who))


@click.command(epilog="\b\nExample:\n  chatstep conversations export brave-otter-12 --to json -O otter.json")
@click.argument("id", shell_complete=conversation_ids)
@click.option("--to", type=click.Choice(FORMATS), required=True, help="The format to write.")
@output_options
def export(id: str, to: str, output: str | None, force: bool) -> None:
    """Write the conversation ID to stdout, or to a file."""
    with open_store() as store:
        found = store.conversations.get(id)
        messages = store.conversations.read(id)
    if not messages:
        raise InvalidInput("The conversation has no messages.", place=f"conversation {for_terminal(id)}")
    write_messages(messages, assistants(found, messages), to, output, force=force)


@click.command("import", epilog="\b\nExample:\n  chatstep conversations import _chat.txt --assistant Robo --id garden")
@click.argument("file", metavar="FILE", shell_complete=files)
@choice_options
@click.option("--id", metavar="ID", help="The id of the new conversation. [default: one of words]")
@click.option("--title", metavar="TEXT", help="Its title. [default: the chat's name, or its first words]")
def import_file(file: str, assistant: tuple[str, ...], id: str | None, title: str | None, **choice: str | int) -> None:
    """Make a conversation from FILE, any transcript that `chatstep transcript` reads; - is stdin."""
    chosen = Choice(file, **choice).read()  # type: ignore[arg-type]  # the options of those names
    history = chosen.history(assistant)
    author, messages = _with_roles(history)
    channel = chosen.transcript.channel or ""
    title = title or ("" if channel.isdecimal() else channel) or messages[0].text  # the number of a line is no title
    with open_store() as store:
        made = store.conversations.create(id, title=title, assistant=author)
        stored = _fill(store, made.id, messages)
    note(for_terminal(chosen.summary()))
    chosen.warn_of_damage()
    if stored < len(messages):
        note(f"{len(messages) - stored:,} messages came twice, by their ids, and are kept once.")
    note(f"Go on with: chatstep chat --conversation {for_terminal(made.id)}")
    click.echo(made.id)


def _fill(store: Store, id: str, messages: Sequence[Message]) -> int:
    """Store the messages; all of them or not even the conversation."""
    try:
        return store.conversations.append(id, *messages)
    except BaseException:
        store.conversations.delete(id)
        raise


def _with_roles(history: History) -> tuple[Author, list[Message]]:
    """The assistant who wrote most, and the messages; those of other assistants get the role."""
    from chatstep.modules.openai.roles import Roles

    roles = Roles(history)
    replies = [
        each.role not in ("system", "tool") and roles.is_assistant(each, at) for at, each in enumerate(history.messages)
    ]
    counts = Counter(each.author for each, is_reply in zip(history.messages, replies, strict=True) if is_reply)
    main = counts.most_common(1)[0][0] if counts else Author("assistant")
    messages = [
        replace(each, role="assistant") if is_reply and each.author != main and each.role is None else each
        for each, is_reply in zip(history.messages, replies, strict=True)
    ]
    return main, messages
