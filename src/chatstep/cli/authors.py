"""Draws what was read of a transcript: its format and time, a row per author, what was left out, and notes.

For `transcript` and `conversations import`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from chatstep.cli.drawing import bar, fitted
from chatstep.cli.histories import Chosen, format_title
from chatstep.cli.screen import for_terminal, table

if TYPE_CHECKING:
    from rich.console import Console

    from chatstep.transcripts import AuthorSummary

__all__ = ["draw_report"]

_MOST = 20
_HEAD = 11
_ROOMY = 100  # columns from which an id and a bot have columns of their own


Roles = Mapping[str, Mapping[str, int]]
"""As what the messages of each author count, by id or else by name; all together under ""."""


def draw_report(chosen: Chosen, roles: Roles | None, out: Console, *, full: bool = False) -> None:
    """All that is known of the file; with ``roles`` also who counts as what."""
    from chatstep.transcripts import authors

    transcript = chosen.transcript
    people = authors(transcript)
    _line(out, "Format", format_title(transcript.format))
    if transcript.channel:
        _line(out, "Channel", transcript.channel)
    if span := _span([message.time for message in transcript.messages if message.time]):
        _line(out, "Time", span)
    count = len(transcript.messages)
    chosen_of = "" if count == chosen.read else f" of {chosen.read:,}"
    by = f"{len(people):,} author{'' if len(people) == 1 else 's'}"
    _line(out, "Messages", f"{count:,}{chosen_of} by {by}")
    if roles is not None:
        _line(out, "Roles", " / ".join(f"{number:,} {role}" for role, number in roles[""].items()))
    out.print()
    out.print(_people(people, roles, count, out.width, full=full))
    hidden = 0 if full else len(people) - _MOST
    if hidden > 0:
        rest = sum(person.messages for person in people[_MOST:])
        out.print(f"… and {hidden:,} more with {rest:,} messages (--full shows them)", style="dim")
    if transcript.left_out:
        out.print()
        made = table("Left out", "Messages", "Example", right=("Messages",))
        for row in transcript.left_out:
            made.add_row(
                for_terminal(row.reason), f"{row.count:,}", for_terminal(_inside(row.example or "", chosen.place))
            )
        out.print(made)
    if transcript.notes:
        out.print()
        for words in transcript.notes:
            _line(out, "Note", words, style="yellow")


def _inside(example: str, place: str) -> str:
    """Where an example is inside the file, which everybody knows who named it."""
    return example.removeprefix(place).lstrip("!/: ") if example.startswith(place) else example


def _line(out: Console, name: str, text: str, style: str = "") -> None:
    for at, line in enumerate(Text(for_terminal(text), style=style).wrap(out, max(20, out.width - _HEAD))):
        line.rstrip()
        out.print(Text().append(f"{'' if at else name:{_HEAD}}", style="dim").append(line), no_wrap=True)


def _people(people: list[AuthorSummary], roles: Roles | None, total: int, width: int, *, full: bool) -> Any:
    """One row per author, the one with most messages first; in a narrow terminal the id stands below the name."""
    roomy = width >= _ROOMY
    ids, bots = any(person.id for person in people), any(person.bot is not None for person in people)
    columns = ["Author", *(["Id"] if ids and roomy else []), *(["Bot"] if bots and roomy else [])]
    times = any(person.first or person.last for person in people)
    columns += [*(["Counts as"] if roles is not None else []), "Messages", "Share"]
    columns += ["First", "Last"] if times else []
    made = table(*columns, right=("Messages",))
    most = max(person.messages for person in people)
    for person in people if full else people[:_MOST]:
        name = Text(fitted(for_terminal(person.name), 30 if roomy else 20))
        cells: list[Any] = []
        if roomy:
            cells += [for_terminal(person.id or "")] if ids else []
            cells += [{True: "yes", False: "no", None: ""}[person.bot]] if bots else []
        else:
            name.append(" bot" if person.bot else "", style="dim")
            name.append(f"\n{for_terminal(person.id)}" if person.id else "", style="dim")
        role = ", ".join(roles[person.id or person.name]) if roles is not None else ""
        cells += [role] if roles is not None else []
        blocks = 12 if roomy else 4
        share = f"{bar(person.messages / most, blocks)} {100 * person.messages / total:>3.0f}%"
        cells += [f"{person.messages:,}", Text(share, style="green")]
        cells += map(_day, (person.first, person.last)) if times else ()
        made.add_row(name, *cells, style="cyan" if role == "assistant" else None)
    return made


def _day(time: str | None) -> str:
    return "" if time is None else for_terminal(time[:10])


def _span(times: list[str]) -> str | None:
    """From when to when, to the minute, and how many days that is."""
    if not times:
        return None
    first, last = min(times), max(times)  # a file may keep another order than that of time
    words = f"{first[:16]} to {last[:16]}".replace("T", " ")
    try:
        days = (datetime.fromisoformat(last[:10]) - datetime.fromisoformat(first[:10])).days + 1
    except ValueError:
        return words
    return f"{words} ({days:,} day{'' if days == 1 else 's'})"
