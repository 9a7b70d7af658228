"""`chatstep complete`: one completion, streamed to stdout, of a message and perhaps a transcript before it."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

import click
from msgspec import Struct
from msgspec.structs import replace

from chatstep.cli.completing import files
from chatstep.cli.histories import Choice, choice_options
from chatstep.cli.options import Asked, checked_text, completion_options, fields_of, json_option, report_option
from chatstep.cli.screen import for_terminal, money, note, print_json, warn
from chatstep.cli.session import open_app, run
from chatstep.cli.waiting import Waiting
from chatstep.errors import InvalidInput, StoreError
from chatstep.message import Message

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.cli.preview import Form
    from chatstep.message import History
    from chatstep.modules.openai.inputs import Completion

__all__ = ["Output", "complete", "summary", "write_stream"]


class _How(Struct):
    """How the completion is shown; ``verbose`` is also on where a person watches.

    ``damage`` is what of the history could not be read.
    """

    stream: bool
    as_json: bool
    verbose: bool
    dry: Form | None = None
    damage: str | None = None


@click.command(
    epilog="\b\nExamples:\n"
    "  git diff --staged | chatstep complete -s 'Write a commit message.'\n"
    "  chatstep complete --history _chat.txt --assistant Robo --last 200 --dry-run"
)
@click.argument("message", required=False)
@completion_options
@click.option(
    "--history",
    metavar="FILE",
    shell_complete=files,
    help="Earlier messages: any transcript (see `transcript`); - is stdin.",
)
@choice_options
@click.option("--name", metavar="NAME", help="Who writes MESSAGE, for the model to see. [default: nobody]")
@click.option("--stream/--no-stream", default=None, help="Show the reply as it is written. [default: yes]")
@json_option("Give the whole result as one JSON object, not streamed; errors too, on stderr.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Send nothing and need no key: draw what would be sent. With --json: the very bytes of the body.",
)
@click.option("--full", is_flag=True, help="With --dry-run: draw every message, also of a long prompt.")
@report_option("With --dry-run: give what is drawn as one JSON object.")
@click.option("-v", "--verbose", is_flag=True, help="Always say what was read and what it took; else on a terminal.")
def complete(message: str | None, history: str | None, assistant: tuple[str, ...], **rest: Any) -> None:
    """Ask for the next message of a conversation.

    MESSAGE is read from stdin when it is absent or `-`; say with -s what is to be done with it. The reply goes to
    stdout; warnings, tokens and cost to stderr. A reply that Max Tokens cut is given with a warning. Each class of
    error has its exit code.
    """
    how = _how(rest.pop("stream"), rest.pop("as_json"), rest.pop("verbose"))
    how.dry = _form(rest.pop("dry_run"), rest.pop("report"), rest.pop("full"), as_json=how.as_json)
    if how.stream and how.as_json and how.dry is None:
        raise InvalidInput("--json gives one object at the end; it cannot be streamed.", place="--stream")
    choice = {name: rest.pop(name) for name in ("channel", "last", "since", "until")}
    for name, value in {"assistant": assistant, **choice}.items():
        if value and history is None:
            raise InvalidInput("There is no history that this could be about.", place=f"--{name}")
    if message == "-" and history == "-":
        raise InvalidInput("Message and history cannot both come from stdin.", place="--history")
    name = rest.pop("name")
    fields = _fields(message, history, **rest)
    if history is not None:
        fields["history"] = _history(Choice(history, **choice), assistant, how)
    if name is not None:
        fields["message"] = _named(fields.get("message", ""), name, fields.get("history"))
    run(_preview(fields, how) if how.dry is not None else _complete(fields, how))


def _how(stream: bool | None, as_json: bool, verbose: bool) -> _How:
    return _How(not as_json if stream is None else stream, as_json, verbose or sys.stderr.isatty())


def _form(dry_run: bool, report: bool, full: bool, *, as_json: bool) -> Form | None:
    if (report or full) and not dry_run:
        raise InvalidInput("This belongs to --dry-run.", place="--report" if report else "--full")
    if report and as_json:
        raise InvalidInput("--json gives the body, --report what is drawn; choose one.", place="--report")
    if not dry_run:
        return None
    return "report" if report else "body" if as_json else "full drawing" if full else "drawing"


def _fields(message: str | None, history: str | None, **asked: Unpack[Asked]) -> dict[str, Any]:
    fields = fields_of(asked)
    if message is not None and message != "-":
        fields["message"] = checked_text(message, "message")
    elif message == "-" or (history is None and not sys.stdin.isatty()):
        from chatstep.cli.stdin import read_message

        fields["message"] = read_message()
    elif history is None and not fields.get("instructions"):
        raise InvalidInput("There is nothing to send.", place="message", hint="Write `chatstep complete 'Hello'`.")
    return fields


def _history(choice: Choice, assistant: tuple[str, ...], how: _How) -> History:
    """Read the history; say what was read, and in any case what of the file was not."""
    chosen = choice.read()
    history = chosen.history(assistant)
    how.damage = chosen.damage()
    if how.verbose and not how.as_json:
        note(for_terminal(chosen.summary()))
    if how.damage and not how.as_json:
        warn(how.damage)
    return history


def _named(text: str, name: str, history: History | None) -> Message:
    """The newest message as one by somebody of that name; of the history's authors where one of them is called so."""
    checked_text(name, "--name")
    if not name.strip() or not name.isprintable():
        raise InvalidInput("The name is empty or unprintable.", place="--name")
    if not text or text.isspace():
        raise InvalidInput("There is no message that somebody could have written.", place="--name")
    known = {message.author for message in history.messages} if history is not None else set()
    called = [author for author in known if name in (author.id, author.name)]
    return Message(called[0] if len(called) == 1 else name, text)


