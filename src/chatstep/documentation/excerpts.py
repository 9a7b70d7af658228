"""Pages cut into excerpts: a heading with what stands under it, short enough to show several and to send to a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from chatstep.documentation.markdown import sections
from chatstep.documentation.pages import FRONT, Page

__all__ = ["LONGEST", "Excerpt", "excerpts"]

LONGEST = 1500
"""Characters of an excerpt, as a rule; a line is not cut."""


class Excerpt(Struct, frozen=True):
    """A part of a page. ``headings`` are those above it, from the page's title down; ``text`` is Markdown."""

    page: str
    headings: tuple[str, ...]
    anchor: str
    text: str


def excerpts(pages: Iterable[Page]) -> list[Excerpt]:
    """All pages in excerpts, in order. The list of pages itself says nothing, and is left out."""
    found: list[Excerpt] = []
    for page in pages:
        if page.name == FRONT:
            continue
        for section in sections(page.text):
            titles = (*section.above, section.heading.title.replace("`", ""))
            titles = (page.title, *titles[1:])
            found.extend(Excerpt(page.name, titles, section.heading.anchor, text) for text in _texts(section.blocks))
    return found


def _texts(blocks: Iterable[str]) -> Iterator[str]:
    """Blocks gathered into texts that are not too long."""
    gathered = ""
    for part in (part for block in blocks for part in _parts(block)):
        if gathered and len(gathered) + len(part) > LONGEST:
            yield gathered
            gathered = ""
        gathered = f"{gathered}\n\n{part}" if gathered else part
    if gathered:
        yield gathered


def _parts(block: str) -> Iterator[str]:
    """A block in one part, or cut between lines; each part of a table has its head, each of code its fences."""
    if len(block) <= LONGEST:
        yield block
        return
    lines = block.splitlines()
    head: list[str] = []
    tail: list[str] = []
    if block.startswith("|"):
        head = lines[:2]
    elif block.startswith(("```", "<!-- file:")):
        begin = 1 if block.startswith("`") else 2
        head, tail = lines[:begin], [lines.pop()]
    part: list[str] = []
    size = 0
    for line in lines[len(head) :]:
        if part and size + len(line) > LONGEST:
            yield "\n".join([*head, *part, *tail])
            part, size = [], 0
        part.append(line)
        size += len(line) + 1
    yield "\n".join([*head, *part, *tail])
