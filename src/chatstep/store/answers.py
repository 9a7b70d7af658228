"""Answers: what was answered to requests that bear a key, so that the same key asks nobody a second time.

A claim says that somebody is asking; it holds for some seconds and is renewed while he does, so that the claim of a
process that died is not in the way for long. Answers hold what people and models wrote, and are sealed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from chatstep.errors import SealError
from chatstep.store.contents import Contents
from chatstep.store.database import Database
from chatstep.store.names import unix_ms

__all__ = ["CLAIM_MS", "KEPT_MS", "Answers", "KeptAnswer"]

CLAIM_MS = 15_000
"""How long a claim holds without being renewed."""
KEPT_MS = 86_400_000
"""How long an answer is kept."""


class KeptAnswer(Struct, frozen=True):
    """An answer as its first client got it."""

    body: bytes
    headers: dict[str, str]


Claim = Literal["yours", "taken", "another body"]


class Answers:
    """The kept answers. ``who`` names the client and the key; only a digest of it is stored."""

    def __init__(self, database: Database, contents: Contents, clock: Callable[[], int] = unix_ms) -> None:
        self._database, self._contents, self._clock = database, contents, clock

    def claim(self, who: str, owner: str, body: bytes) -> Claim | KeptAnswer:
        """The kept answer to this body; else whether the caller is to ask, or somebody else is asking already."""
        digest, asked, now = _digest(who.encode("utf-8", "replace")), _digest(body), self._clock()
        new = self._database.execute(
            "INSERT INTO chatstep_answers (who, asked, owner, until) VALUES (?, ?, ?, ?) ON CONFLICT (who) DO NOTHING",
            (digest, asked, owner, now + CLAIM_MS),
        )
        if new:
            return "yours"
        rows = self._database.rows("SELECT asked, answer, until FROM chatstep_answers WHERE who = ?", (digest,))
        kept = self._opened(rows[0][1]) if rows and rows[0][1] is not None and rows[0][2] > now else None
        if kept is not None or (rows and rows[0][1] is None and rows[0][2] > now):
            if rows[0][0] != asked:
                return "another body"
            return "taken" if kept is None else kept
        taken_over = self._database.execute(
            "UPDATE chatstep_answers SET asked = ?, owner = ?, until = ?, answer = NULL WHERE who = ? AND until = ?",
            (asked, owner, now + CLAIM_MS, digest, rows[0][2] if rows else 0),
        )
        return "yours" if taken_over else "taken"

    def renew(self, who: str, owner: str) -> None:
        """Hold a claim for longer."""
        self._database.execute(
            "UPDATE chatstep_answers SET until = ? WHERE who = ? AND owner = ? AND answer IS NULL",
            (self._clock() + CLAIM_MS, _digest(who.encode("utf-8", "replace")), owner),
        )

    def keep(self, who: str, owner: str, answer: KeptAnswer) -> None:
        """Put the answer where the claim was; and delete answers that are too old."""
        packed = base64.b85encode(msgspec.msgpack.encode(answer)).decode()
        sealed = self._contents.seal(packed)
        now = self._clock()
        with self._database.transaction():
            self._database.execute("DELETE FROM chatstep_answers WHERE until < ?", (now,))
            self._database.execute(
                "UPDATE chatstep_answers SET answer = ?, until = ? WHERE who = ? AND owner = ? AND answer IS NULL",
                (sealed, now + KEPT_MS, _digest(who.encode("utf-8", "replace")), owner),
            )

    def release(self, who: str, owner: str) -> None:
        """Give a claim back: there was no answer that is worth keeping."""
        self._database.execute(
            "DELETE FROM chatstep_answers WHERE who = ? AND owner = ? AND answer IS NULL",
            (_digest(who.encode("utf-8", "replace")), owner),
        )

    def _opened(self, sealed: bytes) -> KeptAnswer | None:
        try:
            packed = base64.b85decode(self._contents.open(bytes(sealed)))
        except SealError:  # the sealing key was lost; the provider is asked again
            return None
        return msgspec.msgpack.decode(packed, type=KeptAnswer)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
