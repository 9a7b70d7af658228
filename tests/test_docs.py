"""The documentation holds: its code runs, its links lead somewhere, its tables are fresh, and nothing is left out.

Blocks of a page run in an empty folder, against a rehearsal provider that the environment names as if it were OpenAI.
docs/contributing.md says what is done with which kind of block.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args, get_type_hints

import msgspec
import pytest

from chatstep.errors import all_errors
from chatstep.modules.openai.connection import PRESETS
from chatstep.modules.openai.tail import Dropped
from chatstep.registry import connection_kinds, steps
from chatstep.rehearsal import Rehearsal
from chatstep.settings import SETTINGS, Settings
from chatstep.store.migrations import MIGRATIONS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

# What a test cannot do: installing, and commands that serve or talk until somebody stops them.
UNRUN = {
    "README.md": ["make demo", "make test", "pipx install", "chatstep chat", "chatstep serve"],
    "docs/rehearsal.md": ["chatstep rehearse"],
    "docs/server.md": ["chatstep serve", "curl"],
    "docs/deploying.md": ["useradd", "python3", "pip install", "install -m", "systemctl", "echo", "docker compose"],
    "docs/contributing.md": ["git clone", "make demo", "make test", "pytest"],
}
# Its texts are what the commands say of themselves; `test_the_generated_pages_are_fresh` compares them.
GENERATED = "commands.md"


class Block(NamedTuple):
    """A fenced block: its kind, its text, the file it is to be written to, and its first line on the page."""

    kind: str
    text: str
    file: str | None
    line: int


_FENCE = re.compile(r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(found["kind"], found["text"], found["file"], line)


VOLATILE = (
    (r"\b\d+(\.\d+)? (?=m?s\b)", "N "),  # how long it took
    (r"\b\d{4}-\d\d-\d\d( \d\d:\d\d)?", "DATE"),
    (r"127\.0\.0\.1:\d+", "HERE"),  # free ports
    (r"─+", "─"),  # lines are as long as their tables are wide
)


def assert_like(expected: str, got: str, where: str) -> None:
    """Compare loosely: `...` is anything, and white space, times and ports do not count."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    want, have = expected, got
    for pattern, word in VOLATILE:
        want, have = re.sub(pattern, word, want), re.sub(pattern, word, have)
    alike = doctest.OutputChecker().check_output(want, have, flags)
    assert alike, f"{where}: expected\n{expected}\ngot\n{got}"


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, and the environment of somebody who has a key for a provider that is on this machine."""
    for name in list(os.environ):
        if name.startswith(("CHATSTEP_", "OPENAI_")):
            monkeypatch.delenv(name)
    with Rehearsal.in_thread() as provider:
        monkeypatch.setenv("CHATSTEP_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("OPENAI_API_KEY", "rehearsal-key")
        monkeypatch.setenv("OPENAI_BASE_URL", provider.base_url)
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.chdir(tmp_path)
        yield


@pytest.mark.parametrize("page", PAGES, ids=name_of)
@pytest.mark.usefixtures("at_work")
def test_every_block_runs(page: Path) -> None:
    namespace: dict[str, object] = {"__name__": "page"}
    printed = ""
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "python":
            printed = run_python(block, where, namespace)
        elif block.kind == "text" and page.name != GENERATED:
            assert_like(block.text, printed, where)
        elif block.kind == "console":
            run_console(block, where)


def run_python(block: Block, where: str, namespace: dict[str, object]) -> str:
    """Run the block as part of its page, and give what it printed."""
    code = compile("\n" * (block.line - 1) + block.text, where, "exec", dont_inherit=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def run_console(block: Block, where: str) -> None:
    """Run the commands of a block in one shell, and compare what each writes to both streams."""
    parts = re.split(r"^\$ ", block.text, flags=re.M)
    assert not parts[0].strip(), f"{where}: a console block begins with a command"
    commands = [part.partition("\n") for part in parts[1:]]
    script = "".join(f'{command}\nlast=$?; echo; echo "@@@ $last"; (exit $last)\n' for command, _, _ in commands)
    done = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "120"},
        timeout=60,
        check=False,
    )
    outputs = re.split(r"\n@@@ (\d+)\n", done.stdout)
    for (command, _, expected), got, code in zip(commands, outputs[::2], outputs[1::2], strict=False):
        # An error that the page does not show is an error of the page.
        assert (code != "0") == ("Error:" in expected), f"{where}: {command} ended with {code}: {got}"
        assert_like(expected, got, f"{where}: {command}")
    assert len(outputs) == 2 * len(commands) + 1


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_is_listed(page: Path) -> None:
    known = UNRUN.get(name_of(page), [])
    lines = [line for block in blocks(page) if block.kind == "sh" for line in block.text.splitlines()]
    unknown = [
        line
        for line in lines
        if line.strip() and not line.startswith(("#", "cd ")) and not any(name in line for name in known)
    ]
    assert not unknown
    assert all(any(name in line for line in lines) for name in known)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_fenced_block_has_a_kind(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.M)
    assert fences[1::2] == [""] * (len(fences) // 2)
    assert set(fences[::2]) <= {"python", "text", "console", "sh", "json", "yaml", "toml"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the common renderers make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(found), f"{name_of(page)}: {target}"


def test_the_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "make_docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in sorted(DOCS.rglob("*.md")):
        if page != DOCS / "README.md":
            assert f"({page.relative_to(DOCS).as_posix()})" in index


@pytest.mark.parametrize("step", steps().values(), ids=lambda step: step.name)
def test_a_step_has_a_page_in_the_common_shape(step) -> None:
    page = (DOCS / "steps" / f"{step.name}.md").read_text(encoding="utf-8")
    assert step.doc
    sections = ["Introduction", "Configuration", "Outputs", "Usage", "Troubleshooting"]
    assert re.findall(r"^## (.+)$", page, re.M) == sections
    for struct in (step.inputs, step.output):
        for field in msgspec.structs.fields(struct):
            assert f"| `{field.name}` |" in page


@pytest.mark.parametrize(
    ("page", "begin"), [("history.md", "## What is left out"), ("steps/openai.make_chat_completion.md", "**Dropped**")]
)
def test_every_reason_for_leaving_out_is_told(page: str, begin: str) -> None:
    told = (DOCS / page).read_text("utf-8").partition(begin)[2].partition("\n## ")[0]
    told = told if begin.startswith("#") else told.partition("\n\n")[0]
    assert [reason for reason in get_args(get_type_hints(Dropped)["reason"]) if f"`{reason}`" not in told] == []


def test_every_error_has_its_words() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    for kind in all_errors():
        row = next((line for line in page.splitlines() if f"`{kind.__name__}` | `{kind.code}`" in line), None)
        assert row is not None, kind
        assert f"| {kind.exit_code} | {kind.http_status} |" in row


def test_every_setting_has_its_words() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    for setting in SETTINGS:
        assert f"| `{setting.name}` | `{setting.variable}` |" in page
        assert setting.help in page


def test_the_settings_file_of_the_page_is_read(tmp_path: Path) -> None:
    shown = next(block for block in blocks(DOCS / "settings.md") if block.kind == "toml")
    (tmp_path / "settings.toml").write_text(shown.text, encoding="utf-8")
    settings = Settings.load({"CHATSTEP_HOME": str(tmp_path)})
    for name, value in tomllib.loads(shown.text).items():
        assert getattr(settings, name) == value


def test_every_connection_kind_and_preset_has_its_words() -> None:
    page = (DOCS / "connections.md").read_text(encoding="utf-8")
    for name, (_, kind) in connection_kinds().items():
        section = page.partition(f"### `{name}`: {kind.title}\n")[2].partition("\n#")[0]
        for field in kind.fields:
            assert f"| `{field.name}` |" in section
    for name, preset in PRESETS.items():
        assert f"| `{name}` | {preset.title} | `{preset.base_url}` |" in page


def test_the_page_of_the_store_names_every_table() -> None:
    page = (DOCS / "store.md").read_text(encoding="utf-8")
    for migration in MIGRATIONS:
        for table in re.findall(r"CREATE TABLE (\w+)", migration.script):
            assert f"`{table}`" in page, table


def test_the_architecture_page_places_every_room() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "chatstep"
    rooms = [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    for path in [*rooms, *(package / "modules" / "openai").glob("*.py")]:
        name = path.name if path.suffix else f"{path.name}/"
        if not name.startswith("__"):
            assert re.search(rf"`{re.escape(name)}(`|openai/`)", page), name
