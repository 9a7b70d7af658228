"""Writing to people and to programs: plain lines, colours where they are wanted, and rich when a table is drawn.

For all commands. Text is for stdout, everything said about it for stderr. Colour is off where the stream is no
terminal, where NO_COLOR is set, and on terminals that say they have none.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "agreed",
    "clipped",
    "console",
    "for_terminal",
    "has_colour",
    "money",
    "note",
    "print_json",
    "styled",
    "table",
    "warn",
]

_PLAIN_WIDTH = 120
# Control characters could move the cursor, rename the window or hide text; line ends and tabs are harmless.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def has_colour(stream: TextIO) -> bool:
    """Whether colours may be written to this stream."""
    return bool(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def for_terminal(text: str) -> str:
    """The text without characters that a terminal would obey instead of showing."""
    return text if text.isprintable() else _CONTROL.sub("", text)


def note(text: str = "") -> None:
    """A line to stderr."""
    click.echo(text, err=True, color=has_colour(sys.stderr))


def styled(text: str, colour: str, *, bold: bool = False) -> str:
    """The text in a colour, for stderr."""
    return click.style(text, fg=colour, bold=bold) if has_colour(sys.stderr) else text


def warn(text: str) -> None:
    """A warning to stderr."""
    note(f"{styled('Warning:', 'yellow')} {for_terminal(' '.join(text.splitlines()))}")


def agreed(question: str, *, yes: bool) -> bool:
    """Whether a person says yes, or ``--yes`` did; raises InvalidInput where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InvalidInput("Nobody can be asked here.", place="--yes", hint="Add --yes to go on.")
    return click.confirm(question, err=True)


def print_json(value: Any) -> None:
    """One JSON value and a line end to stdout."""
    import msgspec

    click.echo(msgspec.json.encode(value))


def money(amount: Any) -> str:
    """Dollars to read, with as many places as the amount needs; ``amount`` is a Decimal or "unknown" or None."""
    if amount is None or amount == "unknown":
        return "unknown"
    if amount == 0:
        return "$0"
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.7f}".rstrip("0") if amount >= 0.0000001 else "under $0.0000001"


def clipped(text: str, length: int = 60) -> str:
    """The beginning of a text on one line."""
    line = " ".join(for_terminal(text[: length * 4]).split())
    return line if len(line) <= length and len(text) <= length * 4 else line[: length - 1].rstrip() + "…"


def console(*, stderr: bool = False) -> Console:
    """A rich console: coloured and as wide as the terminal, or plain and of fixed width."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    colour = has_colour(stream)
    return Console(
        file=stream,
        no_color=not colour,
        color_system="auto" if colour else None,
        width=None if stream.isatty() else _PLAIN_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table with these columns; those in ``right`` hold figures."""
    from chatstep.cli.tables import FittingTable

    return FittingTable(columns, right)
