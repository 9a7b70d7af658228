"""Contents: seals what people wrote and a run or an answer must keep, with a key of its own that lies in the database.

That key is sealed itself, with the sealing key. So replacing the sealing key seals one short text anew, however much is
kept, and nothing that was sealed before is lost.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from chatstep.errors import SealError
from chatstep.secret import Secret
from chatstep.store.database import Database
from chatstep.store.seal import SEALING, Sealer, new_key

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["Contents"]


class Contents:
    """Seals and opens contents. Its calls block."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database, self._sealer = database, sealer
        self._fernet: MultiFernet | None = None
        self._making = threading.Lock()

    def seal(self, content: str) -> bytes:
        """Encrypt a text. Raises SealError when the sealing key is missing or not to be used."""
        return self._keys().encrypt(content.encode())

    def open(self, sealed: bytes) -> str:
        """Decrypt what `seal` gave. Raises SealError when no key opens it."""
        from cryptography.fernet import InvalidToken

        for fresh in (False, True):  # another process may have made a key meanwhile
            with suppress(InvalidToken):
                return self._keys(fresh=fresh).decrypt(sealed).decode()
        return self._sealer.open(sealed).reveal()  # sealed before contents had a key of their own

    def _keys(self, *, fresh: bool = False) -> MultiFernet:
        with self._making:
            if self._fernet is None or fresh:
                from cryptography.fernet import Fernet, MultiFernet

                with self._database.transaction(lock=SEALING):
                    keys = self._openable() or [self._made()]
                self._fernet = MultiFernet([Fernet(key.reveal()) for key in keys])
            return self._fernet

    def _openable(self) -> list[Secret]:
        """The keys that open, the newest first. One whose sealing key is lost may open again when that is put back."""
        found = []
        for (sealed,) in self._database.rows("SELECT sealed FROM chatstep_content_keys ORDER BY id DESC"):
            with suppress(SealError):
                found.append(self._sealer.open(bytes(sealed)))
        return found

    def _made(self) -> Secret:
        waiting = self._database.rows(
            "SELECT 1 FROM chatstep_connections WHERE sealed IS NOT NULL"
            " UNION ALL SELECT 1 FROM chatstep_content_keys LIMIT 1"
        )
        key = new_key()
        # A key file that vanished is not silently replaced as long as something waits for the old one.
        sealed = self._sealer.seal(key, first=not waiting)
        self._database.execute("INSERT INTO chatstep_content_keys (sealed) VALUES (?)", (sealed,))
        return key
