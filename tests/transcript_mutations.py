"""Damage for the tests of transcript readers: of bytes and of JSON trees, from a list of draws; and what must hold."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from chatstep.errors import ChatstepError
from chatstep.source import Source
from chatstep.transcript import Transcript, TranscriptFormat

ODD_VALUES = (None, True, 0, -1, 10**30, 1.5, "", "\ud83d", "x\0\u202e", [], [None], [["x"]], {}, {"text": 3}, {"": {}})
ODD_BYTES = (b"\xff", b"\0", b'"', b"{", b"]", b"\\", b"\n", b": ", b"\xe2\x80", b"\\ud83d", b"9" * 40, b"[" * 3000)
KINDS = ("cut", "flip", "insert", "repeat", "drop")

Draw = tuple[str, float, int]

draws = st.lists(
    st.tuples(
        st.sampled_from(KINDS), st.floats(0, 1, exclude_max=True), st.integers(0, len(ODD_VALUES) * len(ODD_BYTES))
    ),
    min_size=1,
    max_size=6,
)


def some_draws(chance: random.Random) -> list[Draw]:
    """The same by chance, for long runs."""
    return [(chance.choice(KINDS), chance.random(), chance.randrange(999)) for _ in range(chance.randint(1, 6))]


def damage_bytes(data: bytes, damage: list[Draw]) -> bytes:
    """Cut, flip, insert, repeat and drop bytes."""
    for kind, where, what in damage:
        at = int(where * len(data))
        if kind == "cut" and what % 4 == 0:
            data = data[:at]
        elif kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << what % 8)]) + data[at + 1 :]
        elif kind == "insert":
            data = data[:at] + ODD_BYTES[what % len(ODD_BYTES)] + data[at:]
        elif kind == "repeat":
            data = data[:at] + data[at : at + what] * 2 + data[at + what :]
        else:
            data = data[:at] + data[at + what % 50 :]
    return data


def damage_tree(tree: Any, damage: list[Draw]) -> Any:
    """Put odd values anywhere into a JSON tree, and take keys away."""
    tree = deepcopy(tree)
    for kind, where, what in damage:
        places = list(places_in(tree))
        if not places:
            break
        inside, key = places[int(where * len(places))]
        if kind in ("drop", "cut") and isinstance(inside, dict):
            del inside[key]
        else:
            inside[key] = deepcopy(ODD_VALUES[what % len(ODD_VALUES)])
    return tree


def places_in(tree: Any) -> Any:
    """Every list or object of the tree with each of its keys."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from places_in(tree[key])


def as_bytes(tree: Any) -> bytes:
    """The tree as JSON, lone surrogates as escapes."""
    return json.dumps(tree, ensure_ascii=True).encode()


def read_path(kind: TranscriptFormat, path: Path, channel: str | None = None) -> Transcript:
    """Recognise and read a file or folder."""
    with Source(path) as source:
        assert kind.recognise(source)
        return kind.read(source, channel)


def read_or_refuse(kind: TranscriptFormat, path: Path, channel: str | None = None) -> Transcript | None:
    """Read whatever is there; None when it is refused with an error of ours that names a place."""
    try:
        with Source(path) as source:
            kind.recognise(source)
            transcript = kind.read(source, channel)
    except ChatstepError as error:
        return None if error.place else pytest.fail("the error names no place")
    assert transcript.messages
    for message in transcript.messages:
        assert message.text.strip()
        assert message.author.name
        message.text.encode()
    return transcript


def rows_of(transcript: Transcript) -> int:
    """How many rows of the file the transcript accounts for."""
    return len(transcript.messages) + sum(left.count for left in transcript.left_out)


def for_seconds(seconds: float, check: Callable[[list[Draw]], None]) -> None:
    """Check with new damage until time is up; a failure names the seed."""
    until, seed = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        seed += 1
        try:
            check(some_draws(random.Random(seed)))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
