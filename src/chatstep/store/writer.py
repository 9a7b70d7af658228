"""Writer: entries are handed over without waiting, and one background thread writes them in batches.

For the ledger. An entry stays in memory until the database has it: what cannot be written is tried again for a
while, then reported to the log, and kept for the next try.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from chatstep.errors import StoreError

__all__ = ["Writer"]

GATHER_SECONDS = 0.05
PATIENCE_SECONDS = 30.0
LONGEST_PAUSE = 2.0
MOST_WAITING = 200_000
BATCH = 1000

_log = logging.getLogger("chatstep")
_Item = TypeVar("_Item")


class Writer(Generic[_Item]):
    """Passes what is `put` to ``write(items, number)``, in order, each batch under a number of its own.

    A batch whose writing raised comes again unchanged and under the same number, so that ``write`` can tell one it
    has already stored.
    """

    def __init__(
        self, write: Callable[[list[_Item], int], None], place: str, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._write = write
        self._place = place
        self._patience = patience
        self._queue: deque[_Item] = deque()
        self._in_hand: list[_Item] = []
        self._number = 0
        self._dropped = 0
        self._writing = threading.Lock()
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many items are not written yet, those included that found the queue full."""
        return len(self._queue) + len(self._in_hand) + self._dropped

    def put(self, item: _Item) -> None:
        """Hand an item over; returns at once. Raises StoreError after `close`."""
        if self._thread is None or self._closing.is_set():
            self._start()
        if len(self._queue) < MOST_WAITING:
            self._queue.append(item)
        else:
            self._dropped += 1  # memory must not grow without end while the disk is full
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write, on this thread, all that was put before. Raises StoreError when it cannot be; it is kept then."""
        with self._writing:
            goal = len(self._queue)
            self._write_in_hand()
            while goal > 0:
                self._in_hand = [self._queue.popleft() for _ in range(min(goal, BATCH))]
                self._number += 1
                goal -= len(self._in_hand)
                self._write_in_hand()

    def close(self) -> None:
        """Stop the thread and write what is left. Raises StoreError that counts what could not be written."""
        with self._starting:
            self._closing.set()
            self._wake.set()
            thread = self._thread
        if thread is not None:
            thread.join()
        atexit.unregister(self._at_exit)
        problem: StoreError | None = None
        try:
            self.flush()
        except StoreError as error:
            problem = error
        if self.waiting:
            reason = problem.message if problem else "For a while there were too many to keep."
            raise StoreError(
                f"{self.waiting} ledger entries could not be written. {reason}",
                place=self._place,
                hint=(problem.hint if problem else None),
                unwritten=self.waiting,
            ) from problem

    def _write_in_hand(self) -> None:
        if self._in_hand:
            self._write(self._in_hand, self._number)
            self._in_hand = []

    def _start(self) -> None:
        with self._starting:
            if self._closing.is_set():
                raise StoreError("The ledger is closed.", place=self._place)
            if self._thread is None:
                # A daemon does not keep a program alive that forgot to close the store; `_at_exit` writes for it.
                thread = threading.Thread(target=self._run, name="chatstep-ledger", daemon=True)
                thread.start()
                atexit.register(self._at_exit)
                self._thread = thread

    def _run(self) -> None:
        pause, failing_since = GATHER_SECONDS, 0.0
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(pause)  # gathers a batch
            self._wake.clear()
            try:
                self.flush()
            except Exception as error:  # whatever it is, the thread must live to write the next entries
                failing_since = failing_since or time.monotonic()
                pause = min(pause * 2, LONGEST_PAUSE)
                if time.monotonic() - failing_since < self._patience:
                    self._wake.set()
                else:
                    self._report(error)  # and rest until the next entry comes
            else:
                pause, failing_since = GATHER_SECONDS, 0.0

    def _report(self, error: Exception) -> None:
        _log.error("%d ledger entries could not be written and wait in memory: %s", self.waiting, error)

    def _at_exit(self) -> None:
        try:
            self.flush()
        except StoreError as error:
            self._report(error)
