"""`chatstep transcript`: what is in a file of messages, who counts as what, and what a model would get of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import files
from chatstep.cli.histories import Choice, Chosen, choice_options, format_title
from chatstep.cli.options import completion_options, fields_of, json_option
from chatstep.cli.output import FORMATS, output_options, write_messages
from chatstep.cli.screen import console, for_terminal, note, print_json
from chatstep.cli.session import open_app, run, settings
from chatstep.errors import InvalidInput, UnknownName

if TYPE_CHECKING:
    from chatstep.cli.picture import Picture
    from chatstep.message import History
    from chatstep.transcript import Transcript

__all__ = ["transcript"]


@click.command(
    epilog="\b\nExamples:\n"
    "  chatstep transcript _chat.txt\n"
    "  chatstep transcript export.zip --channel support --assistant Robo --last 500\n"
    "  chatstep transcript conversations.json --channel 'Trip to Rome' --to openai-jsonl -O rome.jsonl"
)
@click.argument("file", metavar="FILE", shell_complete=files)
@choice_options
@click.option("--to", type=click.Choice(FORMATS), help="Write the messages in this format instead.")
@output_options
@click.option("--prompt", is_flag=True, help="Draw the prompt, also where the file says itself who the assistant is.")
@click.option("--full", is_flag=True, help="Draw every author and every message of the prompt.")
@json_option("Give everything that is shown as one JSON object.")
@completion_options
def transcript(file: str, assistant: tuple[str, ...], **rest: Any) -> None:
    """Show what is in FILE: a chat as Discord, Slack, Telegram, WhatsApp, ChatGPT, Claude and others export it.

    The format is found by content. With --assistant the roles are shown, and the prompt that a model would get; the
    options below --json shape it as in `complete`. FILE may be a folder or a zip; - is stdin.
    """
    choice = Choice(file, *(rest.pop(name) for name in ("channel", "last", "since", "until")))
    to, output, force = rest.pop("to"), rest.pop("output"), rest.pop("force")
    prompt, full, as_json = rest.pop("prompt"), rest.pop("full"), rest.pop("as_json")
    if to is None and (output or force):
        raise InvalidInput("--to FORMAT is missing.", place="--output", hint=f"Choose of {', '.join(FORMATS)}.")
    if to is not None and as_json:
        raise InvalidInput("--to writes messages, --json what is shown of them; choose one.", place="--to")
    if output and file != "-" and Path(output).resolve() == Path(file).resolve():
        raise InvalidInput("That is the file that is read.", place="--output", hint="Name another.")
    settings()  # logging begins
    try:
        chosen = choice.read()
    except UnknownName as error:
        if choice.channel is not None or to or assistant or not _list_channels(choice, error, as_json=as_json):
            raise
        return
    if to is not None:
        named = assistant or to == "openai-jsonl"
        who = chosen.history(assistant).assistant if named else chosen.transcript.assistant
        chosen.warn_of_damage()
        write_messages(chosen.transcript.messages, who, to, output, force=force)
        return
    fields = fields_of(rest)  # type: ignore[arg-type]  # what is left are the shared options
    history = chosen.history(assistant) if assistant or prompt or _knows(chosen.transcript) else None
    picture = run(_picture({**fields, "history": history})) if assistant or prompt else None
    if as_json:
        print_json(_data(chosen, history, picture))
        return
    _draw(chosen, history, picture, full=full)


def _knows(transcript: Transcript) -> bool:
    """Whether the file says itself who is the assistant."""
    return bool(transcript.assistant) or all(message.role is not None for message in transcript.messages)


async def _picture(fields: dict[str, Any]) -> Picture:
    from chatstep.cli.picture import picture_of
    from chatstep.cli.preview import look

    async with open_app() as app:
        return await asyncio.to_thread(picture_of, await look(app, fields, stream=True))


def _list_channels(choice: Choice, error: UnknownName, *, as_json: bool) -> bool:
    """List the chats of a file that holds several; False when that was not the matter."""
    near = error.details.get("near")
    if not near:
        return False
    channels = Choice(choice.file, near[0]).read().transcript.channels
    if as_json:
        print_json({"channels": channels})
        return True
    for channel, times in Counter(channels).items():
        ids = f"  ({times:,} of that name: {_ids(choice.file, channel)})" if times > 1 else ""
        click.echo(for_terminal(f"{channel}{ids}"))
    note(f"{len(channels):,} chats. Look at one: chatstep transcript {for_terminal(choice.file)} --channel NAME")
    return True


def _ids(file: str, channel: str) -> str:
    """By which ids chats that share a name are told apart, as the reader's error lists them."""
    try:
        Choice(file, channel).read()
    except UnknownName as error:
        return (error.hint or "").removeprefix("Known: ").removesuffix(".")
    return channel


def _roles(chosen: Chosen, history: History) -> dict[str, Counter[str]]:
    """As what the messages of each author count, by id or else by name, and how many; all together under ""."""
    from chatstep.modules.openai.roles import Roles

    roles = Roles(history)
    found: dict[str, Counter[str]] = {"": Counter({"assistant": 0, "user": 0})}
    for at, message in enumerate(chosen.transcript.messages):
        role: str | None = message.role
        if role not in ("system", "tool"):
            role = "assistant" if roles.is_assistant(message, at) else "user"
        found[""][role] += 1
        found.setdefault(message.author.id or message.author.name, Counter())[role] += 1
    return found


def _data(chosen: Chosen, history: History | None, picture: Picture | None) -> dict[str, Any]:
    from chatstep.transcripts import authors

    transcript = chosen.transcript
    return {
        "format": transcript.format,
        "title": format_title(transcript.format),
        "channel": transcript.channel,
        "channels": transcript.channels,
        "read": chosen.read,
        "messages": len(transcript.messages),
        "first": transcript.messages[0].time,
        "last": transcript.messages[-1].time,
        "authors": authors(transcript),
        "left_out": transcript.left_out,
        "notes": transcript.notes,
        "assistant": history.assistant if history is not None else transcript.assistant,
        "roles": None if history is None else _roles(chosen, history)[""],
        "prompt": picture,
    }


def _draw(chosen: Chosen, history: History | None, picture: Picture | None, *, full: bool) -> None:
    from chatstep.cli import drawing
    from chatstep.cli.authors import draw_report

    out = console()
    draw_report(chosen, None if history is None else _roles(chosen, history), out, full=full)
    if picture is None:
        return
    out.print()
    drawing.draw_rows(picture, out, full=full)
    out.print()
    drawing.draw_figures(picture, out)
