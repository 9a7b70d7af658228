"""`chatstep docs`: the list of pages, a page, and questions, with a connection and without."""

from __future__ import annotations

import json
from collections.abc import Callable

from chatstep.documentation.pages import library
from chatstep.rehearsal import Rehearsal
from command_line import KEY, Commands

Serve = Callable[..., Rehearsal]
SKIP = "How do I skip a step?"
REPLY = json.dumps({"answered": True, "answer": "Give it a `when`.\x1b[2J", "excerpts": [1]})


def test_the_list_and_a_page(chatstep: Commands) -> None:
    pages = library().pages
    shown = chatstep("docs")
    assert all(f"{name} " in shown.stdout for name in pages)
    assert [page["name"] for page in chatstep.json("docs")] == list(pages)
    assert chatstep("docs", "steps/flow.set").stdout == pages["steps/flow.set"].text
    assert chatstep.json("docs", "flows")["text"] == pages["flows"].text
    assert "Did you mean 'flows'" in chatstep("docs", "flow", code=3).stderr
    assert "Did you mean 'flows'" in chatstep("docs", "flow", "--ask", SKIP, code=3).stderr


def test_a_question_is_answered(chatstep: Commands, serve: Serve) -> None:
    provider = serve(f"- reply: {json.dumps(REPLY)}")
    shown = chatstep("docs", "flows", "--ask", SKIP).stdout
    assert shown.startswith("Give it a `when`.[2J\n\n## What it rests on\n\n### [")
    assert "?ask=" not in shown  # that is the server's way
    answer = chatstep.json("docs", "flows", "--ask", SKIP)
    assert (answer["outcome"], answer["note"], len(answer["excerpts"])) == ("answered", None, 1)
    assert answer["pages"] == [answer["excerpts"][0]["page"]]
    assert len(provider.requests) == 2
    (day,) = chatstep.json("usage")
    assert day["calls"] == 2


def test_a_question_without_a_connection(chatstep: Commands) -> None:
    shown = chatstep("docs", "--ask", SKIP).stdout
    assert "what the documentation says that fits best" in shown
    assert "chatstep connections add NAME" in shown
    answer = chatstep.json("docs", "--ask", "How do I bake sourdough bread?")
    assert (answer["outcome"], answer["answer"], answer["pages"]) == ("unanswered", None, [])
    assert "empty" in chatstep("docs", "--ask", " ", code=2).stderr


def test_a_provider_that_fails_still_leaves_the_excerpts(chatstep: Commands, serve: Serve) -> None:
    serve("- fault: {code: insufficient_quota}")
    failed = chatstep("docs", "--ask", SKIP, code=13)
    assert "## Excerpts that come close" in failed.stdout
    assert KEY not in failed.output
    failed = chatstep("docs", "--ask", SKIP, "--json", code=13)
    assert json.loads(failed.stdout)["excerpts"]
    assert json.loads(failed.stderr)["error"] == "out_of_money"
