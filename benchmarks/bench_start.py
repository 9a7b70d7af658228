"""Wall time of a command: to its end for `--help`, to the first byte sent for a completion."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.canned import COMPLETION, NOT_FOUND, split_request, stream_writes, wants_stream
from benchmarks.passes import Measured, PeerFailed, environment, interleave, python_of
from benchmarks.report import Section, median_or_none, number, quotient

RUNS = 20
RUNS_OF_THE_SLOWEST = 6
SECONDS = 30.0
SCRIPTS = Path(sys.executable).parent

OPENAI_CODE = (
    "from openai import OpenAI; print(OpenAI().chat.completions.create(model='gpt-4o-mini', "
    "messages=[{'role': 'user', 'content': 'Hello'}]).choices[0].message.content)"
)
LITELLM_CODE = (
    "import litellm; print(litellm.completion(model='openai/gpt-4o-mini', "
    "messages=[{'role': 'user', 'content': 'Hello'}]).choices[0].message.content)"
)
LLM_MODELS = "- model_id: bench\n  model_name: gpt-4o-mini\n  api_base: {base_url}\n  api_key_name: openai\n"

FRESH = "chatstep complete, first byte, no store yet"
KEPT = "chatstep complete, first byte, store exists"
HELP = "chatstep --help"
AIOHTTP = "import aiohttp, nothing else, to its end"
LITELLM = "LiteLLM, python -c, first byte"


class Place:
    """A home folder, and a server that notes when the first byte of a request arrives."""

    def __init__(self, home: Path, listener: socket.socket) -> None:
        self.home, self.listener = home, listener
        self.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self.environment = environment(home, OPENAI_BASE_URL=self.base_url, OPENAI_API_BASE=self.base_url)
        (home / "llm").mkdir()
        (home / "llm" / "extra-openai-models.yaml").write_text(LLM_MODELS.format(base_url=self.base_url))

    def to_end(self, command: list[str]) -> dict[str, Any]:
        """Seconds until the command has ended."""
        started = time.monotonic()
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerFailed(str(error)) from error
        wall = time.monotonic() - started
        if done.returncode:
            raise PeerFailed(_last_line(done.stderr))
        return {"wall": wall}

    def to_first_byte(self, command: list[str]) -> dict[str, Any]:
        """Seconds until the first byte of the command's request has arrived; the command is then served to its end."""
        if not Path(command[0]).exists():
            raise PeerFailed(f"not installed: {command[0]}")
        with tempfile.TemporaryFile("w+") as errors:
            started = time.monotonic()
            with subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            ) as process:
                try:
                    arrived = self.serve_one()
                    process.wait(SECONDS)
                except (OSError, subprocess.TimeoutExpired) as error:
                    process.kill()
                    errors.seek(0)
                    raise PeerFailed(_last_line(errors.read()) or "no request came") from error
        return {"wall": arrived - started}

    def serve_one(self) -> float:
        """Answer requests until a completion was asked for; gives the moment when its first byte was there."""
        while True:
            connection, _ = self.listener.accept()
            with connection:
                connection.settimeout(SECONDS)
                buffer = connection.recv(65_536)
                arrived = time.monotonic()
                while buffer and (parts := split_request(buffer)) is None:
                    buffer += connection.recv(65_536)
                if not buffer:
                    continue
                head, body, _ = parts
                if not head.startswith(b"POST "):
                    connection.sendall(NOT_FOUND)
                    continue
                connection.sendall(_answer(body))
                return arrived


def _answer(body: bytes) -> bytes:
    return b"".join(stream_writes(usage=b"include_usage" in body, chunks=20)) if wants_stream(body) else COMPLETION


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1][:200] if text.strip() else ""


@contextlib.contextmanager
def _place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="bench-") as home, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        yield Place(Path(home), listener)


def _runners(place: Place) -> dict[str, Callable[[int], dict[str, Any]]]:
    python, script = sys.executable, str(SCRIPTS / "chatstep")
    complete = [script, "complete", "Hello"]

    def fresh(_: int) -> dict[str, Any]:
        shutil.rmtree(place.home / "chatstep", ignore_errors=True)
        return place.to_first_byte(complete)

    return {
        "python -c pass": lambda _: place.to_end([python, "-c", "pass"]),
        AIOHTTP: lambda _: place.to_end([python, "-c", "import aiohttp"]),
        HELP: lambda _: place.to_end([script, "--help"]),
        "llm --help": lambda _: place.to_end([str(SCRIPTS / "llm"), "--help"]),
        FRESH: fresh,
        KEPT: lambda _: place.to_first_byte(complete),
        "llm, first byte": lambda _: place.to_first_byte([str(SCRIPTS / "llm"), "-m", "bench", "Hello"]),
        "openai SDK, python -c, first byte": lambda _: place.to_first_byte([python, "-c", OPENAI_CODE]),
        LITELLM: lambda _: place.to_first_byte([str(python_of("litellm")), "-c", LITELLM_CODE]),
    }


def run() -> Section:
    """Run every command in turns."""
    with _place() as place:
        measured = interleave(_runners(place), passes=RUNS, fewer={LITELLM: RUNS_OF_THE_SLOWEST})
    section = Section(
        "start",
        "starting a command",
        f"Wall time, median of {RUNS} runs ({RUNS_OF_THE_SLOWEST} of LiteLLM) on a warm disk. First byte: from the "
        "start of the process until the first byte of its request reaches the server. Ratios are to chatstep with its "
        "store in place, or to its --help.",
        ("command", "ms", "lowest - highest", "to ours"),
    )
    for title, result in measured.items():
        _add(section, title, result, measured[HELP if title.endswith(("--help", "pass")) else KEPT])
    for title, limit in ((HELP, 150), (KEPT, 350), (FRESH, 350)):
        median = median_or_none(measured[title], "wall")
        section.target(title, None if median is None else median * 1e3, limit, " ms")
    return section


def _add(section: Section, title: str, result: Measured, ours: Measured) -> None:
    if not result.passes:
        section.rows.append((title, "failed", "", ""))
        section.notes.append(f"{title}: {result.failure}")
        return
    low, high = result.spread("wall")
    ratio = quotient(result.median("wall"), median_or_none(ours, "wall"))
    section.rows.append(
        (
            title,
            number(result.median("wall") * 1e3),
            f"{number(low * 1e3)} - {number(high * 1e3)}",
            "-" if ratio is None else f"{ratio:.2f} ×",
        )
    )
