"""The pages in the product: all are there, lead to each other, and are cut and searched as their readers need."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from chatstep.documentation.asking import find
from chatstep.documentation.excerpts import LONGEST, excerpts
from chatstep.documentation.html import page_html
from chatstep.documentation.markdown import headings, rendered, sections
from chatstep.documentation.pages import FRONT, library, moved_between, read_library
from chatstep.documentation.search import Index
from chatstep.documentation.words import words
from chatstep.documentation.writing import llms_txt, signed
from chatstep.errors import InvalidInput, UnknownName, UnreadableFile
from documentation_questions import ANSWERED, UNANSWERED

ROOT = Path(__file__).resolve().parent.parent
PAGES = library().pages
every_page = pytest.mark.parametrize("name", PAGES)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def code_left_out(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.M | re.S)


def test_every_page_of_the_project_is_served() -> None:
    docs = {path.relative_to(ROOT / "docs").as_posix().removesuffix(".md") for path in (ROOT / "docs").rglob("*.md")}
    assert set(PAGES) == docs - {"README"} | {FRONT, "tour", "changelog"}
    assert all(page.title and page.about and page.group for page in PAGES.values() if page.name != FRONT)
    with pytest.raises(UnknownName, match="Did you mean 'flows'"):
        library().page("flow")
    with pytest.raises(UnreadableFile, match="not there"):
        read_library(ROOT / "tests")


@every_page
def test_links_in_markdown_lead_to_pages_and_their_headings(name: str) -> None:
    page = PAGES[name]
    for target in LINK.findall(code_left_out(signed(page, page.text))):
        path, _, anchor = target.partition("#")
        if ":" in path or path == "/llms.txt":
            continue
        other = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else f"{name}.md"
        if other in library().files:
            continue
        found = PAGES[other.removesuffix(".md")]
        assert other.endswith(".md")
        assert not anchor or anchor in {heading.anchor for heading in headings(found.text)}, target


@every_page
def test_links_in_html_lead_to_pages_and_their_headings(name: str) -> None:
    html = page_html(library(), PAGES[name], signed(PAGES[name], PAGES[name].text))
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    addresses = {page.address: page for page in PAGES.values()}
    for target in re.findall(r'(?:href|src)="([^"]+)"', html):
        path, _, anchor = target.partition("#")
        if path.startswith("https://") or path in ("/llms.txt", "/docs/style.css", PAGES[name].markdown_address):
            continue
        if path.removeprefix("/docs/") in library().files:
            continue
        page = addresses[path] if path else PAGES[name]
        known = {"text", "pages", *(heading.anchor for heading in headings(page.text))}
        assert not anchor or anchor in known, target


@every_page
def test_nothing_in_a_page_is_live(name: str) -> None:
    html = page_html(library(), PAGES[name], signed(PAGES[name], PAGES[name].text))
    assert not re.search(r"<script|<iframe|\sstyle=|\son\w+=|javascript:", html)
    assert "<!--" not in html.partition("<body>")[2].replace("&lt;!--", "")


@every_page
def test_every_page_ends_with_how_to_ask(name: str) -> None:
    last = signed(PAGES[name], PAGES[name].text).rstrip().rpartition("\n")[2]
    assert f"`GET {PAGES[name].markdown_address}?ask=QUESTION`" in last


def test_a_block_of_code_bears_its_files_name() -> None:
    html = rendered("<!-- file: a.yaml -->\n```yaml\na: <b>\n```\n\n<!-- file: b -->\n\ntext\n")
    assert "<figcaption>a.yaml</figcaption>" in html
    assert "a: &lt;b&gt;" in html
    assert "&lt;!-- file: b --&gt;" in html


@given(some.text())
def test_no_text_makes_live_html(text: str) -> None:
    html = rendered(f"{text}\n\n<script>alert(1)</script> [x](javascript:x) <img src=x onerror=x>")
    tags = set(re.findall(r"<(\w+)", html))
    assert "script" not in tags
    assert not re.search(r'href="\s*javascript', html, re.I)
    assert not re.search(r"<[^>]*\sonerror", html)


def test_headings_with_the_same_words_have_different_anchors() -> None:
    assert [heading.anchor for heading in headings("# A b\n\n## A `b`\n\ntext\n\n### A, b!")] == [
        "a-b",
        "a-b-1",
        "a-b-2",
    ]
    found = sections("# A\n\none\n\n## B\n\ntwo\n\n- x\n\n# C\n\n### D\n")
    assert [(*section.above, section.heading.title) for section in found] == [("A",), ("A", "B"), ("C",), ("C", "D")]
    assert [section.blocks for section in found] == [("one",), ("two", "- x"), (), ()]


def test_excerpts_hold_every_line_of_every_page_and_are_short() -> None:
    found = excerpts(PAGES.values())
    for page in PAGES.values():
        text = "\n".join(excerpt.text for excerpt in found if excerpt.page == page.name)
        lines = {line.strip() for line in page.text.splitlines() if line.strip()}
        missing = {line for line in lines if line not in text and not line.startswith("#")}
        assert not missing or page.name == FRONT
    longest_line = max(len(line) for page in PAGES.values() for line in page.text.splitlines())
    assert max(len(excerpt.text) for excerpt in found) < LONGEST + longest_line + 100
    assert all(excerpt.text.count("\n```") + excerpt.text.startswith("```") in range(0, 40, 2) for excerpt in found)


def test_links_move_with_an_excerpt() -> None:
    text = "[a](../flows.md#x) [b](flow.set.md) [c](https://example.com/x) `[d](e)`\n```\n[f](g.md)\n```"
    assert moved_between(text, "steps/flow.wait", "index").startswith(
        "[a](flows.md#x) [b](steps/flow.set.md) [c](https://"
    )
    assert moved_between(text, "steps/flow.wait", "index").endswith("[f](g.md)\n```")
    assert moved_between("[a](flows.md)", "index", "steps/flow.wait") == "[a](../flows.md)"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("max_tokens", ["most", "token"]), ("MakeChatCompletion", ["mak", "chat", "complet", "makechatcomplet"]),
        ("--daily-limit", ["daily", "limit"]), ("How are replies stopped?", ["reply", "stop"]),
        ("a I to 4", []), ("429 über", ["429", "über"]),
    ],
)  # fmt: skip
def test_words_are_parts_without_endings(text: str, found: list[str]) -> None:
    assert sorted(words(text)) == sorted(found)


def test_questions_lead_to_their_pages() -> None:
    """75 of the 78 did when the search was last changed; pages change too, so a few may be missed."""
    index = Index(excerpts(PAGES.values()))
    missed = []
    for question, pages in ANSWERED:
        best = [excerpt.page for excerpt in index.search(question, most=3).excerpts]
        if not set(best) & set(pages.split()):
            missed.append((question, best))
    assert len(missed) <= len(ANSWERED) // 10, missed


def test_what_the_documentation_does_not_answer_is_told_apart() -> None:
    """Words alone cannot tell all of them: 21 of the 24 were told when the search was last changed."""
    told = [question for question in UNANSWERED if find(question).outcome == "unanswered"]
    assert {"What is the capital of France?", "How do I fine-tune a model on AWS?"} <= set(told)
    assert len(told) >= 0.75 * len(UNANSWERED)
    mistaken = [question for question, _ in ANSWERED if find(question).outcome == "unanswered"]
    assert len(mistaken) <= len(ANSWERED) // 20, mistaken


def test_the_page_on_which_was_asked_comes_first() -> None:
    everywhere = find("Troubleshooting").excerpts[0].page
    assert find("Troubleshooting", "store").excerpts[0].page == "store" != everywhere


@pytest.mark.parametrize("question", ["", " \n ", "x" * 2001])
def test_what_is_no_question_is_refused(question: str) -> None:
    with pytest.raises(InvalidInput, match="question"):
        find(question)


@given(some.text(max_size=300).filter(str.strip))
def test_any_question_is_searched(question: str) -> None:
    found = find(question)
    assert len(found.excerpts) <= 6
    assert found.outcome in ("unanswered", "excerpts")


def test_the_list_for_programs_names_every_page_with_a_line() -> None:
    lines = llms_txt(library()).splitlines()
    assert lines[0] == "# chatstep"
    assert lines[2].startswith("> ")
    for page in PAGES.values():
        if page.name != FRONT:
            assert f"- [{page.title}]({page.markdown_address}): {page.about}" in lines


def test_the_wheel_holds_the_pages(tmp_path: Path) -> None:
    """What pip installs, unpacked elsewhere and imported from there."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", tmp_path, ROOT], check=True, timeout=100)
    (wheel,) = tmp_path.glob("chatstep-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    code = (
        "import chatstep.documentation.pages as pages; from chatstep.documentation.html import style\n"
        "found = pages.library(); assert style()\n"
        "print(pages.__file__, *found.pages, *(name for name, path in found.files.items() if path.exists()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    where, *names = done.stdout.split()
    assert where.startswith(str(tmp_path / "site"))
    assert set(names) == {*PAGES, *library().files}
    assert {"pictures/demo.svg", "pictures/windows.svg", "flow.schema.json", "LICENSE"} <= set(names)
