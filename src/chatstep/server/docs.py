"""/docs/: the project's own pages, as HTML for people and, with ``.md``, as Markdown for programs, and /llms.txt.

Anyone who reaches the server may read them. A question (``?ask=``) may cost money: a model is asked for those alone who
may use the endpoint, and not because a page of another site sent somebody's browser here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from chatstep.documentation.answers import Answer
from chatstep.documentation.asking import Asking, find
from chatstep.documentation.html import SAFETY, answer_html, framed, page_html, style
from chatstep.documentation.markdown import rendered
from chatstep.documentation.pages import FRONT, Library, Page, library
from chatstep.documentation.writing import answer_markdown, llms_txt, signed
from chatstep.errors import InvalidInput, UnknownName
from chatstep.server.billed import BilledContext
from chatstep.server.doors import Asked, Doors
from chatstep.server.envelope import NotServed, told

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.store import Token

__all__ = ["Admit", "Docs", "open_docs"]

Admit = Callable[[Mapping[str, str]], Awaitable["Token | None"]]
"""The token that a request bears, by its headers, or None where none is needed; raises NotServed."""

_MARKDOWN = "text/markdown"
_KINDS = {".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json"}
_FILE_SAFETY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # a picture has its own styles
_ANOTHER_SITE = "A page of another site led here, so no model was asked. Ask again to have one asked."


def open_docs(doors: Doors, app: App, admit: Admit) -> None:
    """Open all doors to the documentation."""
    docs = Docs(app, admit)
    doors.add("GET", "/docs", docs.moved, "anyone")
    doors.add("GET", "/docs.md", docs.moved, "anyone")
    doors.add("GET", "/docs/", docs.answer, "anyone")
    doors.add("GET", "/docs/{page*}", docs.answer, "anyone")
    doors.add("GET", "/docs/style.css", docs.style, "anyone")
    doors.add("GET", "/llms.txt", docs.list, "anyone")


class Docs:
    """Answers ``GET /docs/PAGE`` and ``GET /docs/PAGE.md``."""

    def __init__(self, app: App, admit: Admit) -> None:
        self._app, self._admit = app, admit
        self._asking = Asking(app)

    async def moved(self, asked: Asked) -> web.StreamResponse:
        """To where links between pages hold."""
        query = asked.request.rel_url.raw_query_string
        where = f"/docs/{FRONT}.md" if asked.request.path.endswith(".md") else "/docs/"
        return web.Response(status=308, headers={"location": f"{where}?{query}" if query else where})

    async def list(self, asked: Asked) -> web.StreamResponse:
        """Every page with a line."""
        return web.Response(text=llms_txt(await asyncio.to_thread(library)))

    async def style(self, asked: Asked) -> web.StreamResponse:
        """What the pages look like."""
        return web.Response(body=await asyncio.to_thread(style), content_type="text/css", charset="utf-8")

    async def answer(self, asked: Asked) -> web.StreamResponse:
        """A page, a picture, or the answer to a question about a page; where there is none of that name, near ones."""
        name = asked.names.get("page", "")
        pages = await asyncio.to_thread(library)
        if name in pages.files:
            return await asyncio.to_thread(_file, pages, name)
        markdown = _wants_markdown(name, asked.request.headers)
        try:
            page = pages.page(name.removesuffix(".md") or FRONT)
        except UnknownName as error:
            return _missing(pages, error, markdown=markdown)
        question = asked.request.rel_url.query.get("ask", "").strip()
        if not question:
            text = signed(page, page.text)
            return _markdown(text) if markdown else _html(await asyncio.to_thread(page_html, pages, page, text))
        try:
            answer, headers, status = await self._answered(question, page, asked.request)
            question, text = answer.question, signed(page, answer_markdown(pages, page, answer))
        except InvalidInput as error:
            headers, status, text = {}, 400, signed(page, f"{error.message} {error.hint}")
            question = question[:200]
        if markdown:
            return _markdown(f"# {question}\n\n{text}", status, headers)
        return _html(await asyncio.to_thread(answer_html, pages, page, question, text), status, headers)

    async def _answered(
        self, question: str, page: Page, request: web.BaseRequest
    ) -> tuple[Answer, Mapping[str, str], int]:
        """The answer, and headers and status for it; raises InvalidInput."""
        if request.method == "HEAD" or _led_here(request.headers):
            return await asyncio.to_thread(find, question, page.name, _ANOTHER_SITE), {}, 200
        try:
            token = await self._admit(request.headers)
        except NotServed as error:
            answer = await asyncio.to_thread(find, question, page.name, f"No model was asked: {error.message}")
            return answer, {"www-authenticate": "Bearer"}, error.status
        if token is None:
            answer = await self._asking.answer(question, page.name)
        else:
            context = BilledContext(self._app.context, token)
            answer = await self._asking.answer(question, page.name, context=context, allows=token.allows)
        if answer.error is None:
            return answer, {}, 200
        said = told(answer.error)
        return answer, {name: said.headers[name] for name in ("retry-after",) if name in said.headers}, said.status


def _led_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser comes without the will of who sits before it: from another site, or in advance."""
    site = headers.get("Sec-Fetch-Site", "none")
    return site not in ("same-origin", "none") or "Sec-Purpose" in headers


def _file(pages: Library, name: str) -> web.Response:
    path = pages.files[name]
    kind = _KINDS.get(path.suffix, "text/plain")
    headers = {"content-security-policy": _FILE_SAFETY}
    return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8", headers=headers)


def _missing(pages: Library, error: UnknownName, *, markdown: bool) -> web.Response:
    front = pages.pages[FRONT]
    near = [pages.pages[name] for name in error.details.get("near", ())]
    said = "Is it one of these?" if near else "The list of pages may help."
    links = [(page.title, page.markdown_address if markdown else page.address, page.about) for page in near or [front]]
    text = f"{said}\n\n" + "".join(f"- [{title}]({address}): {about}\n" for title, address, about in links)
    if markdown:
        return _markdown(f"# There is no such page\n\n{text}", 404)
    return _html(framed(pages, front, "No such page", f"<h1>There is no such page</h1>\n{rendered(text)}"), 404)


def _wants_markdown(name: str, headers: Mapping[str, str]) -> bool:
    """Whether a client asked for Markdown: by the address, or by saying that it would rather have it than HTML."""
    if name.endswith(".md"):
        return True
    wishes: dict[str, float] = {}
    for wish in headers.get("Accept", "").lower().split(","):
        kind, *details = (part.strip() for part in wish.split(";"))
        weight = next((detail[2:] for detail in details if detail.startswith("q=")), "1")
        wishes[kind] = float(weight) if weight.isascii() and weight.replace(".", "", 1).isdigit() else 0.0
    return wishes.get(_MARKDOWN, 0.0) > wishes.get("text/html", 0.0)


def _markdown(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    kept = {"vary": "accept", "cache-control": "no-cache", **(headers or {})}
    return web.Response(text=text, status=status, content_type=_MARKDOWN, charset="utf-8", headers=kept)


def _html(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """HTML in which nothing may run."""
    kept = {"content-security-policy": SAFETY, "vary": "accept", "cache-control": "no-cache", **(headers or {})}
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8", headers=kept)
