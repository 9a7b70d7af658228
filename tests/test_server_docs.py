"""The documentation over HTTP: pages for people and for programs, questions, who may ask, and what it costs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from yarl import URL

from chatstep.documentation.pages import library
from chatstep.store import Token
from serving import Served
from stepping import KEY, Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]
BACKUP = "how do I back up my data"


def says(answered: bool = True, answer: str = "Use `VACUUM INTO`.", excerpts: Any = (1,)) -> str:
    """A script of a provider that gives this answer."""
    reply = json.dumps({"answered": answered, "answer": answer, "excerpts": list(excerpts)})
    return f"- reply: {json.dumps(reply)}"


async def get(served: Served, path: str, **headers: str) -> tuple[int, str, Any]:
    """Status, text and headers of an address, which is sent as it is written."""
    url = URL(served.server.address + path, encoded=True)
    options = {name.replace("_", "-"): value for name, value in headers.items()}
    async with served.client.get(url, headers=options, allow_redirects=False) as answer:
        return answer.status, await answer.text(), answer.headers


async def ask(served: Served, question: str, page: str = "store.md", **headers: str) -> tuple[int, str]:
    status, text, _ = await get(served, f"/docs/{page}?ask={quote(question)}", **headers)
    return status, text


@pytest.mark.usefixtures("no_stalls")
async def test_every_page_is_html_and_markdown(served: Served) -> None:
    for page in (await asyncio.to_thread(library)).pages.values():
        status, html, headers = await get(served, page.address)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert html.startswith("<!doctype html>")
        assert "default-src 'none'; style-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        status, text, headers = await get(served, page.markdown_address)
        assert (status, headers["content-type"]) == (200, "text/markdown; charset=utf-8")
        assert text.startswith("# ")
        assert f"GET {page.markdown_address}?ask=QUESTION" in text
        assert f"GET {page.markdown_address}?ask=QUESTION" in unescape(html)


async def test_every_address_in_a_page_is_served(served: Served) -> None:
    seen = {"/docs/"}
    todo = ["/docs/"]
    while todo:
        status, html, headers = await get(served, todo.pop())
        assert status == 200
        if headers["content-type"].startswith("text/html"):
            found = {target.partition("#")[0] for target in re.findall(r'(?:href|src|action)="(/[^"]*)"', html)}
            todo.extend(found - seen)
            seen |= found
    assert {
        "/llms.txt",
        "/docs/style.css",
        "/docs/pictures/demo.svg",
        "/docs/LICENSE",
        "/docs/flow.schema.json",
    } <= seen
    assert {page.address for page in library().pages.values()} <= seen


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/markdown", "text/markdown"), ("text/markdown, text/html;q=0.9", "text/markdown"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"), ("*/*", "text/html"),
        ("text/html, text/markdown;q=0.5", "text/html"), ("text/markdown;q=x", "text/html"), ("", "text/html"),
    ],
)  # fmt: skip
async def test_a_client_may_say_which_form_it_wants(served: Served, accept: str, kind: str) -> None:
    _, _, headers = await get(served, "/docs/flows", accept=accept)
    assert headers["content-type"].startswith(kind)
    assert headers["vary"] == "accept"


async def test_the_start_page_is_where_its_links_hold(served: Served) -> None:
    assert (await get(served, "/docs"))[2]["location"] == "/docs/"
    assert (await get(served, "/docs?ask=x+y"))[2]["location"] == "/docs/?ask=x+y"
    assert (await get(served, "/docs.md"))[2]["location"] == "/docs/index.md"


@pytest.mark.parametrize(
    "path",
    [
        "/docs/../README.md", "/docs/../../etc/passwd", "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/docs/..%2f..%2fetc%2fpasswd", "/docs//etc/passwd",
        "/docs/pictures/../../pyproject.toml", "/docs/pictures/..%5c..%5cpyproject.toml",
        "/docs/flows.md%00", "/docs/pictures/", "/docs/%ff%fe", "/docs/.md.md", "/docs/README.md", "/docs/flows/",
    ],
)  # fmt: skip
async def test_there_are_no_other_files(served: Served, path: str) -> None:
    for address in (path, f"{path}?ask={quote(BACKUP)}"):
        status, text, _ = await get(served, address)
        assert status == 404, text
        assert "There is no such page" in text
        assert "root:" not in text
        assert "[project]" not in text


async def test_an_unknown_page_comes_with_near_ones(served: Served) -> None:
    status, text, _ = await get(served, "/docs/steps/flow.sett.md")
    assert status == 404
    assert "- [Set Values](/docs/steps/flow.set.md)" in text
    status, text, headers = await get(served, "/docs/flow")
    assert status == 404
    assert '<a href="/docs/flows">Flows</a>' in text
    assert "content-security-policy" in headers
    status, text, _ = await get(served, "/docs/%3Cscript%3Ealert(1)%3C/script%3E")
    assert status == 404
    assert "<script" not in text


async def test_a_question_is_answered_with_what_it_rests_on(gateway: Gateway) -> None:
    served, stage = await gateway(says(excerpts=[1, 1, 99, 0, -1]))
    status, text = await ask(served, BACKUP)
    assert status == 200
    assert text.startswith(f"# {BACKUP}\n\nUse `VACUUM INTO`.\n")
    assert text.count("\n### [") == 1
    assert "### [Deploying: Backup and restore](deploying.md#backup-and-restore)\n\n> `chatstep backup FOLDER`" in text
    assert "## Pages\n\n- [Deploying](deploying.md): systemd" in text
    assert text.rstrip().rpartition("\n")[2].startswith("Programs: `GET /docs/store.md?ask=QUESTION`")
    (sent,) = stage.bodies
    assert sent["max_completion_tokens"] == 700
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert "[1] Deploying: Backup and restore" in sent["messages"][1]["content"]
    assert sent["messages"][1]["content"].endswith(f"Question: {BACKUP}")
    await asyncio.to_thread(served.app.store.ledger.flush)
    (total,) = await asyncio.to_thread(served.app.store.ledger.totals, "model")
    assert (total.key, total.calls) == ("gpt-4o-mini", 1)


async def test_the_same_answer_as_html(gateway: Gateway) -> None:
    served, _ = await gateway(says(answer="Use **this**: <script>alert(1)</script> [x](javascript:alert(1))"))
    status, html = await ask(served, BACKUP, "steps/flow.wait")
    assert status == 200
    assert f"<h1>{BACKUP}</h1>" in html
    assert "<strong>this</strong>" in html
    assert '<a href="/docs/deploying#backup-and-restore">Deploying: Backup and restore</a>' in html
    assert '<a href="/docs/deploying">Deploying</a>: systemd' in html
    assert "<script" not in html
    assert 'href="javascript' not in html
    assert f'value="{BACKUP}"' in html


async def test_the_same_question_is_paid_once(gateway: Gateway) -> None:
    served, stage = await gateway(f"{says()}\n  delay: 0.3")
    answers = await asyncio.gather(*(ask(served, f"{BACKUP}{' ' * spaces}") for spaces in range(5)))
    assert {text for _, text in answers} == {answers[0][1]}
    assert len(stage.bodies) == 1
    await ask(served, BACKUP, "store")
    assert len(stage.bodies) == 1
    await ask(served, BACKUP, "money.md")
    await ask(served, "how do I restore a backup")
    assert len(stage.bodies) == 3


async def test_what_the_documentation_does_not_say_is_said(gateway: Gateway) -> None:
    """By the search where it finds nothing, without asking; else by the model."""
    served, stage = await gateway(says(answered=False, answer="", excerpts=[]))
    status, text = await ask(served, "How do I bake sourdough bread?")
    assert status == 200
    assert "\nThe documentation does not answer this.\n" in text
    assert stage.bodies == []
    status, text = await ask(served, "Does it run on Windows 95?")
    assert status == 200
    assert "\nThe documentation does not answer this.\n" in text
    assert "## Excerpts that come close" in text
    assert len(stage.bodies) == 1


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (says(excerpts=[]), "rests on none of the excerpts"), (says(excerpts=[7]), "rests on none of the excerpts"),
        ("- reply: I think so.", "not in the form"), ("- reply: '{\"answered\": 1}'", "not in the form"),
        ("- reply: '}{'", "not in the form"),
        (f"{says(answer='word ' * 900)}", "not in the form"),  # cut by Max Tokens
    ],
)  # fmt: skip
async def test_a_reply_that_cannot_be_trusted_is_not_shown(gateway: Gateway, script: str, said: str) -> None:
    served, stage = await gateway(script)
    status, text = await ask(served, BACKUP)
    assert status == 502
    assert said in text
    assert "VACUUM INTO`.\n" not in text.partition("##")[0]
    assert "(store.md#backup)" in text
    await ask(served, BACKUP)
    assert len(stage.bodies) == 2  # only an answer is kept


async def test_a_reply_in_a_fence_is_read(gateway: Gateway) -> None:
    reply = '```json\n{"answered": true, "answer": "Yes.", "excerpts": [1]}\n```'
    served, _ = await gateway(f"- reply: {json.dumps(reply)}")
    status, text = await ask(served, BACKUP)
    assert (status, text.splitlines()[2]) == (200, "Yes.")


@pytest.mark.parametrize(
    ("script", "status"),
    [("- fault: {code: insufficient_quota}", 429), ("- fault: {code: invalid_api_key}", 401), ("- refusal: No.", 502)],
)
async def test_where_the_provider_fails_there_are_the_excerpts(gateway: Gateway, script: str, status: int) -> None:
    served, _ = await gateway(script)
    got, text = await ask(served, BACKUP)
    assert got == status
    assert "The model did not answer." in text
    assert "(store.md#backup)" in text
    assert KEY not in text


async def test_without_a_connection_there_are_the_excerpts(served: Served) -> None:
    status, text = await ask(served, BACKUP)
    assert status == 200
    assert "what the documentation says that fits best" in text
    assert "chatstep connections add NAME" in text
    assert "(store.md#backup)" in text


async def test_a_connection_that_rehearses_is_not_asked(gateway: Gateway) -> None:
    served, _ = await gateway()
    served.app._default = "rehearsal"
    status, text = await ask(served, BACKUP)
    assert status == 200
    assert "The rehearsal provider knows nothing" in text
    assert "(store.md#backup)" in text


async def test_a_model_that_thinks_gets_room_for_it(gateway: Gateway) -> None:
    served, stage = await gateway(says())
    served.app.settings = type(served.app.settings)(home=served.app.settings.home, model="o3")
    assert (await ask(served, BACKUP))[0] == 200
    assert stage.bodies[0]["max_completion_tokens"] == 2748


@pytest.mark.parametrize(("page", "form"), [("store.md", "Markdown"), ("store", "HTML")])
async def test_a_question_that_is_too_long(gateway: Gateway, page: str, form: str) -> None:
    served, stage = await gateway(says())
    status, text = await ask(served, "backup " * 300, page)
    assert status == 400
    assert "more than 2,000 characters" in text
    assert text.startswith("# " if form == "Markdown" else "<!doctype")
    assert stage.bodies == []
    assert (await ask(served, "  ", page))[0] == 200  # no question: the page


async def test_what_is_in_a_question_is_not_live(served: Served) -> None:
    for page in ("flows", "flows.md"):
        status, text = await ask(served, '"><script>alert(1)</script> flow steps\n\n## Heading', page)
        assert status == 200
        if page == "flows":
            assert "<script" not in text
            assert 'value="&quot;&gt;&lt;script&gt;' in text
        else:
            assert text.splitlines()[0].endswith("flow steps ## Heading")


async def test_asking_needs_a_token_where_there_are_tokens(gateway: Gateway) -> None:
    served, stage = await gateway(says(), prices="https://api.openai.com/v1")
    make = served.app.store.tokens.make
    _, some = await asyncio.to_thread(make, Token(name="some", models=("p/*",)))
    _, other = await asyncio.to_thread(make, Token(name="other", models=("q/*",)))
    _, poor = await asyncio.to_thread(make, Token(name="poor", daily_limit=1))
    assert (await get(served, "/docs/flows"))[0] == 200
    for headers in ({}, {"authorization": "Bearer cs_nothing"}):
        status, text, said = await get(served, f"/docs/store.md?ask={quote(BACKUP)}", **headers)
        assert (status, said["www-authenticate"]) == (401, "Bearer")
        assert "No model was asked:" in text
        assert "(store.md#backup)" in text
    status, text = await ask(served, BACKUP, authorization=f"Bearer {other.reveal()}")
    assert status == 200
    assert "This token may not use p/gpt-4o-mini" in text
    status, text = await ask(served, BACKUP, authorization=f"Bearer {poor.reveal()}")
    assert status == 429
    assert stage.bodies == []
    status, text = await ask(served, BACKUP, authorization=f"Bearer {some.reveal()}")
    assert (status, text.splitlines()[2]) == (200, "Use `VACUUM INTO`.")
    await asyncio.to_thread(served.app.store.ledger.flush)
    totals = {total.key: total for total in await asyncio.to_thread(served.app.store.ledger.totals, "token")}
    assert totals["some"].calls == 1


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"sec_fetch_site": "cross-site"}, 0), ({"sec_fetch_site": "same-site"}, 0),
        ({"sec_fetch_site": "none", "sec_purpose": "prefetch"}, 0),
        ({"sec_fetch_site": "same-origin"}, 1), ({"sec_fetch_site": "none"}, 1),
    ],
)  # fmt: skip
async def test_a_page_elsewhere_cannot_make_a_browser_ask(
    gateway: Gateway, headers: dict[str, str], asked: int
) -> None:
    served, stage = await gateway(says())
    status, html = await ask(served, BACKUP, "store", **headers)
    assert status == 200
    assert len(stage.bodies) == asked
    assert ("Ask again to have one asked" in html) is not bool(asked)


async def test_a_look_at_the_head_asks_nobody(gateway: Gateway) -> None:
    served, stage = await gateway(says())
    async with served.client.head(f"{served.server.address}/docs/store?ask={quote(BACKUP)}") as answer:
        assert answer.status == 200
    assert stage.bodies == []
