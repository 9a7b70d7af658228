"""The exit code of every class of error, by running the command against what causes it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from chatstep import errors
from chatstep.rehearsal import Rehearsal
from command_line import Commands

Serve = Callable[..., Rehearsal]
ASK = ("complete", "Hi")

CAUSES: list[tuple[int, str, tuple[str, ...]]] = [
    (2, "[]", (*ASK, "--max-tokens", "0")),
    (3, "[]", (*ASK, "--connection", "nowhere")),
    (4, "[]", (*ASK, "--history", "missing.json")),
    (5, "[]", ("complete", "word " * 9000, "-m", "gpt-4", "--connection", "rehearsal")),
    (11, "- fault: {status: 401}", ASK),
    (12, "- fault: {code: model_not_found}", ASK),
    (13, "- fault: {code: insufficient_quota}", ASK),
    (15, "- fault: {code: context_length_exceeded}", ASK),
    (16, "- fault: {status: 400}", ASK),
    (21, "- fault: {status: 429}", ASK),
    (22, "- fault: {status: 503}", ASK),
    (23, "- fault: {cut_at: 0, of: response}", ASK),
    (24, "- fault: hang", ASK),
    (31, "- {reasoning: 500, reply: x}", (*ASK, "-m", "gpt-5-mini")),
    (32, "- refusal: No.", ASK),
    (33, "- {filter: true, reply: Half}", ASK),
    (34, "- fault: no_finish_reason", ASK),
    (35, "- fault: {html: 200}", ASK),
    (36, "- fault: {big_body: 3GB}", ASK),
    (37, "- fault: tool_call", ASK),
]
IN_TESTS_OF_THEIR_OWN = {6, 7, 8, 14, 130}
FAMILIES = {1, 10, 20, 30}  # errors of these classes themselves do not happen


@pytest.mark.parametrize(("code", "script", "args"), CAUSES, ids=[str(code) for code, _, _ in CAUSES])
def test_a_cause_has_its_code(chatstep: Commands, serve: Serve, code: int, script: str, args: tuple[str, ...]) -> None:
    """And one line that says what, with nothing on stdout but what came of a reply."""
    settings = {"base_url": serve(script).base_url, "tries": "1", "timeout": "0.5" if "hang" in script else "20"}
    given = [word for pair in settings.items() for word in ("--set", *pair)]
    chatstep("connections", "add", "p", *given, input="sk-rehearsal-key\n")
    done = chatstep(*args, *(() if "--connection" in args else ("--connection", "p")), code=code)
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr


def test_a_store_that_is_none(chatstep: Commands) -> None:
    home = chatstep.folder / "home"
    home.mkdir()
    (home / "chatstep.db").write_bytes(b"this is no database" * 100)
    assert "chatstep.db" in chatstep("usage", code=6).stderr


def test_a_sealing_key_that_is_gone(chatstep: Commands) -> None:
    chatstep("connections", "add", "work", input="sk-something-long\n")
    (sealing,) = [path for path in (chatstep.folder / "home").iterdir() if "key" in path.name]
    sealing.unlink()
    assert "seal" in chatstep(*ASK, "--connection", "work", code=7).stderr


def test_a_store_that_another_program_holds(chatstep: Commands) -> None:
    """With less patience than the ten seconds that the command has."""
    chatstep("usage")
    program = "import chatstep.store.sqlite as s; s.WAIT_SECONDS = 0.1; from chatstep.cli import main; main()"
    with closing(sqlite3.connect(chatstep.folder / "home" / "chatstep.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = subprocess.run(
            [sys.executable, "-c", program, "connections", "add", "work"],
            env=chatstep.environment(),
            input=b"sk-something-long\n",
            capture_output=True,
            check=False,
        )
    assert (done.returncode, b"locked" in done.stderr) == (8, True)


def test_a_spend_limit(chatstep: Commands, serve: Serve) -> None:
    provider = serve("- reply: x")
    chatstep(
        "connections",
        "add",
        "work",
        "--set",
        "base_url",
        provider.base_url,
        "--daily-limit",
        "0.000001",
        input="sk-x\n",
    )
    chatstep(*ASK, "--connection", "work", code=14)
    assert provider.requests == []


def test_every_exit_code_is_caused_above() -> None:
    """A new class without a cause fails here."""
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")]
    caused = {code for code, _, _ in CAUSES} | IN_TESTS_OF_THEIR_OWN | FAMILIES
    assert {kind.exit_code for kind in classes} == caused
