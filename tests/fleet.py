"""Workers as processes of their own, and the world they talk to: a rehearsal provider and a server for deliveries."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.store import Store, StoredConnection
from flowing import install_acme
from raw_server import Exchange, RawServer

HERE = Path(__file__).parent

FLOW = """
name: shop
conversation: {id: "${{ trigger.conversation }}", assistant: Robin}
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: p
      message: ${{ trigger.text }}
      history: {assistant: Robin, messages: "${{ conversation.messages }}"}
      history_tokens: 300  # else the prompts of a long fire grow without end, and with them what the provider keeps
  - id: tell
    uses: http.request
    with:
      connection: hook
      method: POST
      url: /deliveries
      body: ${{ trigger.text }} | ${{ steps.reply.message }}
outputs: {message: "${{ steps.reply.message }}"}
"""


class Worker:
    """One process, and the events that it has not acknowledged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unacknowledged: dict[str, asyncio.Future[str | None]] = {}
        self.reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            said = json.loads(line)
            if "ready" in said:
                self.ready.set_result(None)
            elif waiting := self.unacknowledged.pop(said["event"], None):
                waiting.set_result(said["run"])
        for waiting in self.unacknowledged.values():
            waiting.set_result(None)
        self.unacknowledged.clear()
        if not self.ready.done():
            self.ready.set_exception(RuntimeError("The worker ended before it was ready."))
            self.ready.exception()

    async def send(self, event: dict[str, Any]) -> str | None:
        """The id of the event's run, or None when the process died before it said so."""
        if self.reading.done():
            return None
        waiting = self.unacknowledged[event["id"]] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        with suppress(ConnectionError):
            self.process.stdin.write(json.dumps(event).encode() + b"\n")
            await self.process.stdin.drain()
        return await waiting


class Fleet:
    """So many workers on machines of their own; a worker that is killed is replaced at once."""

    def __init__(self, size: int, folder: Path, url: str | None, first_on_path: Path | None = None) -> None:
        self.size, self.flow = size, folder / "shop.yaml"
        self.workers: list[Worker] = []
        self.number = 0
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "CHATSTEP_"))}
        paths = (first_on_path, folder / "site", HERE, os.environ.get("PYTHONPATH"))
        path = os.pathsep.join(str(each) for each in paths if each)
        self.env = {**clean, "CHATSTEP_HOME": str(folder / "home"), "PYTHONPATH": path}
        if url is not None:
            self.env["CHATSTEP_STORE"] = url

    async def add(self) -> Worker:
        # Alone on one machine, a new process sees at once that the old one is gone; among several it must be patient.
        machine = "alone" if self.size == 1 else f"machine-{self.number}"
        self.number += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            str(HERE / "kill_worker.py"),
            machine,
            str(self.flow),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self.env,
        )
        worker = Worker(process)
        self.workers.append(worker)
        return worker

    async def kill(self, worker: Worker) -> None:
        worker.process.kill()
        await worker.process.wait()
        await worker.reading
        self.workers.remove(worker)

    async def deliver(self, event: dict[str, Any]) -> str:
        """Deliver until it is acknowledged."""
        while True:
            ready = [worker for worker in self.workers if worker.ready.done() and not worker.ready.exception()]
            if ready and (run := await random.choice(ready).send(event)):
                return run
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        for worker in list(self.workers):
            await self.kill(worker)


class World:
    """What the workers talk to, and what it saw."""

    def __init__(self, provider: Rehearsal) -> None:
        self.provider = provider
        self.deliveries: list[tuple[float, str, str]] = []

    async def deliver(self, exchange: Exchange) -> None:
        self.deliveries.append((time.time(), exchange.headers["idempotency-key"], exchange.body.decode()))
        await asyncio.sleep(0.005)
        await exchange.reply()

    @property
    def completions(self) -> list[tuple[float, str]]:
        """When each request came, and the message that it wants answered."""
        return [(request.time, request.body["messages"][-1]["content"]) for request in self.provider.requests]


@asynccontextmanager
async def world(folder: Path, url: str | None, script: str) -> AsyncIterator[World]:
    """A provider and a server for deliveries, and a data folder ``home`` with connections to them."""
    install_acme(folder / "site")
    (folder / "shop.yaml").write_text(FLOW)
    async with Rehearsal(script, keep=1_000_000) as provider:
        world = World(provider)
        async with RawServer(world.deliver) as server:
            hook = {"base_url": f"http://127.0.0.1:{server.port}/", "allow_private": "yes"}
            with Store.open(folder / "home", url) as store:
                ours = StoredConnection("p", "openai", "openai", {"base_url": provider.base_url})
                store.connections.add(ours, {"api_key": Secret("k")})
                store.connections.add(StoredConnection("hook", "http", "http", hook))
            yield world
