"""Problem: one thing that is wrong with a flow's file, with its line, its place and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from chatstep.errors import InvalidInput

__all__ = ["Problem", "located", "refusal"]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong, and where. ``line`` counts from 1; 0: it is about the whole file."""

    line: int = 0
    place: str = ""
    """The path of the key, such as ``steps[1].with.message``."""
    message: str
    hint: str | None = None


def refusal(problems: Sequence[Problem], source: str) -> InvalidInput:
    """The error for a flow with problems: it says the first and holds all, as plain data in ``problems``."""
    first = problems[0]
    more = len(problems) - 1
    rest = f" ({more} more problem{'s' if more > 1 else ''}; `chatstep flow check` lists all.)" if more else ""
    at = f"{source} line {first.line}" if first.line else source
    return InvalidInput(
        f"{first.message}{rest}",
        place=f"{at}, {first.place}" if first.place else at,
        hint=first.hint,
        problems=to_builtins(problems),
    )


def located(problems: Sequence[Problem], lines: Mapping[str, int] | None, source: str) -> list[Problem]:
    """The problems with their lines, in that order. Without ``lines``, the source is read for them."""
    if problems and lines is None:
        from chatstep.flows.reading import read_draft  # needed only where something is wrong

        lines = read_draft(source).lines if source else {}
    found = [replace(problem, line=_line_of(problem.place, lines or {})) for problem in problems]
    return sorted(found, key=lambda problem: problem.line)


def _line_of(place: str, lines: Mapping[str, int]) -> int:
    """The line of a place, or of the nearest one above it."""
    while place and place not in lines:
        place = place[: max(place.rfind("."), place.rfind("["), 0)]
    return lines.get(place, 0)
