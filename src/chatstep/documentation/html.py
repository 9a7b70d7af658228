"""A page as HTML: the frame around what `markdown` renders, with the list of pages, the contents, and a form to ask.

There is no script, no style in the text, and nothing from elsewhere; `SAFETY` tells browsers to keep it so.
"""

from __future__ import annotations

from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path

from chatstep.documentation.markdown import headings, rendered
from chatstep.documentation.pages import FRONT, Library, Page

__all__ = ["SAFETY", "STYLE", "answer_html", "framed", "page_html", "style"]

STYLE = "/docs/style.css"
SAFETY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The value of Content-Security-Policy that the pages live with."""

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · chatstep</title>
<link rel="stylesheet" href="{style}">
<link rel="alternate" type="text/markdown" href="{markdown}">
</head>
<body>
<a class="skip" href="#text">Skip to the text</a>
<header class="top">
<a class="home" href="/docs/">chatstep</a>
<a class="to-pages" href="#pages">All pages</a>
{form}</header>
<div class="columns">
<main id="text"{kind}>
{contents}<article>
{text}</article>
</main>
<nav class="pages" id="pages" aria-label="Pages">
{pages}</nav>
</div>
</body>
</html>
"""


def page_html(library: Library, page: Page, text: str) -> str:
    """A page; ``text`` is its Markdown with what was put below it."""
    return framed(library, page, page.title, rendered(text, page.name), contents=_contents(text))


def answer_html(library: Library, page: Page, question: str, text: str) -> str:
    """What there is to say to a question; ``text`` is its Markdown."""
    back = f'<p class="back"><a href="{page.address}">{escape(page.title)}</a></p>\n'
    html = f"{back}<h1>{escape(question)}</h1>\n{rendered(text, page.name)}"
    return framed(library, page, question[:80], html, question=question)


def framed(library: Library, page: Page, title: str, html: str, *, contents: str = "", question: str = "") -> str:
    """The frame around ``html``, which is put in as it is."""
    return _FRAME.format(
        title=escape(title),
        style=STYLE,
        markdown=page.markdown_address,
        form=_form(page, question),
        kind=' class="with-contents"' if contents else "",
        contents=contents,
        text=html,
        pages=_pages(library, page.name),
    )


@cache
def style() -> bytes:
    """The style sheet. Blocks when it is first called."""
    return (Path(__file__).parent / "style.css").read_bytes()


def _form(page: Page, question: str) -> str:
    return (
        f'<form class="ask" action="{page.address}" method="get" role="search">'
        '<label for="ask">Ask the documentation</label>'
        f'<input id="ask" name="ask" type="search" value="{escape(question)}" placeholder="Ask the documentation" '
        'maxlength="2000" required autocomplete="off"><button>Ask</button></form>\n'
    )


def _contents(text: str) -> str:
    found = [heading for heading in headings(text) if heading.depth == 2]
    if len(found) < 2:
        return ""
    items = "".join(
        f'<li><a href="#{escape(heading.anchor)}">{escape(heading.title.replace("`", ""))}</a></li>\n'
        for heading in found
    )
    return f'<nav class="contents" aria-label="On this page">\n<h2>On this page</h2>\n<ul>\n{items}</ul>\n</nav>\n'


def _pages(library: Library, current: str) -> str:
    parts = []
    others = [page for page in library.pages.values() if page.name != FRONT]
    for group, pages in groupby(others, key=lambda page: page.group):
        items = "".join(
            f'<li><a href="{page.address}"{" aria-current=page" if page.name == current else ""}>'
            f"{escape(page.title)}</a></li>\n"
            for page in pages
        )
        parts.append(f"<h2>{escape(group)}</h2>\n<ul>\n{items}</ul>\n")
    return "".join(parts)
