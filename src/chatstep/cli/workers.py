"""`chatstep serve --workers N`: several processes on one port. This one holds the port and looks after the others.

A process that dies is started again; the port stays open meanwhile. When this one dies, the others end in good order.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from chatstep.cli.logs import announce
from chatstep.cli.screen import styled
from chatstep.cli.session import settings
from chatstep.cli.stopping import Stop
from chatstep.errors import InvalidInput, StoreError
from chatstep.server.listening import Listen

__all__ = ["Inherited", "serve_by_many"]

_BACKLOG = 2048
_SOON = 5.0  # seconds: who ends sooner than that after his start is given some time before the next one
_LONGEST = 10.0
_WRONG = 2  # the exit code for wrong input, which a second try does not mend
_log = logging.getLogger("chatstep")


class Inherited(NamedTuple):
    """What a process gets from the one that looks after it: the port, a pipe that closes with it, and its place."""

    port: int
    pipe: int
    worker: int
    folder: Path

    @classmethod
    def read(cls, text: str) -> Inherited:
        """From the hidden option."""
        port, pipe, worker, folder = text.split(",", 3)
        return cls(int(port), int(pipe), int(worker), Path(folder))

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def watch(self, stop: Stop) -> None:
        """Stop when the process that looks after this one is gone."""
        asyncio.get_running_loop().add_reader(self.pipe, self._gone, stop)

    def _gone(self, stop: Stop) -> None:
        asyncio.get_running_loop().remove_reader(self.pipe)
        stop.ask()


async def serve_by_many(listen: Listen, count: int, grace: float, log_format: str | None) -> int:
    """Look after ``count`` processes until told to stop; the exit code."""
    await asyncio.to_thread(settings, log_format)
    with _bound(listen) as port, tempfile.TemporaryDirectory(prefix="chatstep-") as folder:
        host, number = port.getsockname()[:2]
        address = f"http://[{host}]:{number}" if ":" in host else f"http://{host}:{number}"
        stop = Stop(grace)
        many = _Many(count, port, Path(folder))
        announce(f"{styled('✓', 'green', bold=True)} Serving at {address} by {count} processes until Ctrl-C.")
        return await many.until(stop, grace)


def _bound(listen: Listen) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        return socket.create_server((listen.host, listen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InvalidInput(
            f"The address {listen.host}:{listen.port} cannot be used: {error.strerror or error}.",
            place="port",
            hint="Is a server running there already? Choose another with --port.",
        ) from None


class _Many:
    """The processes."""

    def __init__(self, count: int, port: socket.socket, folder: Path) -> None:
        self._count, self._port, self._folder = count, port, folder
        self._pipe, self._held = os.pipe()
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def until(self, stop: Stop, grace: float) -> int:
        """Keep all of them going until told to stop, or until one of them cannot be started."""
        try:
            keeping = [asyncio.create_task(self._keep(worker)) for worker in range(1, self._count + 1)]
            asked = asyncio.create_task(stop.asked())
            done, _ = await asyncio.wait([asked, *keeping], return_when=asyncio.FIRST_COMPLETED)
            self._stopping.set()
            for child in self._children.values():
                if child.returncode is None:
                    child.send_signal(signal.SIGTERM)
            await asyncio.wait(keeping)
            asked.cancel()
            codes = [task.result() for task in keeping]
            return max(codes) if asked not in done else 0
        finally:
            os.close(self._pipe)
            os.close(self._held)

    async def _keep(self, worker: int) -> int:
        """Start one again whenever it ends; its exit code, once that is not to be."""
        pause = 0.1
        while True:
            began = time.monotonic()
            child = self._children[worker] = await self._started(worker)
            if self._stopping.is_set():  # it began while the others were told
                child.send_signal(signal.SIGTERM)
            code = await child.wait()
            if self._stopping.is_set() or code == _WRONG:
                return max(code, 0)
            _log.error(
                "Process %d of the server (pid %d) ended: %s. It is started again.", worker, child.pid, _why(code)
            )
            pause = 0.1 if time.monotonic() - began > _SOON else min(pause * 2, _LONGEST)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return 0

    async def _started(self, worker: int) -> asyncio.subprocess.Process:
        given = Inherited(self._port.fileno(), self._pipe, worker, self._folder)
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "chatstep",
                *sys.argv[1:],
                "--inherited",
                str(given),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(given.port, given.pipe),
                start_new_session=True,  # Ctrl-C reaches this process alone, which tells the others once
            )
        except OSError as error:
            raise StoreError(f"A process of the server cannot be started: {error.strerror}.") from None


def _why(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
