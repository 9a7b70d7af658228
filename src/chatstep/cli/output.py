"""Writing messages to a file or to stdout: nothing is overwritten unasked, and a file is whole or not there.

For `transcript --to` and `conversations export`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from chatstep.cli.completing import files
from chatstep.cli.screen import for_terminal, note
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.message import Message

__all__ = ["FORMATS", "output_options", "write_messages"]

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("openai-jsonl", "json", "csv")


def output_options(command: F) -> F:
    """Give a command ``-O`` and ``--force``."""
    for option in (
        click.option("--force", is_flag=True, help="Overwrite the file of --output."),
        click.option(
            "-O", "--output", metavar="FILE", shell_complete=files, help="Write to this file instead of stdout."
        ),
    ):
        command = option(command)
    return command


def write_messages(
    messages: Sequence[Message], assistant: tuple[str, ...], format: str, output: str | None, *, force: bool
) -> None:
    """Write the messages in that format; raises InvalidInput where the file exists or cannot be written."""
    from chatstep.transcripts import write_transcript

    if output is None or output == "-":
        write_transcript(messages, assistant, format, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with _file(Path(output), force=force) as stream:
        count = write_transcript(messages, assistant, format, stream)
    note(for_terminal(f"Wrote {count:,} message{'' if count == 1 else 's'} to {output}."))


@contextmanager
def _file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file beside the wanted one that takes its place at the end, so that a failure leaves what was there."""
    place = for_terminal(ascii(str(path))[1:-1])
    try:
        if os.path.lexists(path) and not force:
            raise InvalidInput("The file exists already.", place=place, hint="Add --force to overwrite it.")
        if path.exists() and not path.is_file():  # such as /dev/null or a pipe
            with path.open("wb") as stream:
                yield stream
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}-", dir=path.parent)
        try:
            with open(descriptor, "wb") as stream:
                yield stream
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)  # as any new file; the temporary one is for its owner alone
            os.replace(name, os.path.realpath(path))
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise InvalidInput(f"The file cannot be written: {reason}.", place=place, hint="Choose another file.") from None
