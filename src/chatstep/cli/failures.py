"""What becomes of an error: one line on stderr and an exit code, never a traceback.

Used by root.py around every command. With ``--json`` the line is one JSON object, as `ChatstepError.to_data` makes it.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import click

from chatstep.cli.screen import for_terminal, note, styled
from chatstep.errors import ChatstepError, InvalidInput

__all__ = [
    "BROKEN_PIPE",
    "INTERRUPTED",
    "TERMINATED",
    "Invocation",
    "error_lines",
    "print_error",
    "told",
    "without_keys",
]

_KEY = re.compile(r"\b(?:sk|gsk|xai|key)[-_][A-Za-z0-9_-]{8,}")
INTERRUPTED, TERMINATED, BROKEN_PIPE = 130, 143, 141  # 128 and the number of the signal, as shells count


class Invocation:
    """What the whole run knows: whether a program reads the output."""

    json = False


@contextmanager
def told(invocation: Invocation) -> Iterator[None]:
    """Turn what is raised inside into one line and an exit code; what ends a command as it should passes."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        print_error(_as_ours(error), as_json=invocation.json)
        raise click.exceptions.Exit(InvalidInput.exit_code) from None
    except (click.ClickException, click.exceptions.Exit):
        raise
    except ChatstepError as error:
        print_error(error, as_json=invocation.json)
        raise click.exceptions.Exit(error.exit_code) from None
    except BrokenPipeError:
        # Whoever read the output has gone; nothing more can be told. The descriptor is replaced, so that Python's
        # own flush at the end does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(BROKEN_PIPE) from None
    except (KeyboardInterrupt, click.exceptions.Abort):
        note("Interrupted.")
        raise click.exceptions.Exit(INTERRUPTED) from None
    except OSError as error:  # of the output, as a rule: files that are read have errors of their own
        reason = error.strerror or type(error).__name__
        note(f"{styled('Error:', 'red', bold=True)} The operating system refused: {reason}.")
        raise click.exceptions.Exit(1) from None
    except Exception as error:
        _print_unexpected(error)
        raise click.exceptions.Exit(1) from None


def _as_ours(error: click.UsageError) -> InvalidInput:
    """What click found wrong with the arguments, as every other wrong input is told."""
    message, place = error.format_message(), None
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter) and error.param:
        message, place = error.message, max(error.param.opts, key=len)
    path = error.ctx.command_path if error.ctx is not None else "chatstep"
    if not message.endswith((".", "?")):
        message += "."
    return InvalidInput(without_keys(message), place=place, hint=f"See `{path} --help`.")


def without_keys(text: str) -> str:
    """The text with what looks like a key masked: somebody may have typed one where it does not belong."""
    return _KEY.sub("***", text)


def error_lines(error: ChatstepError) -> list[str]:
    """The error as lines of plain text: the error itself, how often was asked, what model or provider said."""
    lines = [" ".join(str(error).splitlines())]
    if (attempts := error.details.get("attempts", 0)) > 1:
        lines.append(f"It was asked {attempts} times.")
    if refusal := error.details.get("refusal"):
        lines.append(f"The model said: {' '.join(str(refusal).split())}")
    if said := error.details.get("said"):
        lines.append(f"The provider said: {' '.join(str(said).split())}")
    return [for_terminal(without_keys(line)) for line in lines]


def print_error(error: ChatstepError, *, as_json: bool = False) -> None:
    """Print an error to stderr."""
    if as_json:
        import msgspec

        note(msgspec.json.encode(error.to_data(), enc_hook=str).decode())
        return
    first, *rest = error_lines(error)
    note(f"{styled('Error:', 'red', bold=True)} {first}")
    for line in rest:
        note(f"  {line}")


def _print_unexpected(error: Exception) -> None:
    """A defect of ours. Its message may hold anything, so only its type is shown, and on request where it happened."""
    label = styled("Error:", "red", bold=True)
    note(f"{label} Something unexpected happened ({type(error).__name__}); this is a defect of chatstep.")
    if os.environ.get("CHATSTEP_LOG", "").lower() == "debug":
        for frame in traceback.extract_tb(error.__traceback__):
            note(f"  {frame.filename}:{frame.lineno} in {frame.name}")
    else:
        note("  Run it again with CHATSTEP_LOG=debug to see where.")
