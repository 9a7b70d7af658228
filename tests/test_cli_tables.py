"""Tables in terminals of all widths: no line is wider, no figure breaks, and nothing is left out."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from chatstep.cli.screen import table

ROWS = [("gpt-4o-mini", "128,000", "$0.15", "2027-01-14"), ("rehearsal/with-quite-a-long-name", "–", "unknown", "")]


def drawn(width: int, *, colour: bool = False) -> str:
    made = table("Model", "Window", "In", "Until", right=("Window", "In"))
    for first, *others in ROWS:
        made.add_row(Text(first), *others, style="cyan")
    out = Console(file=io.StringIO(), width=width, force_terminal=colour, color_system="standard" if colour else None)
    out.print(made)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("width", range(24, 90))
def test_a_table_fits(width: int) -> None:
    shown = drawn(width)
    assert max(cell_len(line) for line in shown.splitlines()) <= width
    whole = "".join(shown.split())
    for row in ROWS:
        assert all("".join(cell.split()) in whole for cell in row if " " not in cell and len(cell) < 15)
    for figure in ("128,000", "$0.15", "unknown", "2027-01-14"):
        assert figure in shown


def test_there_are_three_forms() -> None:
    assert "gpt-4o-mini                        128,000     $0.15   2027-01-14" in drawn(90)
    assert "gpt-4o-mini                     128,000    $0.15  2027-01-14" in drawn(60)
    assert [line.rstrip() for line in drawn(44).splitlines()] == [
        "gpt-4o-mini",
        "  window 128,000 · in $0.15 · until",
        "  2027-01-14",
        "rehearsal/with-quite-a-long-name",
        "  window – · in unknown",
    ]


def test_a_paragraph_keeps_the_colour_of_its_row() -> None:
    assert "\x1b[1;36mgpt-4o-mini\x1b[0m" in drawn(40, colour=True)
