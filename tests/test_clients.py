"""Clients that people use, each as a process of its own, before a real `chatstep serve`: all get the same from it.

``make test`` asks the official SDKs, LangChain and LiteLLM; ``make clients`` those that are left.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import validate

from chatstep.flows.reading import read_flow
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.store import Store, StoredConnection, Token
from command_line import Commands
from serving import running

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(__file__).parent / "clients"
INSTALLED = ROOT / ".clients"
IN_CI = ("openai_python.py", "openai_npm.mjs", "langchain_python.py", "langchain_js.mjs", "litellm_python.py")
OTHERS = ("pydantic_ai_python.py", "vercel.mjs")
SLOWLY = "One, two, three, four, five."
FLOW = """
name: shop
on: [chat]
steps:
  - {id: reply, uses: openai.make_chat_completion, with: {connection: p, message: "${{ trigger.text }}"}}
outputs: {message: "${{ steps.reply.message }}"}
"""
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "open": {"type": "boolean"}},
    "required": ["id", "open"],
    "additionalProperties": False,
}
TOOL = {
    "name": "find_order",
    "description": "Finds an order",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}


def tool_text(script: str) -> str:
    return f"Where is the order of {script.partition('.')[0]}?"


def rules() -> str:
    """What the provider says. Each client has an order of its own, as a rule for a call of a tool is used up."""
    found: list[dict[str, Any]] = [
        {"when": "^Count slowly", "reply": SLOWLY, "chunks": 6, "delay": {"between": 0.02}},
        {"when": "^Go on", "reply": "and on " * 1000, "delay": {"between": 0.05}},
        {"when": "^Too much", "fault": {"code": "insufficient_quota"}},
    ]
    for script in (*IN_CI, *OTHERS):
        pattern = tool_text(script).replace("?", r"\?")
        found += [
            {"when": pattern, "times": 1, "fault": {"tool_call": {"name": "find_order", "arguments": "{}"}}},
            {"when": pattern, "reply": "It is on its way."},
        ]
    return json.dumps({"otherwise": "converse", "rules": found})


class Place(NamedTuple):
    """A server that clients can use, the provider behind it, their token, and where the server keeps its data."""

    address: str
    provider: Rehearsal
    token: str
    home: Path

    def calls(self, outcome: str) -> int:
        """How many calls have ended so."""
        with Store.open(self.home) as store:
            rows = store._database.rows("SELECT count(*) FROM chatstep_ledger WHERE outcome = ?", (outcome,))
            return int(next(iter(rows))[0])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    chatstep = Commands(tmp_path_factory.mktemp("clients"))
    with ExitStack() as stack:
        provider = stack.enter_context(Rehearsal.in_thread(rules()))
        with Store.open(chatstep.folder / "home") as store:
            connection = StoredConnection("p", "openai", "openai", {"base_url": provider.base_url})
            store.connections.add(connection, {"api_key": Secret("sk-provider")})
            flow = read_flow(FLOW)
            store.flows.publish(flow.name, flow.version, flow.source)
            _, token = store.tokens.make(Token(name="clients"))
        _, address, _ = stack.enter_context(running(chatstep))
        yield Place(address, provider, token.reveal(), chatstep.folder / "home")


def results(script: str, place: Place) -> Any:
    """What a client's script has to tell."""
    asked = {
        "base_url": f"{place.address}/v1",
        "key": place.token,
        "model": "p/gpt-4o-mini",
        "flow": "flow/shop",
        "tool": TOOL,
        "tool_text": tool_text(script),
        "schema": SCHEMA,
        "slow_text": "Count slowly",
        "endless_text": "Go on",
        "quota_text": "Too much",
    }
    return json.loads(run(script, json.dumps(asked)))


def run(script: str, *args: str) -> str:
    """The script's output; scripts in Python and JavaScript find their packages in `.clients`."""
    if script.endswith(".mjs"):
        # Modules are looked for beside the script.
        made = INSTALLED / "node" / script
        made.write_text((SCRIPTS / script).read_text())
        said = run_tool("node", str(made), *args)
    else:
        said = run_tool("python", str(SCRIPTS / script), *args)
    return said.strip().splitlines()[-1]


