"""The page of commands: what each one's ``--help`` says, at a fixed width. Called by make_docs.py."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chatstep.cli.root import cli

MADE = "<!-- This page is made by scripts/make_docs.py. Change the code it is made from. -->"
WIDTH = 96
INTRODUCTION = """\
# Commands

The reply, or what a command was asked for, goes to stdout; warnings, errors and everything said about the work go to
stderr. Colour is off where the stream is no terminal, with `NO_COLOR` set, and with `TERM=dumb`.

**Exit codes.** 0 is success, also when Max Tokens cut the reply (then there is a warning). 2 is a wrong option or
input. Each class of error has its own code: see [errors](errors.md). 130 is Ctrl-C, 143 SIGTERM, 141 a reader of stdout
that went away, 1 output that cannot be written, or a defect of chatstep; `CHATSTEP_LOG=debug` then says where.

**Programs** use `--json`: stdout is one JSON value, and an error is one JSON object on a line of stderr, with `error`
(its code), `message` and details such as `place`, `hint`, `partial`. Complaints about options themselves stay text.

**The very bytes.** `complete --dry-run --json` writes the body that `complete --json` with the same options sends, byte
for byte and without a line end; with `--stream` the body of a streamed request. What a dry run draws is data with
`complete --dry-run --report`, and in `prompt` of `transcript --assistant WHO --json`; [transcripts](transcripts.md) has
the fields.

**Shell completion.** `eval "$(chatstep completion bash)"` in `~/.bashrc`, the same with `zsh`, or for fish
`chatstep completion fish > ~/.config/fish/completions/chatstep.fish`. It also completes names of connections,
models and conversations, inputs after `-o`, and files. It is click's own; the variable behind it is
`_CHATSTEP_COMPLETE=bash_source chatstep`.
"""


def commands_page() -> str:
    """The page as Markdown."""
    parts = [MADE, "", INTRODUCTION.rstrip()]
    root = click.Context(cli, info_name="chatstep", terminal_width=WIDTH, help_option_names=["-h", "--help"])
    for path, help_text in _helps(cli, root):
        parts += ["", f"{'##' if path.count(' ') < 2 else '###'} {path}", "", "```text", help_text.rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None:
            within = click.Context(inner, info_name=name, parent=context, terminal_width=WIDTH)
            yield from _helps(inner, within)
