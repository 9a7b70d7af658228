"""A table that reads well in any terminal.

Made by `screen.table` for all commands. Where room is short its columns stand closer together and figures stay whole;
where even that does not fit, every row becomes a paragraph that names its columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.box import Box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

__all__ = ["FittingTable"]

_LINE_UNDER_HEAD = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")
_LEAST = 16  # cells; a column of words is not squeezed below this, or below its longest word


class FittingTable(Table):
    """Columns by name; those in ``right`` hold figures."""

    def __init__(self, columns: Iterable[str], right: Iterable[str]) -> None:
        super().__init__(box=_LINE_UNDER_HEAD, pad_edge=False, header_style="bold", border_style="dim", show_edge=False)
        for name in columns:
            figures = name in right
            self.add_column(name, justify="right" if figures else "left", no_wrap=figures, overflow="fold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As wide as it wants to be, else closer together, else a paragraph per row."""
        boundless = options.update_width(10_000)
        if self.__rich_measure__(console, boundless).maximum > options.max_width:
            self.padding = (0, 1, 0, 0)
            if self._least(console, boundless) > options.max_width:
                yield from self._paragraphs()
                return
        yield from super().__rich_console__(console, options)

    def _least(self, console: Console, options: ConsoleOptions) -> int:
        """The width below which figures or short words would break."""
        gaps = 2 * (len(self.columns) - 1)
        return gaps + sum(self._column_least(column, console, options) for column in self.columns)

    def _column_least(self, column: Column, console: Console, options: ConsoleOptions) -> int:
        sizes = [console.measure(cell, options=options) for cell in (column.header, *column.cells)]
        if column.no_wrap:
            return max(size.maximum for size in sizes)
        return min(_LEAST, max(size.minimum for size in sizes))

    def _paragraphs(self) -> Iterator[Any]:
        names = [str(column.header) for column in self.columns[1:]]
        cells = [list(column.cells) for column in self.columns]
        for at, row in enumerate(self.rows):
            first, *others = (column[at] for column in cells)
            style = row.style or ""
            head = _text(first)
            head.stylize("bold")
            yield Text.assemble(head, style=style)
            pairs = [(name, _text(cell)) for name, cell in zip(names, others, strict=True) if _text(cell).plain]
            facts = [Text.assemble((name.lower(), "dim"), " ", cell, style=style) for name, cell in pairs]
            yield Padding(Text(" · ").join(facts), (0, 0, 0, 2))


def _text(cell: Any) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(str(cell))
