"""`chatstep serve --workers N`: processes on one port, which are looked after."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from openai import OpenAI

from chatstep.flows.reading import read_flow
from chatstep.store import Store
from command_line import Commands
from serving import running

FLOW = """
name: shop
on: [chat]
steps:
  - {id: reply, uses: openai.make_chat_completion, with: {connection: rehearsal, message: "${{ trigger.text }}"}}
outputs: {message: "${{ steps.reply.message }}"}
"""


def children(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ask(address: str, model: str = "rehearsal/gpt-4o-mini") -> str | None:
    with OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=5) as client:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    return answer.choices[0].message.content


def metrics(address: str) -> str:
    with OpenAI(base_url=address, api_key="any") as client:
        return client.get("/metrics", cast_to=str)


def until(true: object) -> None:
    """Wait until something is so; the test's own time limit ends it otherwise."""
    while not true():  # type: ignore[operator]
        time.sleep(0.05)


def test_several_processes_serve_one_port_and_one_that_dies_comes_back(chatstep: Commands) -> None:
    flow = read_flow(FLOW)
    with Store.open(chatstep.folder / "home") as store:
        store.flows.publish(flow.name, flow.version, flow.source)
    with running(chatstep, "--workers", "3") as (process, address, said):
        until(lambda: len(children(process.pid)) == 3)
        first = children(process.pid)
        for _ in range(12):
            assert ask(address)
        assert ask(address, "flow/shop")
        until(lambda: set(re.findall(r'process_start_time_seconds{worker="(\d)"}', metrics(address))) == set("123"))
        until(lambda: chatstep.json("usage")[0]["calls"] == 13)  # a crash may cost entries of the last 50 ms
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        for _ in range(6):
            assert ask(address)
        until(lambda: len(children(process.pid)) == 3 and victim not in children(process.pid))
        last = children(process.pid)
        assert len(last & first) == 2
        process.terminate()
        assert process.wait(40) == 0
        assert not any(map(alive, first | last))
        text = said.read()
    assert f"pid {victim}" in text
    assert "signal 9" in text
    assert "Traceback" not in text
    assert chatstep.json("usage")[0]["calls"] == 19


def test_processes_end_with_the_one_that_looks_after_them(chatstep: Commands) -> None:
    with running(chatstep, "--workers", "2") as (process, address, _):
        until(lambda: len(children(process.pid)) == 2)
        assert ask(address)
        orphans = children(process.pid)
        process.kill()
        process.wait(30)
        until(lambda: not any(map(alive, orphans)))


def test_what_cannot_be_served_ends_all(chatstep: Commands) -> None:
    done = chatstep.process("serve", "--workers", "2", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert b"no admin token" in done.stderr


@pytest.mark.parametrize("count", ["0", "65", "many"])
def test_a_count_is_a_count(chatstep: Commands, count: str) -> None:
    chatstep("serve", "--workers", count, code=2)