async def _preview(fields: dict[str, Any], how: _How) -> None:
    from chatstep.cli.preview import preview

    await preview(fields, stream=how.stream, form=how.dry or "drawing")


async def _complete(fields: dict[str, Any], how: _How) -> None:
    completion: Completion | None = None
    unwritten: StoreError | None = None
    try:
        async with open_app() as app:
            if how.stream:
                completion = await write_stream(app, fields)
            else:
                async with Waiting():
                    completion = await app.complete(**fields)
                if how.damage is not None:
                    completion = replace(completion, warnings=(how.damage, *completion.warnings))
                _print_whole(completion, as_json=how.as_json)
    except StoreError as error:
        if completion is None:
            raise
        unwritten = error  # the reply is out by now; that nothing is on record of it is still told, and counts
    if not how.as_json:
        for warning in completion.warnings:
            if warning != how.damage:
                warn(warning)
        if how.verbose:
            note(summary(completion))
    if unwritten is not None:
        raise unwritten


class Output:
    """Writes pieces of a reply to stdout as they come, and ends the line in any case."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._open = False
        with suppress(AttributeError, ValueError):
            sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that is not UTF-8

    def write(self, text: str) -> None:
        """A piece, at once."""
        text = for_terminal(text) if self._terminal else text
        sys.stdout.write(text)
        sys.stdout.flush()
        self._open = not text.endswith("\n") if text else self._open

    def flush(self) -> None:
        """Write what is held back; here nothing is."""

    def end(self) -> None:
        """End the line that is open."""
        self.flush()
        if self._open:
            self.write("\n")


async def write_stream(app: App, fields: dict[str, Any]) -> Completion:
    """Stream a reply to stdout; an error in the middle still ends the line."""
    output = Output()
    try:
        async with Waiting() as waiting, app.stream(**fields) as stream:
            async for text in stream:
                waiting.over()
                output.write(text)
            return stream.completion
    finally:
        with suppress(BrokenPipeError):
            output.end()


def _print_whole(completion: Completion, *, as_json: bool) -> None:
    if as_json:
        print_json(completion)
        return
    output = Output()
    output.write(completion.message)
    output.end()


def summary(completion: Completion) -> str:
    """Model, tokens, cost and time on one line."""
    usage = completion.usage
    cached = f" ({usage.cached:,} cached)" if usage.cached else ""
    thought = f" ({usage.reasoning:,} thinking)" if usage.reasoning else ""
    cost = completion.cost if isinstance(completion.cost, str) else money(completion.cost.amount)
    tries = f" · {completion.attempts} requests" if completion.attempts > 1 else ""
    return for_terminal(
        f"{completion.model} · {usage.prompt:,}{cached} + {usage.completion:,}{thought} tokens · {cost}"
        f" · {completion.duration:.1f} s{tries}"
    )
