"""`chatstep conversations`: the group, and what looks at conversations that are kept, or changes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from chatstep.cli.completing import conversation_ids
from chatstep.cli.lazy import LazyGroup, Place
from chatstep.cli.options import checked_text, json_option
from chatstep.cli.screen import agreed, clipped, console, for_terminal, note, print_json, table
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.store import Conversation

__all__ = ["COMMANDS", "conversations", "delete", "list_all", "list_conversations", "rename", "show"]

_HERE, _FILES = "chatstep.cli.conversations", "chatstep.cli.conversations_files"
COMMANDS = {
    "list": Place(f"{_HERE}:list_all", "List the conversations that are kept."),
    "show": Place(f"{_HERE}:show", "Show the messages of one."),
    "export": Place(f"{_FILES}:export", "Write one in a format for others."),
    "import": Place(f"{_FILES}:import_file", "Make one from an exported chat, to go on with in `chat`."),
    "rename": Place(f"{_HERE}:rename", "Give one another title."),
    "delete": Place(f"{_HERE}:delete", "Delete one with its messages."),
}


@click.group(
    cls=LazyGroup,
    places=COMMANDS,
    epilog="\b\nExample:\n  chatstep conversations import _chat.txt --assistant Robo --id garden\n"
    "  chatstep chat --conversation garden",
)
def conversations() -> None:
    """Conversations that `chat` keeps, and those that were imported."""


@click.command("list", epilog="\b\nExample:\n  chatstep conversations list --json")
@json_option("Give a JSON list.")
def list_all(as_json: bool) -> None:
    """List the conversations, the one changed last first."""
    list_conversations(as_json=as_json)


def list_conversations(*, as_json: bool) -> None:
    """Print the list; also for `chat --list`."""
    with open_store() as store:
        found = store.conversations.list()
    if as_json:
        print_json(found)
        return
    if not found:
        note("There is no conversation yet. Begin one: chatstep chat")
        return
    made = table("Conversation", "Last change (UTC)", "Messages", "Title", right=("Messages",))
    for each in found:
        made.add_row(for_terminal(each.id), _time(each.changed), f"{each.messages:,}", clipped(each.title, 50))
    console().print(made)


def _time(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M}"


@click.command(epilog="\b\nExample:\n  chatstep conversations show brave-otter-12 --last 5")
@click.argument("id", shell_complete=conversation_ids)
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the newest N messages. [default: all]")
@json_option("Give one JSON object, messages and all.")
def show(id: str, last: int | None, as_json: bool) -> None:
    """Show the conversation ID with its messages, oldest first."""
    with open_store() as store:
        found = store.conversations.get(id)
        messages = store.conversations.read(id, last=last)
    if as_json:
        data: dict[str, Any] = msgspec.to_builtins(found)
        print_json({**data, "count": found.messages, "messages": messages})
        return
    _head(found, len(messages))
    out = console()
    for message in messages:
        replies = message.author == found.assistant or message.role == "assistant"
        when = f"  {for_terminal(message.time[:16].replace('T', ' '))}" if message.time else ""
        out.print(f"\n{for_terminal(message.author.name)}{when}", style="bold cyan" if replies else "bold")
        out.print(for_terminal(message.text), style="cyan" if replies else None, soft_wrap=not out.is_terminal)


def _head(found: Conversation, shown: int) -> None:
    """What the conversation is, on stderr: stdout gets the messages."""
    title = f" “{clipped(found.title, 60)}”" if found.title else ""
    part = "" if shown == found.messages else f", the newest {shown:,} of them here"
    note(
        f"{for_terminal(found.id)}{title}: {found.messages:,} message{'' if found.messages == 1 else 's'}{part}; "
        f"{for_terminal(found.assistant.name)} is the assistant. Last change {_time(found.changed)} UTC."
    )


@click.command(epilog="\b\nExample:\n  chatstep conversations rename brave-otter-12 'Roses in winter'")
@click.argument("id", shell_complete=conversation_ids)
@click.argument("title")
def rename(id: str, title: str) -> None:
    """Give the conversation ID the title TITLE."""
    checked_text(title, "title")
    if not title.strip():
        raise InvalidInput("The title is empty.", place="title")
    with open_store() as store:
        store.conversations.rename(id, title)
    note(f"Renamed {for_terminal(id)}.")


@click.command(epilog="\b\nExample:\n  chatstep conversations delete brave-otter-12 --yes")
@click.argument("id", shell_complete=conversation_ids)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(id: str, yes: bool) -> None:
    """Delete the conversation ID with all its messages."""
    with open_store() as store:
        found = store.conversations.get(id)
        messages = f"{found.messages:,} message{'' if found.messages == 1 else 's'}"
        if not agreed(f"Delete {for_terminal(id)} with its {messages}?", yes=yes):
            note("Nothing was deleted.")
            return
        store.conversations.delete(id)
    note(f"Deleted {for_terminal(id)}.")
