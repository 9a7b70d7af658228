"""What happens to runs when a process, or the database, is gone for a while; with workers as processes of their own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg

import chatstep
from chatstep.app import App
from chatstep.flows.records import RunRecord
from chatstep.settings import Settings
from fleet import Fleet, Worker, world
from flowing import new_database

SLOW = "- reply: Noted.\n  delay: 2"
PROMISED = 15.0  # seconds


async def ended(folder: Path, url: str | None, run: str) -> RunRecord:
    """A run when it has ended, as another process sees it."""
    async with App.open(Settings(home=folder / "home", store=url), {}) as app:
        return await app.flows.wait(run)


def event(name: str) -> dict[str, str]:
    return {"id": name, "text": name, "conversation": name}


async def test_the_runs_of_a_dead_machine_go_on_elsewhere(tmp_path: Path, postgres_server: str) -> None:
    url = new_database(postgres_server)
    async with world(tmp_path, url, SLOW) as seen:
        fleet = Fleet(2, tmp_path, url)
        try:
            for _ in range(2):
                await (await fleet.add()).ready
            run = await fleet.deliver(event("hello"))
            await seen.provider.arrived(1)
            victim = who_runs(fleet, url, run)
            died = time.monotonic()
            await fleet.kill(victim)
            await seen.provider.arrived(2)
            assert time.monotonic() - died < PROMISED
            record = await ended(tmp_path, url, run)
        finally:
            await fleet.stop()
    assert (record.state, record.recovered) == ("done", 1)
    assert [step.maybe_repeated for step in record.steps] == [True, False]
    assert [key for _, key, _ in seen.deliveries] == [f"{run}:tell"]


async def test_a_process_that_slept_does_nothing_more_for_a_run_that_was_taken_over(
    tmp_path: Path, postgres_server: str
) -> None:
    """As when a laptop's lid is closed in the middle of a completion, and opened again."""
    url = new_database(postgres_server)
    async with world(tmp_path, url, SLOW) as seen:
        fleet = Fleet(2, tmp_path, url)
        try:
            for _ in range(2):
                await (await fleet.add()).ready
            run = await fleet.deliver(event("hello"))
            await seen.provider.arrived(1)
            sleeper = who_runs(fleet, url, run)
            sleeper.process.send_signal(signal.SIGSTOP)
            await seen.provider.arrived(2)
            record = await ended(tmp_path, url, run)
            sleeper.process.send_signal(signal.SIGCONT)
            other = await sleeper.send(event("other"))  # it works again
            assert other is not None
            await ended(tmp_path, url, other)
            again = await ended(tmp_path, url, run)
        finally:
            await fleet.stop()
    assert again == record
    assert [key for _, key, _ in seen.deliveries] == [f"{run}:tell", f"{other}:tell"]


def who_runs(fleet: Fleet, url: str, run: str) -> Worker:
    with psycopg.connect(url) as connection:
        query = b"SELECT executor_id FROM chatstep_runs.workflow_status WHERE workflow_uuid = %s"
        (executor,) = connection.execute(query, (run,)).fetchall()[0]
    (found,) = [worker for worker in fleet.workers if f"/{worker.process.pid}/" in executor]
    return found


async def test_another_release_finishes_what_this_one_began(tmp_path: Path) -> None:
    """The engine's own code, and so what DBOS makes its version of, differs between the two."""
    release = tmp_path / "release"
    shutil.copytree(Path(chatstep.__file__).parent, release / "chatstep", ignore=shutil.ignore_patterns("__pycache__"))
    code = release / "chatstep" / "flows" / "engine" / "launching.py"
    before = code.read_text()
    changed = before.replace(
        "            return await _body(data)\n", "            done = await _body(data)\n            return done\n"
    )
    assert changed != before
    code.write_text(changed)
    async with world(tmp_path, None, SLOW) as seen:
        old, new = Fleet(1, tmp_path, None), Fleet(1, tmp_path, None, release)
        try:
            await (await old.add()).ready
            run = await old.deliver(event("hello"))
            await seen.provider.arrived(1)
            await old.stop()
            await (await new.add()).ready
            record = await ended(tmp_path, None, run)
        finally:
            await old.stop()
            await new.stop()
    assert (record.state, record.recovered) == ("done", 1)


async def test_a_database_that_is_gone_for_10_seconds_holds_runs_up(tmp_path: Path, postgres_server: str) -> None:
    """Both workers lose it in the middle of completions. Neither takes the other for dead; nothing is asked twice."""
    direct = new_database(postgres_server)
    socket = f"{parse_qs(urlsplit(direct).query)['host'][0]}/.s.PGSQL.5432"
    async with Line(socket) as line, world(tmp_path, direct, SLOW) as seen:
        url = f"postgresql://postgres@127.0.0.1:{line.port}{urlsplit(direct).path}"
        fleet = Fleet(2, tmp_path, url)
        try:
            for _ in range(2):
                await (await fleet.add()).ready
            runs = [await fleet.deliver(event(f"e{n}")) for n in range(4)]
            await seen.provider.arrived(4)
            line.cut()
            await asyncio.sleep(10)
            line.mend()
            records = [await ended(tmp_path, direct, run) for run in runs]
        finally:
            await fleet.stop()
    assert [record.state for record in records] == ["done"] * 4
    assert [record.recovered for record in records] == [0] * 4
    assert len(seen.provider.requests) == 4
    assert sorted(key for _, key, _ in seen.deliveries) == sorted(f"{run}:tell" for run in runs)


class Line:
    """A port on loopback that leads to a local socket, and can be cut."""

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._whole = True
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Line:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End what is open, and whatever is opened from now on."""
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._whole = True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._lead(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket)
        async with self._registered(writer, inner_writer):
            await asyncio.gather(_pass(reader, inner_writer), _pass(inner_reader, writer))

    @asynccontextmanager
    async def _registered(self, *writers: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._open |= set(writers)
        try:
            yield
        finally:
            self._open -= set(writers)
            for writer in writers:
                writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(65_536):
            writer.write(block)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()
