"""Draws the picture of a prompt: a row per message, bars for tokens, the cut, budgets, money.

For `complete --dry-run`, `transcript` and the demo. Fits 80 columns, and uses more where there are more. Nothing that a
terminal would obey is passed on: control characters are shown by signs of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from chatstep.cli.screen import clipped, for_terminal, money, table

if TYPE_CHECKING:
    from rich.console import Console

    from chatstep.cli.picture import Picture, Row
    from chatstep.modules.openai.tail import Dropped

__all__ = ["bar", "draw", "draw_figures", "draw_rows", "fitted", "visible", "voices"]

_FIRST, _LAST = 6, 12
_STYLES = {"assistant": "cyan", "system": "magenta", "developer": "magenta"}
_CUT = {  # reasons for which the beginning of a history is missing
    "budget": "do not fit",
    "window": "for a steady start",
    "starts with assistant": "without their question",
}
_REASONS = {"empty": "no text", "system": "instructions are given", "tool": "a tool's messages"}
_SHOWN_RANGES = 3
_NUMBER, _FIGURE = 7, 11  # widths of the column of numbers, and of the names of figures
_HIDDEN = re.compile(r"\r\n|[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_EIGHTHS = " ▏▎▍▌▋▊▉"


def visible(text: str, width: int) -> str:
    """The beginning of a text on one line, with signs for line ends and for characters that cannot be seen."""
    begin = _HIDDEN.sub(_sign, text[: width * 4])
    return fitted(begin, width) if len(text) <= width * 4 else fitted(begin + "…", width)


def _sign(found: re.Match[str]) -> str:
    char = found[0]
    if char in ("\n", "\r\n"):
        return "↵"
    if char == "\t":
        return " "
    if char < " ":
        return chr(0x2400 + ord(char))
    return "␡" if char == "\x7f" else f"‹{ord(char):04X}›"


def fitted(text: str, width: int) -> str:
    """The text, or its beginning with an ellipsis, in at most ``width`` cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def bar(share: float, width: int) -> str:
    """A bar of blocks for a share from 0 to 1; whatever is more than nothing shows."""
    eighths = min(width * 8, round(share * width * 8))
    if share > 0 and eighths == 0:
        eighths = 1
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(width)


def draw(picture: Picture, out: Console, *, full: bool = False) -> None:
    """The roles, the messages, what is left out, tokens, money and warnings."""
    out.print(voices(picture))
    out.print()
    draw_rows(picture, out, full=full)
    out.print()
    draw_figures(picture, out)


def voices(picture: Picture) -> Any:
    """One row per author: who becomes what, and how they are called."""
    made = table("Author", "Counts as", "Sent as", "Messages", "Tokens", right=("Messages", "Tokens"))
    for voice in picture.voices:
        label = "–"
        if voice.speaker is not None:
            speaker = clipped(voice.speaker, 40)
            label = f"name {speaker}" if picture.speakers == "name" else f"“{speaker}: …”"
        author, counts = clipped(voice.author, 30), (f"{voice.messages:,}", f"{voice.tokens:,}")
        made.add_row(author, voice.role, label, *counts, style=_STYLES.get(voice.role))
    return made


class _Columns(Struct):
    """The widths of the columns, in cells."""

    role: int
    speaker: int
    tokens: int
    bar: int
    text: int
    most: int

    @classmethod
    def of(cls, rows: list[Row], width: int) -> _Columns:
        """Widths that fill the line; the text gets what is left. Where little is left, bars go, then names."""
        roomy, narrow = width >= 100, width < 64
        role = max((len(row.role) for row in rows), default=4)
        speaker = max((cell_len(for_terminal(row.speaker or "")) for row in rows), default=0)
        speaker = max(7, min(speaker, 20 if roomy else 12)) if speaker and width >= 52 else 0
        most = max((row.tokens for row in rows), default=0)
        tokens, blocks = max(6, len(f"{most:,}")), 16 if roomy else 0 if narrow else 8
        used = _NUMBER + role + tokens + (blocks + 1 if blocks else 0) + 6 + (speaker + 2 if speaker else 0)
        return cls(role, speaker, tokens, blocks, max(12, width - used), most)


def draw_rows(picture: Picture, out: Console, *, full: bool = False) -> None:
    """One line per message as the model will see it; of many the first and the last ones."""
    rows = picture.rows
    columns = _Columns.of(rows, out.width)
    out.print(_head(columns, {"prefix": "Prefix", "name": "Name"}.get(picture.speakers, "")), no_wrap=True)
    hidden = 0 if full else len(rows) - _FIRST - _LAST
    cut = _cut_line(picture.dropped, out.width)
    for at, row in enumerate(rows):
        if cut is not None and row.source != "instructions":
            out.print(cut, no_wrap=True)
            cut = None
        if hidden > 1 and _FIRST <= at < _FIRST + hidden:
            if at == _FIRST:
                between = sum(each.tokens for each in rows[_FIRST : _FIRST + hidden])
                more = f"{'…':>{_NUMBER}}  {hidden:,} more messages, {between:,} tokens (--full shows them)"
                out.print(Text(more, style="dim"), no_wrap=True)
            continue
        out.print(_line(row, columns), no_wrap=True)
    if cut is not None:
        out.print(cut, no_wrap=True)


def _head(columns: _Columns, speaker: str) -> Text:
    names = [f"{'#':>{_NUMBER}}", f"{'Role':{columns.role}}"]
    if columns.speaker:
        names.append(f"{speaker:{columns.speaker}}")
    figures = columns.tokens + (1 + columns.bar if columns.bar else 0)
    names += [f"{'Tokens'.rjust(columns.tokens):{figures}}", "Text"]
    head = Text("  ".join(names), style="bold")
    widths = [_NUMBER, columns.role, *([columns.speaker] if columns.speaker else [])]
    widths += [figures, columns.text]
    return head.append("\n").append("  ".join("─" * width for width in widths), style="not bold dim")


