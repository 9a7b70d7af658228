"""The end of a command that serves: in good order at the first SIGTERM or Ctrl-C, at once at the second."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from contextlib import suppress

import click

__all__ = ["Stop", "grace_option"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CLOSING = 5.0  # seconds after the grace in which files and connections are closed
_log = logging.getLogger("chatstep")

grace_option = click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600),
    default=30.0,
    show_default=True,
    help="How long work that is under way may take to end after SIGTERM or Ctrl-C.",
)


class Stop:
    """Waits for the signal, and counts the time from then on. To be made on the event loop of the main thread."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._asked = asyncio.Event()
        self._until = 0.0
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or no such signal
                self._loop.add_signal_handler(number, self.ask)

    async def asked(self) -> None:
        """Wait until the process is told to stop."""
        await self._asked.wait()

    @property
    def left(self) -> float:
        """Seconds of the grace that are left."""
        return max(0.0, self._until - time.monotonic())

    def ask(self) -> None:
        """As the signal does. From now on a signal ends the process at once, and so does time."""
        if self._asked.is_set():
            return
        self._asked.set()
        self._until = time.monotonic() + self._grace
        for number in _SIGNALS:
            with suppress(NotImplementedError, RuntimeError, ValueError):
                self._loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_DFL)
        last = threading.Timer(self._grace + _CLOSING, self._end)
        last.daemon = True
        last.start()

    def _end(self) -> None:
        _log.error("Stopping took longer than %g seconds, so it was cut short.", self._grace + _CLOSING)
        os._exit(1)
