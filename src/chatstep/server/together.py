"""What the processes of one server, which listen on one port, tell each other: their counts, in files of one folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from chatstep.telemetry.families import Family, merged

__all__ = ["Place", "Together"]

_EVERY = 1.0  # seconds
_decode = msgspec.json.Decoder(list[Family]).decode


class Place(Struct, frozen=True):
    """Which of the processes this is, counted from 1, and the folder that they share."""

    worker: int
    folder: Path


class Together:
    """``here`` gives the counts of this process."""

    def __init__(self, place: Place, here: Callable[[], list[Family]]) -> None:
        self._place, self._here = place, here

    async def tell(self) -> None:
        """Write the counts of this process down, again and again."""
        while True:
            with suppress(OSError):  # it is tried again
                await asyncio.to_thread(self._write, msgspec.json.encode(self._here()))
            await asyncio.sleep(_EVERY)

    def all(self, own: list[Family]) -> list[Family]:
        """The counts of all processes, those of this one as they are now. Blocks for some files."""
        told = [(str(self._place.worker), own)]
        for file in self._place.folder.glob("*.json"):
            if file.stem != str(self._place.worker):
                with suppress(OSError, msgspec.DecodeError):
                    told.append((file.stem, _decode(file.read_bytes())))
        return merged(own, sorted(told, key=lambda each: each[0]))

    def _write(self, counts: bytes) -> None:
        file = self._place.folder / f"{self._place.worker}.json"
        fresh = file.with_suffix(".new")
        fresh.write_bytes(counts)
        fresh.replace(file)