def run_tool(name: str, *args: str, cwd: Path | None = None, environment: dict[str, str] | None = None) -> str:
    """What a program among the clients' says; it must succeed."""
    assert (INSTALLED / ".installed").exists(), "The clients are not installed: run make .clients/.installed"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CHATSTEP_"))}
    # LiteLLM would ask a server on the internet for its prices, and others would tell theirs that they are in use.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [str(INSTALLED / "venv" / "bin" / name), *args],
        env={**kept, **quiet, **(environment or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def check(script: str, place: Place) -> None:
    before = place.calls("interrupted")
    got = results(script, place)
    assert got["plain"]
    assert got["stream"]["text"] == SLOWLY
    assert got["stream"]["pieces"] > 2
    assert got["stream"]["tokens"] > 5
    assert got["flow"] == got["flow_stream"] == got["plain"]
    assert got["tool"] == {"name": "find_order", "answer": "It is on its way."}
    validate(got["format"], SCHEMA)
    assert (got["unknown"], got["stranger"], got["quota"]) == (404, 401, 429)
    assert got["abandoned"] is True
    while place.calls("interrupted") == before:  # a client that read to the end would never end this
        time.sleep(0.05)
    assert place.calls("interrupted") == before + 1
    if "models" in got:
        assert {"flow/shop", "p/gpt-4o-mini", "rehearsal/gpt-4o-mini"} <= set(got["models"])


@pytest.mark.parametrize("script", IN_CI)
def test_clients_get_what_they_expect(script: str, place: Place) -> None:
    before = len(place.provider.requests)
    check(script, place)
    asked = [request for request in place.provider.requests[before:] if "Too much" in str(request.body)]
    assert len(asked) == 1, "an account without credit is asked once, whatever the client does"


@pytest.mark.clients
@pytest.mark.parametrize("script", OTHERS)
def test_further_clients_get_what_they_expect(script: str, place: Place) -> None:
    check(script, place)


@pytest.mark.clients
def test_curl_gets_answers_and_streams(place: Place) -> None:
    def curl(*args: str, body: Any = None) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {place.token}", *args]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "-d", "@-"]
        return subprocess.run(
            command, input=json.dumps(body) if body else None, capture_output=True, text=True, check=True
        ).stdout

    address = f"{place.address}/v1/chat/completions"
    asked = {"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": "Count slowly"}]}
    assert json.loads(curl(address, body=asked))["choices"][0]["message"]["content"] == SLOWLY
    streamed = curl("-N", address, body={**asked, "stream": True})
    assert streamed.endswith("data: [DONE]\n\n")
    # A body above a megabyte makes curl ask whether it may be sent.
    before = len(place.provider.requests)
    large = {**asked, "messages": [{"role": "user", "content": "x" * 2_000_000}, *asked["messages"]]}
    curl(address, body=large)
    (arrived,) = place.provider.requests[before:]
    assert arrived.body["messages"] == large["messages"]
    assert curl("-I", f"{place.address}/v1/models").startswith("HTTP/1.1 200")


@pytest.mark.clients
def test_the_llm_command_talks(place: Place, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        json.dumps(
            [
                {"model_id": name, "model_name": model, "api_base": f"{place.address}/v1", "api_key_name": "chatstep"}
                for name, model in (("step", "p/gpt-4o-mini"), ("shop", "flow/shop"))
            ]
        )
    )
    (tmp_path / "keys.json").write_text(json.dumps({"chatstep": place.token}))

    def llm(*args: str) -> str:
        return run_tool("llm", *args, environment={"LLM_USER_PATH": str(tmp_path)}).strip()

    assert llm("-m", "step", "Count slowly") == SLOWLY
    assert llm("-m", "step", "--no-stream", "Count slowly") == SLOWLY
    assert llm("-m", "shop", "Hello")
