"""`chatstep demo`: a conversation, who counts as whom, what is sent, the reply as it is written, and what it took.

By default on the built-in rehearsal provider: no key, no network, nothing to pay.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import re
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.complete import Output
from chatstep.cli.completing import connection_names, models
from chatstep.cli.screen import clipped, console, for_terminal, money, warn
from chatstep.cli.session import open_app, run
from chatstep.cli.waiting import Waiting
from chatstep.message import History

if TYPE_CHECKING:
    from rich.console import Console

    from chatstep.app import App
    from chatstep.modules.openai.inputs import Completion

__all__ = ["conversation", "demo"]

_OPENAI_URL = "https://api.openai.com/v1"
_PACE = 0.02  # seconds between pieces, so that one sees how a reply streams


@click.command(epilog="\b\nExamples:\n  chatstep demo\n  chatstep demo --connection work")
@click.option(
    "--connection", metavar="NAME", shell_complete=connection_names, help="The connection to use. [default: rehearsal]"
)
@click.option(
    "-m", "--model", metavar="MODEL", shell_complete=models, help="The model that writes. [default: gpt-4o-mini]"
)
def demo(connection: str | None, model: str | None) -> None:
    """See the conversation of a small community answered.

    Runs on the built-in rehearsal provider unless --connection names a real one.
    """
    fixed = model or (None if connection else "gpt-4o-mini")
    run(_demo(connection or "rehearsal", {"model": fixed} if fixed else {}))


def conversation() -> dict[str, Any]:
    """The example as plain data: title, instructions, assistant, messages."""
    import json

    found: dict[str, Any] = json.loads(_text())
    return found


def _text() -> bytes:
    return importlib.resources.files("chatstep.cli").joinpath("demo_conversation.json").read_bytes()


async def _demo(connection: str, chosen: dict[str, Any]) -> None:
    from chatstep.cli.preview import look

    example = conversation()
    history = History.of(example["messages"], example["assistant"])
    fields = {"connection": connection, "instructions": example["instructions"], "history": history, **chosen}
    out = console()
    async with open_app() as app:
        _head(1, f"The conversation: {example['title']}", out)
        _tell(history, out)
        found = await look(app, fields, stream=True)
        _head(2, "Who counts as whom, and what is sent", out)
        _draw_roles(found, out)
        by = (
            f"the rehearsal provider in the part of {found.inputs.model}" if found.endpoint.free else found.inputs.model
        )
        _head(3, f"{history.assistant[0]}'s reply, by {for_terminal(by)}", out)
        done = await _reply(app, fields, out, paced=found.endpoint.free and out.is_terminal)
        _head(4, "What came of it", out)
        await asyncio.to_thread(_draw_result, done, found.endpoint.free, out)
    _draw_next(connection, out)
    for warning in done.warnings:
        warn(warning)


def _head(number: int, title: str, out: Console) -> None:
    if number > 1:
        out.print()
    if out.is_terminal:
        from rich.text import Text

        out.rule(Text(f"{number}  {title}", style="bold"), align="left", style="dim")
    else:
        out.print(f"{number}  {title}")


class _Wrapped(Output):
    """Breaks lines between words, so that a stream reads well in a narrow terminal."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width, self._column, self._held = width, 0, ""

    def write(self, text: str) -> None:
        """Write all whole words; the last one waits for its end."""
        *whole, self._held = re.split(r"(?<=\s)", self._held + text)
        for word in whole:
            self._put(word)

    def flush(self) -> None:
        """Write the last word."""
        held, self._held = self._held, ""
        if held:
            self._put(held)

    def _put(self, word: str) -> None:
        if self._column and self._column + len(word.rstrip()) > self._width:
            super().write("\n")
            self._column = 0
        if self._column + len(word) > self._width:
            word = word.rstrip(" ")  # a space at the border would stand alone on the next line
        super().write(word)
        self._column = 0 if word.endswith("\n") else self._column + len(word)


def _tell(history: History, out: Console) -> None:
    """The messages, one a line; the assistant's in colour."""
    from rich.table import Table

    lines = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    lines.add_column(style="dim")
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    for at, message in enumerate(history.messages, 1):
        replies = message.author.name in history.assistant
        style = "cyan" if replies else None
        lines.add_row(f"{at:>3}", for_terminal(message.author.name), for_terminal(message.text), style=style)
    out.print(lines)


def _draw_roles(found: Any, out: Console) -> None:
    from chatstep.cli.drawing import voices
    from chatstep.cli.picture import picture_of

    out.print(voices(picture_of(found)))
    prompt = found.draft.prompt
    left_out = f"{prompt.dropped_count} left out" if prompt.dropped_count else "nothing left out"
    counted = "counted exactly" if prompt.exact else "estimated"
    out.print(f"{len(prompt.messages)} messages, {prompt.tokens:,} tokens {counted}, {left_out};", style="dim")
    out.print(f"the reply may take {found.draft.limit:,} tokens more.", style="dim")


async def _reply(app: App, fields: dict[str, Any], out: Console, *, paced: bool) -> Completion:
    output = _Wrapped(out.width) if out.is_terminal else Output()
    try:
        async with Waiting() as waiting, app.stream(**fields) as stream:
            async for text in stream:
                waiting.over()
                output.write(text)
                if paced:
                    await asyncio.sleep(_PACE)
            return stream.completion
    finally:
        with suppress(BrokenPipeError):
            output.end()


def _draw_result(done: Completion, free: bool, out: Console) -> None:
    from chatstep.modules.openai.prices import cost

    usage = done.usage
    paid = done.cost if isinstance(done.cost, str) else money(done.cost.amount)
    if free:
        real = cost(usage, done.model, base_url=_OPENAI_URL)
        paid = f"nothing here; {money(real)} at OpenAI's price" if real is not None else "nothing here"
    cut = " (cut by Max Tokens)" if done.truncated else ""
    rows = (
        ("Message", clipped(done.message, 64)),
        ("Finish reason", f"{done.finish_reason}{cut}"),
        ("Tokens", f"{usage.prompt:,} prompt + {usage.completion:,} reply = {usage.total:,}"),
        ("Cost", paid),
        ("Time", f"{done.duration:.2f} s"),
        ("Model", for_terminal(done.model)),
    )
    for name, value in rows:
        out.print(f"{name:14}{value}")


def _draw_next(connection: str, out: Console) -> None:
    _head(5, "What to try next", out)
    program = _program()
    tries: tuple[tuple[str, str], ...] = (
        (f"{program} chat --connection rehearsal", "talk to it yourself"),
        (f"{program} complete --history chat.json --dry-run", "see what a file of your own would send"),
        (f"{program} rehearse", "serve any OpenAI client offline"),
        (f"OPENAI_API_KEY=… {program} demo --connection environment", "the same, answered by OpenAI"),
    )
    if connection != "rehearsal":
        tries = (*tries[1:3], (f"{program} chat --connection {connection}", "go on talking"))
    for command, what in tries:
        out.print(f"  {command}")
        out.print(f"    {what}", style="dim")


def _program() -> str:
    """What to type for chatstep: its name where a shell finds that, else the file that runs now."""
    called = Path(sys.argv[0])
    if shutil.which("chatstep") or called.name != "chatstep":
        return "chatstep"
    return shlex.quote(str(called))
