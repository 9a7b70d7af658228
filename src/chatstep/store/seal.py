"""Sealer: keys are encrypted before they reach the database, and opened when a call needs them.

The sealing key comes from the environment's value (CHATSTEP_SEAL_KEY, handed in) or from ``HOME/seal.key``, which is
made at first need and must be readable by its owner alone. Whoever has the database without that key has nothing.
The store uses this; others ask `Connections` for a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chatstep.errors import SealError
from chatstep.secret import Secret

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

__all__ = ["KEY_FILE", "SEALING", "VARIABLE", "Sealer", "new_key"]

KEY_FILE = "seal.key"
VARIABLE = "CHATSTEP_SEAL_KEY"

SEALING = "sealing"
"""The lock under which something is sealed for the database."""

Reseal = Callable[[Callable[[bytes], bytes]], int]


def new_key() -> Secret:
    """A fresh sealing key, as CHATSTEP_SEAL_KEY and the key file take it."""
    from cryptography.fernet import Fernet

    return Secret(Fernet.generate_key().decode())


class Sealer:
    """Seals and opens secrets with the newest key, and opens with the older ones too."""

    def __init__(self, home: Path, keys: str | None = None) -> None:
        """``keys`` is the environment's value: one key, or several parted by commas, newest first."""
        self._path = home / KEY_FILE
        given = [key.strip() for key in (keys or "").split(",") if key.strip()]
        self._given = [Secret(key) for key in given]
        self._ready: tuple[list[Secret], MultiFernet] | None = None

    @property
    def place(self) -> str:
        """Where the sealing key comes from, to be shown."""
        return VARIABLE if self._given else str(self._path)

    def seal(self, secret: Secret, *, first: bool = False) -> bytes:
        """Encrypt a secret. With ``first`` a missing key file is made; else a missing key is a SealError."""
        keys = self._keys()
        if not keys and first:
            self._create()
            keys = self._keys()
        return self._fernet(keys).encrypt(secret.reveal().encode())

    def open(self, sealed: bytes) -> Secret:
        """Decrypt what `seal` gave. Raises SealError when no key opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return Secret(self._fernet(self._keys()).decrypt(sealed).decode())
        except InvalidToken:
            pass
        raise SealError(
            "A stored key does not open with this sealing key.",
            place=self.place,
            hint=f"Put back the {KEY_FILE} or {VARIABLE} it was sealed with, or enter the connection's key again.",
        )

    def rotate(self, locked: Callable[[], AbstractContextManager[None]], reseal: Reseal) -> int:
        """Replace the sealing key: new key in front, everything sealed anew in one transaction, old keys dropped.

        ``locked`` opens a transaction in which nobody else seals; ``reseal`` passes every sealed value through the
        function it is given and returns their number. After a crash anywhere every value still opens, and rotating
        again completes the work. With keys from the environment the caller must have put the new one in front.
        """
        if self._given:
            if len(self._given) < 2:
                raise SealError(
                    f"The sealing key comes from {VARIABLE}, so a new one must be put there first.",
                    place=VARIABLE,
                    hint=f"Set {VARIABLE}=NEW,OLD and rotate again, then drop OLD.",
                )
            with locked():
                return reseal(self._fernet(self._given).rotate)
        with locked():
            old = self._keys()
            self._replace([new_key(), *old])
            count = reseal(self._fernet(self._keys()).rotate)
        with locked():
            # Read again: another process may have rotated in between, and its newer key must stay.
            self._replace([key for key in self._keys() if key not in old])
        return count

    def _fernet(self, keys: list[Secret]) -> MultiFernet:
        if not keys:
            raise SealError(
                "The sealing key is missing, so stored keys cannot be opened and none can be added.",
                place=self.place,
                hint=f"Put back {KEY_FILE} from a backup or set {VARIABLE}; else remove the connections and add them.",
            )
        if self._ready and self._ready[0] == keys:
            return self._ready[1]
        from cryptography.fernet import Fernet, MultiFernet

        try:
            fernet = MultiFernet([Fernet(key.reveal()) for key in keys])
        except ValueError:
            fernet = None
        if fernet is None:  # outside of `except`, so that no text of the library hangs on it
            raise SealError(
                "This is not a sealing key.",
                place=self.place,
                hint="A key has 44 characters, as Fernet.generate_key() of the package cryptography makes them.",
            )
        self._ready = (keys, fernet)
        return fernet

    def _keys(self) -> list[Secret]:
        """The keys, newest first. The file is read each time: another process may have rotated."""
        if self._given:
            return self._given
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(65_536)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable("read", error) from error
        if mode & 0o077:
            raise SealError(
                "The file of the sealing key can be read by other users.",
                place=str(self._path),
                hint=f"Run: chmod 600 '{self._path}'",
            )
        keys = [Secret(line.strip()) for line in text.decode("ascii", "replace").splitlines() if line.strip()]
        if not keys:
            raise SealError(
                "The file of the sealing key is empty.",
                place=str(self._path),
                hint="Put it back from a backup; if no connection has a key yet, delete the file.",
            )
        return keys

    def _create(self) -> None:
        """Make the key file; when another process is first, its key is taken."""
        written = self._write([new_key()])
        try:
            # Linked, not renamed: a link never replaces, and the file appears with its whole content.
            os.link(written, self._path)
        except FileExistsError:
            pass
        except OSError as error:
            raise self._unusable("written", error) from error
        finally:
            written.unlink(missing_ok=True)
        self._sync_folder()

    def _replace(self, keys: list[Secret]) -> None:
        written = self._write(keys)
        try:
            written.replace(self._path)
        except OSError as error:
            raise self._unusable("written", error) from error
        self._sync_folder()

    def _write(self, keys: list[Secret]) -> Path:
        path = self._path.with_name(f"{KEY_FILE}.{os.getpid()}.new")
        try:
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write("".join(f"{key.reveal()}\n" for key in keys))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise self._unusable("written", error) from error
        return path

    def _sync_folder(self) -> None:
        with suppress(OSError):  # some file systems cannot sync a folder
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _unusable(self, done: str, error: OSError) -> SealError:
        return SealError(
            f"The file of the sealing key cannot be {done}: {error.strerror}.",
            place=str(self._path),
            hint=f"Check its folder, or set {VARIABLE}.",
        )
