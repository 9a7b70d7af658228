"""What tests of the command line share: running it in this process or as one of its own, beside a provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chatstep.cli.root import cli
from chatstep.rehearsal import Rehearsal

KEY = "sk-marker-7Jq2-never-shown"
TALK = [
    {"author": "Ana", "text": "Who has the keys?"},
    {"author": "Zoë 🌿", "text": "I have them."},
    {"author": "Robo", "text": "Zoë has the keys."},
    {"author": "Ana", "text": "Thanks. When do we open?"},
]


class Commands:
    """The command line with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"CHATSTEP_HOME": str(folder / "home"), "NO_COLOR": "1", "TERM": "dumb"}

    def __call__(self, *args: str, input: str | bytes | None = None, code: int | None = 0) -> Result:
        """Run in this process; ``code`` is the exit code it must give."""
        cleared = {name: None for name in os.environ if name.startswith(("OPENAI_", "CHATSTEP_"))}
        result = CliRunner().invoke(cli, args, input=input, env={**cleared, **self.env}, prog_name="chatstep")
        if code is not None:
            assert result.exit_code == code, (args, result.stdout, result.stderr)
        assert "Traceback" not in result.output
        return result

    def json(self, *args: str, **options: Any) -> Any:
        """What a command writes with --json."""
        return json.loads(self(*args, "--json", **options).stdout)

    def environment(self) -> dict[str, str]:
        """The environment for a process of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CHATSTEP_"))}
        return {**kept, **self.env, "PYTHONWARNINGS": "error::ResourceWarning"}

    def process(self, *args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "chatstep", *args],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            timeout=100,
            check=False,
            **({"stdin": subprocess.DEVNULL} if "input" not in options else {}),
            **options,
        )

    @contextmanager
    def running(self, *args: str, text: bool = False) -> Iterator[Any]:
        """A process of its own while it runs, as a `subprocess.Popen`; it is over in any case."""
        command = [sys.executable, "-u", "-m", "chatstep", *args]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=self.environment(), text=text, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    def file(self, name: str, content: Any) -> str:
        """A file with these bytes, this text, or this value as JSON."""
        path = self.folder / name
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
        path.write_bytes(content)
        return str(path)


@pytest.fixture
def chatstep(tmp_path: Path) -> Commands:
    """The command line."""
    return Commands(tmp_path)


@pytest.fixture
def serve(chatstep: Commands) -> Iterator[Callable[..., Rehearsal]]:
    """``serve(script)`` starts a provider and makes it the environment's connection."""
    with ExitStack() as stack:

        def start(script: str | None = None) -> Rehearsal:
            provider = stack.enter_context(Rehearsal.in_thread(script))
            chatstep.env |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": KEY}
            return provider

        yield start
