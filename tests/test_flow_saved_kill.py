"""A server that is killed in the middle: whoever got an answer finds its run. Who got none asks again."""

from __future__ import annotations

import asyncio
import http.client
import threading
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from chatstep.app import App
from chatstep.flows.reading import read_flow
from chatstep.flows.records import RunRecord
from chatstep.settings import Settings
from chatstep.store import Store
from command_line import Commands
from serving import running

FLOW = """
name: quick
durable: false
on: [chat]
steps:
  - {id: reply, uses: openai.make_chat_completion, with: {connection: rehearsal, message: "${{ trigger.text }}"}}
outputs: {message: "${{ steps.reply.message }}"}
"""
CLIENTS, ENOUGH = 8, 80


def ask(address: str, text: str, key: str) -> tuple[str, str]:
    """The run and its answer; raises OSError or HTTPException when the server is gone."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    try:
        body = {"model": "flow/quick", "messages": [{"role": "user", "content": text}]}
        headers = {"content-type": "application/json", "idempotency-key": key}
        connection.request("POST", "/v1/chat/completions", msgspec.json.encode(body), headers)
        answer = msgspec.json.decode(connection.getresponse().read())
        return answer["id"], answer["choices"][0]["message"]["content"]
    finally:
        connection.close()


def kept(home: Path) -> dict[str, RunRecord]:
    async def read() -> list[RunRecord]:
        async with App.open(Settings(home=home), {}) as app:
            return await app.flows.runs(limit=10_000)

    return {record.id: record for record in asyncio.run(read())}


def test_an_answer_is_given_when_its_run_is_stored(chatstep: Commands) -> None:
    home = chatstep.folder / "home"
    flow = read_flow(FLOW)
    with Store.open(home) as store:
        store.flows.publish(flow.name, flow.version, flow.source)
    answers: dict[str, tuple[str, str]] = {}
    enough = threading.Event()

    def client(number: int, address: str) -> None:
        for turn in range(10_000):
            key = f"{number}-{turn}"
            try:
                answers[key] = ask(address, f"My number is {key}.", key)
            except (OSError, http.client.HTTPException):
                return
            if len(answers) >= ENOUGH:
                enough.set()

    with running(chatstep) as (process, address, _):
        threads = [threading.Thread(target=client, args=(number, address)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        process.kill()
        for thread in threads:
            thread.join(60)
    records = kept(home)
    assert len(answers) >= ENOUGH
    assert {id: records[id].outputs["message"] for id, _ in answers.values()} == dict(answers.values())

    with running(chatstep) as (_, address, _):
        for key in ("0-0", "1-0", "0-9999"):  # the last one is new
            id, text = ask(address, f"My number is {key}.", key)
            assert (id, text) == answers.get(key, (id, text))
    assert len(kept(home)) == len(records) + 1
