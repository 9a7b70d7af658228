"""The values that were used last, as many as fit a bound: what one prompt of a chat leaves for the next."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Recent"]

V = TypeVar("V")


class Recent(Generic[V]):
    """Values by key, each with a weight; together they never weigh more than ``room``. Threads may share it."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._held = 0
        self._kept: dict[Hashable, tuple[V, int]] = {}
        self._turn = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """What the values weigh together."""
        return self._held

    def get(self, key: Hashable) -> V | None:
        """The value of that key, if it is still here."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def put(self, key: Hashable, value: V, weight: int, instead_of: Hashable = None) -> None:
        """Keep a value, in the place of another one perhaps; the oldest ones make room. Too heavy a one is not kept."""
        with self._turn:
            for gone in (instead_of, key):
                self._drop(gone)
            if weight > self._room:
                return
            self._kept[key] = (value, weight)
            self._held += weight
            while self._held > self._room:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._held -= found[1]
