"""What is written around pages and answers, as Markdown: the line that says how to ask, a whole answer, llms.txt."""

from __future__ import annotations

from itertools import groupby

from chatstep.documentation.answers import Answer
from chatstep.documentation.excerpts import Excerpt
from chatstep.documentation.pages import FRONT, Library, Page, moved_between

__all__ = ["answer_markdown", "llms_txt", "signed"]

_ABOUT = (
    "A chat completion as one dependable step: from a conversation to its next message. Python, command line, durable "
    "flows, and a server for clients of OpenAI's protocol."
)


def signed(page: Page, text: str) -> str:
    """What the server says at a page's address, with the line below it that says how to ask."""
    return f"{text.rstrip()}\n\n---\n{how_to_ask(page)}\n"


def how_to_ask(page: Page) -> str:
    """The line that tells a program how to ask about this page."""
    return (
        f"Programs: `GET {page.markdown_address}?ask=QUESTION` on this server answers a question from this "
        "documentation, as Markdown; [/llms.txt](/llms.txt) lists all pages."
    )


def answer_markdown(library: Library, page: Page, answer: Answer) -> str:
    """An answer below its question: what it says, the excerpts it rests on, and the pages they come from."""
    excerpts = answer.excerpts if answer.outcome != "unanswered" else answer.excerpts[:3]
    names = list(dict.fromkeys(excerpt.page for excerpt in excerpts))
    parts = [part for part in (answer.text or _said(answer), answer.note) if part]
    if excerpts:
        parts.append("## What it rests on" if answer.outcome == "answered" else "## Excerpts that come close")
        parts.extend(_quoted(excerpt, page) for excerpt in excerpts)
        parts.append("## Pages")
        parts.append("\n".join(_line(library.pages[name], page) for name in names))
    return "\n\n".join(parts) + "\n"


def _said(answer: Answer) -> str:
    """What is said where there is no text of a model. That words alone were looked at is not hidden."""
    if answer.outcome == "excerpts":
        return "This is what the documentation says that fits best."
    return f"The documentation does not {'seem to ' if answer.note else ''}answer this."


def _quoted(excerpt: Excerpt, page: Page) -> str:
    link = moved_between(f"[{': '.join(excerpt.headings)}]({_file(excerpt.page)}#{excerpt.anchor})", FRONT, page.name)
    text = "\n".join(f"> {line}".rstrip() for line in excerpt.text.splitlines())
    return f"### {link}\n\n{text}"


def _line(listed: Page, page: Page) -> str:
    return moved_between(f"- [{listed.title}]({_file(listed.name)}): {listed.about}", FRONT, page.name)


def _file(name: str) -> str:
    return f"{name}.md"


def llms_txt(library: Library) -> str:
    """All pages with a line each, in the form that programs look for at ``/llms.txt``."""
    parts = ["# chatstep", f"> {_ABOUT}", how_to_ask(library.pages[FRONT])]
    others = [page for page in library.pages.values() if page.name != FRONT]
    for group, pages in groupby(others, key=lambda page: page.group):
        lines = [f"- [{page.title}]({page.markdown_address}): {page.about}" for page in pages]
        parts.append("\n".join([f"## {group}", "", *lines]))
    return "\n\n".join(parts) + "\n"
