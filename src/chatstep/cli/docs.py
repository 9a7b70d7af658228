"""`chatstep docs`: the documentation of this very version, to read or to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.completing import pages
from chatstep.cli.options import json_option
from chatstep.cli.screen import console, for_terminal, note, print_json, table
from chatstep.cli.session import open_app, run
from chatstep.cli.waiting import Waiting

if TYPE_CHECKING:
    from chatstep.documentation.answers import Answer
    from chatstep.documentation.pages import Library

__all__ = ["docs"]


@click.command(
    epilog="\b\nExamples:\n  chatstep docs\n  chatstep docs flows\n  chatstep docs --ask 'How do I skip a step?'"
)
@click.argument("page", required=False, shell_complete=pages)
@click.option("--ask", "question", metavar="QUESTION", help="Answer a question, about PAGE or about everything.")
@json_option("Give one JSON value: the list, the page, or the answer.")
def docs(page: str | None, question: str | None, as_json: bool) -> None:
    """List the pages of the documentation, write PAGE as Markdown, or answer a question.

    A question goes to the default connection with the excerpts that fit best. Where no connection can answer, these
    excerpts come by themselves.
    """
    from chatstep.documentation.pages import library

    found = library()
    if page is not None:
        found.page(page)
    if question is not None:
        run(_ask(found, question, page, as_json=as_json))
    elif page is not None:
        shown = found.page(page)
        if as_json:
            print_json(shown)
        else:
            click.echo(shown.text, nl=not shown.text.endswith("\n"))
    elif as_json:
        print_json([{"name": name, "title": each.title, "about": each.about} for name, each in found.pages.items()])
    else:
        _list(found)


def _list(found: Library) -> None:
    made = table("Page", "What is on it")
    for name, page in found.pages.items():
        made.add_row(name, page.about)
    console().print(made)
    note("Read one: chatstep docs PAGE. Ask: chatstep docs --ask 'QUESTION'")


async def _ask(found: Library, question: str, page: str | None, *, as_json: bool) -> None:
    from chatstep.documentation.asking import Asking
    from chatstep.documentation.pages import FRONT
    from chatstep.documentation.writing import answer_markdown

    shown = found.page(page or FRONT)
    async with open_app() as app:
        async with Waiting():
            answer = await Asking(app).answer(question, shown.name)
        if as_json:
            print_json(_as_data(answer))
        else:
            click.echo(for_terminal(answer_markdown(found, shown, answer)), nl=False)
    if answer.error is not None:
        raise answer.error


def _as_data(answer: Answer) -> dict[str, Any]:
    return {
        "question": answer.question,
        "outcome": answer.outcome,
        "answer": answer.text or None,
        "note": answer.note or None,
        "excerpts": answer.excerpts,
        "pages": answer.pages,
    }
