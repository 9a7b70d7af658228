"""Markdown as the pages use it, read by one parser: into sections with anchors, and into HTML in which nothing is live.

HTML that stands in a text is shown, never obeyed. Links to pages as Markdown become links to pages as HTML.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from msgspec import Struct

from chatstep.documentation.pages import FRONT

__all__ = ["Heading", "Section", "headings", "rendered", "sections"]

_FILE = re.compile(r"<!-- file: (\S+) -->")


class Heading(Struct, frozen=True):
    """A heading: how deep it is, its words, and the anchor that leads to it."""

    depth: int
    title: str
    anchor: str


class Section(Struct, frozen=True):
    """A heading, those above it from the page's title down, and the blocks of Markdown right under it."""

    heading: Heading
    above: tuple[str, ...]
    blocks: tuple[str, ...]


def headings(text: str) -> list[Heading]:
    """The headings of a text."""
    return [heading for _, heading in _headings(_parser().parse(text))]


def sections(text: str) -> list[Section]:
    """A text by its headings; what comes before the first one is left out."""
    tokens, lines = _parser().parse(text), text.splitlines()
    at = dict(_headings(tokens))
    found: list[tuple[Heading, tuple[str, ...], list[str]]] = []
    above: list[Heading] = []
    for number, token in enumerate(tokens):
        if number in at:
            above = [*(heading for heading in above if heading.depth < at[number].depth), at[number]]
            found.append((at[number], tuple(_plain(heading.title) for heading in above[:-1]), []))
        elif found and token.level == 0 and token.nesting >= 0 and token.map is not None:
            begin, end = token.map
            found[-1][2].append("\n".join(lines[begin:end]).strip("\n"))
    return [Section(heading, titles, tuple(_with_captions(blocks))) for heading, titles, blocks in found]


def rendered(text: str, page: str = FRONT) -> str:
    """HTML of a text whose links are relative to this page's address."""
    parser = _parser()
    tokens = parser.parse(text)
    for number, heading in _headings(tokens):
        tokens[number].attrSet("id", heading.anchor)
    for token in tokens:
        for child in token.children or ():
            _lead(child, posixpath.dirname(page))
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", None)):
            token.attrSet("class", str(style).partition(":")[2])  # styles in the text itself are not allowed
    html: str = parser.renderer.render(_captioned(tokens), parser.options, {})
    return html


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("table_open", _table_open)
    parser.add_render_rule("table_close", _table_close)
    parser.add_render_rule("heading_close", _heading_close)
    parser.add_render_rule("fence", _fence)
    return parser


def _headings(tokens: Sequence[Token]) -> Iterator[tuple[int, Heading]]:
    """Each heading's place among the tokens; one whose words came before has a number behind its anchor."""
    taken: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if token.type != "heading_open" or token.level:
            continue
        title = tokens[number + 1].content
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        times = taken[anchor] = taken.get(anchor, -1) + 1
        yield number, Heading(int(token.tag[1]), title, f"{anchor}-{times}" if times else anchor)


def _lead(token: Token, folder: str) -> None:
    """Let a link or picture lead from the page's folder to where it is served."""
    name = {"link_open": "href", "image": "src"}.get(token.type)
    if name is None:
        return
    target = str(token.attrGet(name) or "")
    if ":" not in target and not target.startswith(("/", "#")):
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join("/docs", folder, path))
        path = "/docs/" if path == f"/docs/{FRONT}.md" else path.removesuffix(".md")
        token.attrSet(name, f"{path}{hash_}{anchor}")


def _captioned(tokens: list[Token]) -> list[Token]:
    """The tokens with each comment that names a file moved into the block of code that it belongs to."""
    kept: list[Token] = []
    for token in tokens:
        file = _FILE.fullmatch(kept[-2].content) if len(kept) > 2 and token.type == "fence" else None
        if file is not None:
            del kept[-3:]
            token.meta["file"] = file[1]
        kept.append(token)
    return kept


def _with_captions(blocks: Sequence[str]) -> Iterator[str]:
    """The blocks, with each comment that names a file together with the block after it."""
    caption = ""
    for block in blocks:
        if _FILE.fullmatch(block):
            caption = f"{block}\n"
        else:
            yield caption + block
            caption = ""


def _plain(title: str) -> str:
    return title.replace("`", "")


def _table_open(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return '<div class="table" tabindex="0"><table>\n'


def _table_close(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


def _heading_close(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    opened = tokens[at - 2]
    anchor = opened.attrGet("id")
    link = f' <a class="anchor" href="#{escape(str(anchor))}" aria-label="Link to this section">#</a>' if anchor else ""
    return f"{link}</{opened.tag}>\n"


def _fence(self: RendererHTML, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    token = tokens[at]
    caption = token.meta.get("file")
    head = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="code">{head}<pre tabindex="0"><code>{escape(token.content)}</code></pre></figure>\n'
