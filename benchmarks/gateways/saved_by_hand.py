"""The least that a saved run of a chat flow does: aiohttp asks upstream, and a row of the run is committed to SQLite
before the answer, many rows at once. ``saved_by_hand PORT UPSTREAM FILE``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
import uuid

import aiohttp
import msgspec
from aiohttp import web

from benchmarks.worker import run_loop


class Rows:
    """Commits what is waiting, and then tells those who wait for it."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, time REAL, asked TEXT, answered TEXT)")
        self._waiting: list[tuple[tuple[object, ...], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, *row: object) -> None:
        """Return when the row is committed."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((row, kept))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await kept

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            await asyncio.to_thread(self._commit, [row for row, _ in batch])
            for _, kept in batch:
                kept.set_result(None)
        self._writing = None

    def _commit(self, rows: list[tuple[object, ...]]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO runs VALUES (?, ?, ?, ?)", rows)
        self._database.execute("COMMIT")


async def main(port: int, upstream: str, path: str) -> None:
    """Serve until killed."""
    rows = Rows(path)
    headers = {"authorization": "Bearer sk-bench", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            asked = msgspec.json.decode(await request.read())
            body = {"model": "gpt-4o-mini", "messages": asked["messages"], "max_tokens": 256}
            async with session.post(f"{upstream}/chat/completions", data=msgspec.json.encode(body)) as answer:
                given = await answer.read()
            message = msgspec.json.decode(given)["choices"][0]["message"]["content"]
            steps = {"reply": {"message": message}, "keep": {"values": {"text": message}}}
            await rows.keep(uuid.uuid4().hex, time.time(), msgspec.json.encode(asked), msgspec.json.encode(steps))
            return web.Response(body=given, content_type="application/json")

        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run_loop(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
