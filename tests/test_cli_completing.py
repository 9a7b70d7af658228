"""What Tab completes: in a real bash, and as click's protocols for zsh and fish."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Commands

BIN = Path(sys.executable).parent


def tab(chatstep: Commands, line: str) -> list[str]:
    """What bash offers for the last word of the line, with our script loaded as the page says."""
    program = (
        'eval "$(chatstep completion bash)"\n'
        f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        '_chatstep_completion chatstep\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    chatstep.env["PATH"] = f"{BIN}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        env=chatstep.environment(),
        cwd=chatstep.folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("chatstep com", ["complete", "completion"]),
        ("chatstep connections ro", ["rotate"]),
        ("chatstep complete --dry", ["--dry-run"]),
        ("chatstep complete --speakers p", ["prefix"]),
        ("chatstep complete -o re", ["response_format", "reasoning_effort", "reasoning_room"]),
        ("chatstep complete -m gpt-4o-m", ["gpt-4o-mini"]),
        ("chatstep demo --connection re", ["rehearsal"]),
        ("chatstep connections add x --preset ol", ["ollama"]),
        ("chatstep connections add x --kind a", ["azure"]),
        ("chatstep usage --by m", ["model"]),
        ("chatstep completion z", ["zsh"]),
    ],
)
def test_bash_completes(chatstep: Commands, line: str, offered: list[str]) -> None:
    assert tab(chatstep, line) == offered
    assert not (chatstep.folder / "home").exists()


def test_bash_completes_what_is_stored(chatstep: Commands) -> None:
    """Connections wherever one is named, conversations, and files by bash itself."""
    chatstep("connections", "add", "local", "--preset", "ollama")
    chatstep("chat", "--connection", "rehearsal", "--conversation", "locks", input="Hello\n")
    chatstep.file("lo.json", "[]")
    for line in ("complete --connection", "connections test", "connections limit", "models --connection"):
        assert tab(chatstep, f"chatstep {line} lo") == ["local"]
    for line in ("chat --conversation", "conversations show"):
        assert tab(chatstep, f"chatstep {line} lo") == ["locks"]
    offered = "chatstep complete --history lo"
    chatstep.env |= {"COMP_WORDS": offered, "COMP_CWORD": "3", "_CHATSTEP_COMPLETE": "bash_complete"}
    assert chatstep.process().stdout == b"file,lo\n"


def test_a_store_that_cannot_be_read_completes_nothing(chatstep: Commands) -> None:
    home = chatstep.folder / "home"
    home.mkdir()
    (home / "chatstep.db").write_bytes(b"this is no database" * 100)
    assert tab(chatstep, "chatstep complete --connection r") == []
    assert tab(chatstep, "chatstep chat --conversation r") == []


def test_zsh_and_fish_are_answered(chatstep: Commands) -> None:
    """With the words of help beside what is offered."""
    chatstep("chat", "--connection", "rehearsal", "--conversation", "locks", input="Hello\n")
    chatstep.env |= {"COMP_WORDS": "chatstep conversations show lo", "COMP_CWORD": "3"}
    chatstep.env["_CHATSTEP_COMPLETE"] = "zsh_complete"
    assert chatstep.process().stdout.decode().splitlines() == ["plain", "locks", "Hello"]
    chatstep.env |= {"COMP_CWORD": "lo", "_CHATSTEP_COMPLETE": "fish_complete"}
    assert chatstep.process().stdout == b"plain,locks\tHello\n"
