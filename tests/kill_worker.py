"""A process for the kill tests: a worker that also takes in events, as a server does. Not a test itself.

It reads a line of JSON per event on stdin, and writes one on stdout when the run of that event is stored; the line
``{"ready": true}`` comes first. The first argument names the machine that it pretends to run on.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import uvloop

from chatstep.app import App
from chatstep.flows.events import Event
from chatstep.flows.reading import read_flow


async def main(machine: str, flow_file: str) -> None:
    socket.gethostname = lambda: machine
    text = await asyncio.to_thread(Path(flow_file).read_text, "utf-8")
    flow = read_flow(text)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with App.open() as app:
        await app.flows.publish(flow)
        await app.flows.launch()
        say({"ready": True})

        async def take(event: dict[str, Any]) -> None:
            started = await app.flows.start(flow.name, Event(type="webhook", **event))
            say({"event": event["id"], "run": started.id})

        tasks = set()
        while line := await reader.readline():
            task = loop.create_task(take(json.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)


def say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