def _line(row: Row, columns: _Columns) -> Text:
    number = {"instructions": "instr.", "newest": "newest"}.get(row.source) or f"{(row.at or 0) + 1:,}"
    style = _STYLES.get(row.role, "")
    line = Text(f"{number:>{_NUMBER}}", style="dim" if row.source == "history" else "bold")
    line.append(f"  {row.role:{columns.role}}", style=f"not dim not bold {style}")
    if columns.speaker:
        label = fitted(for_terminal(row.speaker or ""), columns.speaker)
        line.append("  " + set_cell_size(label, columns.speaker), style="not dim not bold")
    line.append(f"  {row.tokens:>{columns.tokens},}", style="not dim not bold")
    if columns.bar:
        share = row.tokens / columns.most if columns.most else 0
        line.append(" " + bar(share, columns.bar), style="not dim not bold green")
    text_style = f"not dim {style}" + ("" if row.source == "newest" else " not bold")
    return line.append("  " + visible(row.text, columns.text), style=text_style)


def _cut_line(dropped: Iterable[Dropped], width: int) -> Text | None:
    """The line where the beginning of the history is missing."""
    counts: Counter[str] = Counter()
    for item in dropped:
        if item.reason in _CUT:
            counts[item.reason] += item.count
    if not counts:
        return None
    total = sum(counts.values())
    why = ", ".join(f"{counts[reason]:,} {words}" for reason, words in _CUT.items() if counts[reason])
    noun = "message" if total == 1 else "messages"
    words = fitted(f"─── {total:,} older {noun} left out: {why} ", width)
    return Text(words + "─" * max(0, width - cell_len(words)), style="yellow")


def draw_figures(picture: Picture, out: Console) -> None:
    """Tokens against budgets, the reply, money, the cache, and whatever else somebody should know."""
    width = 24 if out.width >= 100 else 16
    exact = "exact" if picture.exact else "an estimate"
    of = "" if picture.budget is None else f" of {picture.budget:,}"
    _figure(out, "Prompt", f"{picture.tokens:,}{of} tokens ({exact})", _share(picture.tokens, picture.budget, width))
    if picture.history_budget is not None:
        text = f"{picture.history_tokens:,} of {picture.history_budget:,} tokens"
        _figure(out, "History", text, _share(picture.history_tokens, picture.history_budget, width))
    _figure(out, "Reply", f"at most {picture.reply:,} tokens, sent as {picture.limit_field}")
    _figure(out, "Cost", _cost(picture))
    if picture.cache is not None:
        cache = picture.cache
        _figure(
            out,
            "Cache",
            f"about {cache.tokens:,} tokens stay the same at the next turn; from the provider's cache this prompt then "
            f"costs {money(cache.next)} instead of {money(cache.first)} (an estimate)",
        )
    for line in _left_out(picture):
        _figure(out, "Left out", line, style="yellow")
    if picture.repeated is not None:
        number = picture.repeated + 1
        _figure(out, "Sent once", f"the newest message, with which the history ends already (number {number:,})")
    if picture.leading:
        _figure(out, "Leading", f"{_many(picture.leading, 'system message')} of the history as the instructions")
    if picture.merged:
        _figure(out, "Joined", f"{_many(len(picture.merged), 'message')} with the next, since the server wants turns")
    _figure(out, "To", for_terminal(f"{picture.model} on connection {picture.connection} ({picture.kind})"))
    for warning in picture.warnings:
        _figure(out, "Warning", for_terminal(warning), style="yellow")


def _figure(out: Console, name: str, text: str, share: str = "", style: str = "") -> None:
    words = Text(style=style)
    if share:
        filled = share.rstrip("░")
        words.append(filled, style="green").append(share[len(filled) :], style="dim").append("  ")
    for at, line in enumerate(words.append(text).wrap(out, max(20, out.width - _FIGURE))):
        line.rstrip()
        out.print(Text(f"{'' if at else name:{_FIGURE}}", style=style).append(line), no_wrap=True)


def _share(part: int, whole: int | None, width: int) -> str:
    if not whole:
        return ""
    return bar(part / whole, width).rstrip().ljust(width, "░")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cost(picture: Picture) -> str:
    if picture.free:
        return "nothing: this is the rehearsal provider"
    if picture.cost is None:
        return "unknown: there is no price for this model on this server"
    least, most = picture.cost
    return f"{money(least)} (empty reply) to {money(most)} (longest reply)"


def _left_out(picture: Picture) -> Iterator[str]:
    """A line per reason; the first places of each."""
    by_reason: dict[str, list[Dropped]] = {}
    for item in picture.dropped:
        by_reason.setdefault(item.reason, []).append(item)
    for reason, items in by_reason.items():
        where = [
            f"{item.first + 1:,}" if item.count == 1 else f"{item.first + 1:,} to {item.last + 1:,}" for item in items
        ]
        noun = "message" if len(items) == items[0].count == 1 else "messages"
        more = f" and {len(where) - _SHOWN_RANGES:,} more places" if len(where) > _SHOWN_RANGES else ""
        count = sum(item.count for item in items)
        words = _REASONS.get(reason) or _CUT[reason]
        yield f"{noun} {', '.join(where[:_SHOWN_RANGES])}{more}: {words}" + (f" ({count:,})" if count > 1 else "")
