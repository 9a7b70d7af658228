"""The end of `chatstep serve`: what is under way is finished, runs are handed over, and it ends in time."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from openai import APIError, InternalServerError, OpenAI

from chatstep.flows.reading import read_flow
from chatstep.rehearsal import Rehearsal
from chatstep.store import Store
from command_line import Commands
from serving import running

Serve = Callable[..., Rehearsal]
WORDS = " ".join(f"word{at}" for at in range(40))
SLOW = f"- reply: {WORDS}\n  delay: {{first: 0, between: 0.05}}"
STUCK = "- fault: hang"
BEGUN = f"- reply: {WORDS}\n  delay: {{first: 0, between: 1000}}"
SILENT = "- fault: {stall: 0}"  # a stream whose head has come and nothing else
FLOW = """
name: shop
on:
  - webhook: {path: shop}
steps:
  - {id: first, uses: openai.make_chat_completion, with: {connection: environment, message: One}}
  - {id: second, uses: openai.make_chat_completion, with: {connection: environment, message: Two}}
outputs: {message: "${{ steps.second.message }}"}
"""


def connected(address: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection.request(method, path, None if body is None else msgspec.json.encode(body))
    answer = connection.getresponse()
    return answer.status, msgspec.json.decode(answer.read() or b"null")


def asked(address: str, *, stream: bool = False) -> list[str]:
    """What was answered, in pieces."""
    with OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
        hello: Any = [{"role": "user", "content": "Hello"}]
        if not stream:
            answer = client.chat.completions.create(model="environment/gpt-4o-mini", messages=hello)
            return [answer.choices[0].message.content or ""]
        chunks = client.chat.completions.create(model="environment/gpt-4o-mini", messages=hello, stream=True)
        return [chunk.choices[0].delta.content or "" for chunk in chunks]


def arrived(provider: Rehearsal, count: int) -> None:
    """Wait until so many requests came; the test's own time limit ends it otherwise."""
    while len(provider.requests) < count:
        time.sleep(0.02)


def in_thread(work: Callable[[], Any]) -> Queue[Any]:
    """What the work gives or raises, once it has."""
    given: Queue[Any] = Queue()

    def do() -> None:
        try:
            given.put(work())
        except Exception as error:
            given.put(error)

    threading.Thread(target=do, daemon=True).start()
    return given


def test_a_stream_under_way_is_finished_and_nothing_new_is_taken(chatstep: Commands, serve: Serve) -> None:
    serve(SLOW)
    with running(chatstep) as (process, address, said), OpenAI(base_url=f"{address}/v1", api_key="any") as client:
        watching = connected(address)
        assert ask(watching, "GET", "/readyz") == (200, {"ready": True, "problems": []})
        hello: Any = [{"role": "user", "content": "Hello"}]
        stream = client.chat.completions.create(model="environment/gpt-4o-mini", messages=hello, stream=True)
        pieces = [next(stream).choices[0].delta.content or "" for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while "Stopping" not in (line := process.stderr.readline()):
            assert line
        assert "1 requests and 0 runs are under way" in line
        status, body = ask(watching, "GET", "/readyz")
        assert (status, body["ready"], body["problems"][0]["what"]) == (503, False, "server")
        watching.close()
        with pytest.raises(ConnectionRefusedError):
            connected(address).connect()
        pieces += [chunk.choices[0].delta.content or "" for chunk in stream]
        assert "".join(pieces) == WORDS
        assert process.wait(60) == 0
        assert "Traceback" not in said.read()


@pytest.mark.parametrize(("script", "stream"), [(BEGUN, True), (SILENT, True), (STUCK, True), (STUCK, False)])
def test_what_lasts_longer_than_the_grace_is_cut_and_told_so(
    chatstep: Commands, serve: Serve, script: str, stream: bool
) -> None:
    provider = serve(script)
    with running(chatstep, "--grace", "0.5") as (process, address, said):
        given = in_thread(lambda: asked(address, stream=stream))
        arrived(provider, 1)
        process.send_signal(signal.SIGTERM)
        error = given.get(timeout=100)
        assert isinstance(error, InternalServerError if script is STUCK else APIError), error
        assert error.code == "server_stopping"
        assert process.wait(60) == 0
        assert "Traceback" not in said.read()
    (row,) = chatstep("usage", "--by", "connection", "--json").stdout.splitlines()
    assert '"calls":1' in row.replace(" ", ""), row


def test_a_run_under_way_is_taken_up_by_the_next_process(chatstep: Commands, serve: Serve) -> None:
    flow = read_flow(FLOW)
    with Store.open(chatstep.folder / "home") as store:
        store.flows.publish(flow.name, flow.version, flow.source)
    provider = serve("- reply: Well.\n  delay: 1")
    with running(chatstep) as (process, address, said):
        connection = connected(address)
        status, begun = ask(connection, "POST", "/hooks/shop", {})
        connection.close()
        assert status == 202
        arrived(provider, 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "Traceback" not in said.read()
    (halfway,) = chatstep.json("flow", "runs")
    assert (halfway["id"], halfway["state"]) == (begun["run"], "queued")
    assert [step["id"] for step in halfway["steps"]] == ["first"]
    with running(chatstep):
        arrived(provider, 2)
        while (run := chatstep.json("flow", "show", begun["run"]))["state"] != "done":
            assert run["state"] in ("queued", "running")
    assert [step.get("maybe_repeated", False) for step in run["steps"]] == [False, False]
    assert len(provider.requests) == 2


def test_a_second_signal_ends_it_at_once(chatstep: Commands, serve: Serve) -> None:
    provider = serve(STUCK)
    with running(chatstep, "--grace", "3600") as (process, address, _):
        given = in_thread(lambda: asked(address))
        arrived(provider, 1)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while "Stopping" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
        assert isinstance(given.get(timeout=60), Exception)


def test_a_process_that_cannot_end_is_ended() -> None:
    """Whatever hangs while things are closed: nothing waits for it for ever."""
    program = (
        "import asyncio, time\nfrom chatstep.cli import stopping\nstopping._CLOSING = 0.1\n"
        "async def main():\n    stopping.Stop(0).ask()\n    time.sleep(100)\nasyncio.run(main())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert b"cut short" in ended.stderr
