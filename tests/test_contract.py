"""The endpoint against the protocol's contract, which is named with ``make clients CONTRACT=openapi.yaml``.

Prism stands between a client and the server, and judges what both say; the official SDK's own tests run against the
server, with Prism's mock of the contract as the provider behind it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
import ruamel.yaml
from jsonschema import Draft202012Validator

from chatstep.secret import Secret
from chatstep.store import Store, StoredConnection
from command_line import Commands
from serving import running
from test_clients import INSTALLED, SCHEMA, TOOL, Place, place, run_tool

pytestmark = [pytest.mark.contract, pytest.mark.timeout(600)]
__all__ = ["place"]

SDK = "openai-3.57.0"
# Asks for `stream_options` without a stream, which OpenAI refuses, and so do we; the others need stored completions.
UNFIT = "with_all_params_overload_1 or update or delete or retrieve or list"


@pytest.fixture(scope="module")
def contract() -> Path:
    path = Path(os.environ["OPENAI_CONTRACT"])
    assert path.is_file(), path
    return path


@contextmanager
def prism(*args: str) -> Iterator[str]:
    """Prism, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PATH": f"{INSTALLED / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    program = INSTALLED / "node" / "node_modules" / ".bin" / "prism"
    command = [str(program), *args, "-h", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile("w+") as said:
        # `node` from PyPI is a program that starts the real one; a session of their own lets both be ended.
        process = subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while "Prism is listening" not in (text := _all_of(said)):
                assert process.poll() is None, text
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)


def _all_of(file: IO[str]) -> str:
    return os.pread(file.fileno(), 1_000_000, 0).decode()


def fetch(address: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(address + path, None if body is None else json.dumps(body).encode())
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def asked(text: str = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}


def test_prism_finds_nothing_against_the_contract(contract: Path, place: Place) -> None:
    format = {"type": "json_schema", "json_schema": {"name": "order", "strict": True, "schema": SCHEMA}}
    requests: list[tuple[str, str, Any, int]] = [
        ("/chat/completions", place.token, asked(), 200),
        ("/chat/completions", place.token, {**asked(), "model": "flow/shop"}, 200),
        ("/chat/completions", place.token, asked(n=2, logprobs=True, top_logprobs=2, seed=7, user="Ana"), 200),
        ("/chat/completions", place.token, asked(response_format=format), 200),
        ("/chat/completions", place.token, asked(tools=[{"type": "function", "function": TOOL}]), 200),
        ("/chat/completions", place.token, asked("Too much"), 429),
        ("/chat/completions", place.token, {**asked(), "model": "flow/none"}, 404),
        ("/chat/completions", place.token, asked(temperature=1.5, max_completion_tokens=3), 200),
        ("/chat/completions", "cs_wrong", asked(), 401),
        ("/models", place.token, None, 200),
        ("/models/gpt-4o-mini", place.token, None, 200),
        ("/models/nothing", place.token, None, 404),
    ]
    with prism("proxy", str(contract), f"{place.address}/v1", "--errors") as address:
        for path, token, body, status in requests:
            got, text = fetch(address, path, token, body)
            assert got == status, (path, body, text)


def test_streams_are_chunks_of_the_contract(contract: Path, place: Place) -> None:
    document = ruamel.yaml.YAML(typ="safe").load(contract)
    shape = {"$ref": "#/components/schemas/CreateChatCompletionStreamResponse", "components": document["components"]}
    validator = Draft202012Validator(shape)
    for model in ("p/gpt-4o-mini", "flow/shop", "rehearsal/gpt-4o-mini"):
        body = {**asked(), "model": model, "stream": True, "stream_options": {"include_usage": True}}
        _, text = fetch(place.address, "/v1/chat/completions", place.token, body)
        events = re.findall(r"^data: (.*)$", text, re.M)
        assert events.pop() == "[DONE]"
        chunks = [json.loads(event) for event in events]
        for chunk in chunks:
            validator.validate(chunk)
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["total_tokens"] > 0


def test_the_sdks_own_tests_pass(contract: Path, tmp_path: Path) -> None:
    with tarfile.open(INSTALLED / f"{SDK}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    chatstep = Commands(tmp_path)
    with prism("mock", str(contract)) as upstream:
        with Store.open(chatstep.folder / "home") as store:
            stored = StoredConnection("up", "openai", "openai", {"base_url": upstream})
            store.connections.add(stored, {"api_key": Secret("sk-provider")})
        with running(chatstep) as (_, address, _):
            files = ["tests/api_resources/chat/test_completions.py", "tests/api_resources/test_models.py"]
            options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-k"]
            fit = f"(Completions and not ({UNFIT})) or (Models and (retrieve or list))"
            said = run_tool(
                "pytest", *files, *options, fit, cwd=tmp_path / SDK, environment={"TEST_API_BASE_URL": f"{address}/v1"}
            )
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= 60, said
    assert "failed" not in said
