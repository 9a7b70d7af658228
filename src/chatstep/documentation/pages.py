"""The project's own pages, as they are served: names, order, titles, and links that lead to where pages are served.

An installed package holds them in `pages/`, a checkout where people write them; both are laid out alike. Every page and
every file that may be served is in a table that is made once, so no address can lead to anything else.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from chatstep.errors import UnreadableFile
from chatstep.registry import unknown

__all__ = ["FRONT", "Library", "Page", "library", "moved_between"]

FRONT = "index"
"""The name of the page that lists the others."""

_SOURCES = {"docs/README.md": FRONT, "README.md": "tour", "CHANGELOG.md": "changelog"}
_FILES = {".svg", ".png", ".json"}
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)")
_FENCE_OR_NOTE = re.compile(r"^(?:```.*?^```$|<!-- (?!file: )[^\n]*-->\n)", re.M | re.S)
_GROUP_OR_ROW = re.compile(
    r"^## (?P<group>.+)$|^\| \[(?P<title>[^\]]+)\]\((?P<path>[^)]+)\) \| (?P<about>.+) \|$", re.M
)


class Page(Struct, frozen=True):
    """A page. Links in its ``text`` are relative to its own address, which is ``name`` with ``.md``."""

    name: str
    title: str
    about: str
    group: str
    text: str

    @property
    def address(self) -> str:
        """Where it is served as HTML."""
        return "/docs/" if self.name == FRONT else f"/docs/{self.name}"

    @property
    def markdown_address(self) -> str:
        """Where it is served as Markdown."""
        return f"/docs/{self.name}.md"


class Library(Struct, frozen=True):
    """All pages by name, the front page first, and the other files that pages need, by their address below /docs/."""

    pages: dict[str, Page]
    files: dict[str, Path]

    def page(self, name: str) -> Page:
        """The page of that name; raises UnknownName with near ones."""
        if name not in self.pages:
            raise unknown("page", name[:100], self.pages, place="page")
        return self.pages[name]


@cache
def library() -> Library:
    """The pages of this installation. Blocks when it is first called."""
    packaged = Path(__file__).parent / "pages"
    return read_library(packaged if packaged.exists() else Path(__file__).parents[3])


def read_library(root: Path) -> Library:
    """The pages below a folder that is laid out as the project is; raises UnreadableFile where there are none."""
    docs = root / "docs"
    if not (docs / "README.md").exists():
        raise UnreadableFile(
            "The pages of the documentation are not there.", place=str(docs), hint="Install chatstep anew."
        )
    found = ["docs/README.md", *(path.relative_to(root).as_posix() for path in sorted(docs.rglob("*.md")))]
    sources = {source: _SOURCES.get(source) or source.removeprefix("docs/")[:-3] for source in (*_SOURCES, *found)}
    others = [path for path in sorted(docs.rglob("*")) if path.suffix in _FILES]
    files = {path.relative_to(docs).as_posix(): path for path in others} | {"LICENSE": root / "LICENSE"}
    served = {source: f"{name}.md" for source, name in sources.items()}
    served |= {path.relative_to(root).as_posix(): name for name, path in files.items()}
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = {FRONT: _page(root, "docs/README.md", served, ("Documentation", "", "what is on which page"))}
    group = ""
    for row in _GROUP_OR_ROW.finditer(index):
        if row["group"]:
            group = row["group"]
            continue
        source = posixpath.normpath(posixpath.join("docs", row["path"]))
        pages[sources[source]] = _page(root, source, served, (row["title"], group, row["about"]))
    return Library(pages, files)


def _page(root: Path, source: str, served: Mapping[str, str], said: tuple[str, str, str]) -> Page:
    title, group, about = said
    name = served[source]
    here, folder = posixpath.dirname(source), posixpath.dirname(name)

    def move(path: str) -> str:
        target = served.get(posixpath.normpath(posixpath.join(here, path)))
        return path if target is None else _from(folder, target)

    text = _moved_links((root / source).read_text(encoding="utf-8"), move)
    text = _FENCE_OR_NOTE.sub(lambda found: found[0] if found[0].startswith("`") else "", text).lstrip("\n")
    return Page(name.removesuffix(".md"), title, about, group, text)


def moved_between(text: str, old: str, new: str) -> str:
    """Markdown from one page with its links as they are written on another; both are names."""
    here, there = posixpath.dirname(old), posixpath.dirname(new)

    def move(path: str) -> str:
        return _from(there, posixpath.join(here, path))

    return text if here == there else _moved_links(text, move)


def _moved_links(text: str, move: Callable[[str], str]) -> str:
    """Markdown with each link's path moved; links that name a server, and code, stay as they are."""

    def moved(found: re.Match[str]) -> str:
        return found[0] if ":" in found[0] or found[0].startswith("/") else move(found[0])

    parts = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)


def _from(folder: str, target: str) -> str:
    """The way from a folder to a target, both below one root. It must not depend on the current folder."""
    return posixpath.relpath(f"/{target}", f"/{folder}")
