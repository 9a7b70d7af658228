"""What a transcript is: a chat's messages as a file from some platform gave them, and what was left out of it.

Each module that knows an export declares a TranscriptFormat; `chatstep.transcripts` finds the one that a file wants.
Readers get a Source, the one way to the bytes: a file, a folder or a zip, bounded in size, and never a path outside.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from chatstep.errors import UnreadableFile
from chatstep.message import Message

if TYPE_CHECKING:
    import zipfile

__all__ = ["LARGEST", "LeftOut", "Source", "Transcript", "TranscriptFormat", "utc_time"]

LARGEST = 4 * 1024**3
"""The largest file, or unpacked zip, that is read, in bytes."""
_MOST_RATIO = 200  # chats pack to a tenth; a bomb to a thousandth
_RATIO_FROM = 16 * 1024**2
_MOST_MEMBERS = 200_000


class LeftOut(Struct, frozen=True):
    """Rows of the file that are no messages for a model, and why; ``example`` says where one of them is."""

    reason: str
    count: int
    example: str | None = None


def utc_time(seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC; None for what is no time of this calendar."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


class Transcript(Struct):
    """The messages of one chat, oldest first, and the report of how they were read.

    ``channel`` is the chat's name where the file has one; ``channels`` lists all that the file holds. ``notes`` tell
    what a reader had to assume, such as the order of day and month, or that times have no zone. ``assistant`` is set
    where the format itself says who the assistant is.
    """

    format: str
    messages: list[Message]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    channel: str | None = None
    channels: tuple[str, ...] = ()
    assistant: tuple[str, ...] = ()


class TranscriptFormat(Struct, frozen=True):
    """One format; ``reader`` is the module that reads it, which is imported when it is first asked.

    Its ``recognise(source) -> bool`` looks at a Source's names and first bytes. Its ``read(source, channel)`` gives the
    Transcript of that channel (by name or id), or of the only one; it raises UnknownName listing them when there are
    several, UnreadableFile with the place when the file is damaged or of another kind.
    """

    name: str
    title: str
    reader: str

    def recognise(self, source: Source) -> bool:
        """Whether the file is of this format."""
        found: bool = import_module(self.reader).recognise(source)
        return found

    def read(self, source: Source, channel: str | None = None) -> Transcript:
        """Read it. Meanwhile no garbage is looked for: there is none, and looking took a third of the time."""
        reader, collecting = import_module(self.reader), gc.isenabled()
        gc.disable()
        try:
            transcript: Transcript = reader.read(source, channel)
        finally:
            if collecting:
                gc.enable()
        return transcript


class Source:
    """A file, a folder or a zip, to be read by name; every failure is an UnreadableFile with the place."""

    def __init__(self, path: Path) -> None:
        import zipfile  # not needed by whoever only names the types here

        self.path = path
        self.kind: Literal["file", "folder", "zip"]
        self._zip: zipfile.ZipFile | None = None
        self._data: bytes | None = None
        self._names: list[str] | None = None
        try:
            if path.is_dir():
                self.kind = "folder"
            elif not path.exists():
                raise UnreadableFile("There is no such file.", place=str(path), hint="Check the path.")
            elif zipfile.is_zipfile(path):
                self.kind = "zip"
                self._zip = zipfile.ZipFile(path)
                self._check_zip(self._zip)
            else:
                self.kind = "file"
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise self._unreadable(error, str(path)) from None

    @classmethod
    def of_bytes(cls, data: bytes, name: str = "stdin") -> Source:
        """A file that is in memory already, such as what came by stdin; ``name`` is what errors call it."""
        source = cls.__new__(cls)
        source.path, source.kind, source._zip, source._data, source._names = Path(name), "file", None, data, None
        return source

    def names(self) -> list[str]:
        """The files inside, as relative paths with `/`, sorted; of a file its own name. No hidden or foreign ones."""
        if self._names is None:
            try:
                self._names = self._list()
            except OSError as error:
                raise self._unreadable(error, str(self.path)) from None
        return self._names

    def _list(self) -> list[str]:
        if self.kind == "file":
            return [self.path.name]
        if self._zip is not None:
            found = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            found = [
                path.relative_to(self.path).as_posix()
                for path in self.path.rglob("*")
                if path.is_file() and path.resolve().is_relative_to(self.path.resolve())
            ]
        return sorted(name for name in found if _is_plain(name))

    def size(self, name: str | None = None) -> int:
        """The size of a file inside in bytes, unpacked."""
        try:
            if self._zip is not None:
                return self._zip.getinfo(self._only(name)).file_size
            if self._data is not None:
                return len(self._data)
            return self._where(name).stat().st_size
        except (OSError, KeyError) as error:
            raise self._unreadable(error, self.place(name)) from None

    def head(self, name: str | None = None, size: int = 65_536) -> bytes:
        """The first bytes of a file inside."""
        return self._read(name, size)

    def read(self, name: str | None = None) -> bytes:
        """All bytes of a file inside; raises UnreadableFile above `LARGEST`."""
        self._check_size(name)
        return self._read(name, -1)

    def blocks(self, name: str | None = None, size: int = 1 << 18) -> Iterator[bytes]:
        """The bytes of a file inside, some at a time; raises UnreadableFile above `LARGEST`."""
        self._check_size(name)
        if self._data is not None:
            yield self._data
            return
        try:
            with self._zip.open(self._only(name)) if self._zip is not None else self._where(name).open("rb") as file:
                while block := file.read(size):
                    yield block
        except GeneratorExit:
            raise
        except Exception as error:  # as in _read
            raise self._unreadable(error, self.place(name)) from None

    def place(self, name: str | None = None, line: int | None = None) -> str:
        """How errors name a place: the path, the file inside, the line."""
        inside = f"!{name}" if self._zip is not None and name else f"/{name}" if self.kind == "folder" and name else ""
        return f"{self.path}{inside}" + (f" line {line}" if line is not None else "")

    def close(self) -> None:
        """Close a zip."""
        if self._zip is not None:
            self._zip.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _check_size(self, name: str | None) -> None:
        if self.size(name) > LARGEST:
            raise UnreadableFile(f"The file is larger than {LARGEST:,} bytes.", place=self.place(name))

    def _check_zip(self, opened: zipfile.ZipFile) -> None:
        infos = opened.infolist()
        total = sum(info.file_size for info in infos)
        packed = sum(info.compress_size for info in infos)
        if len(infos) > _MOST_MEMBERS or total > LARGEST or (total > _RATIO_FROM and total > packed * _MOST_RATIO):
            raise UnreadableFile(
                f"The zip would unpack to {total:,} bytes in {len(infos):,} files; it is not read.",
                place=str(self.path),
                hint="Unpack it yourself if you trust it, and name the folder.",
            )

    def _read(self, name: str | None, size: int) -> bytes:
        try:
            if self._zip is not None:
                info = self._zip.getinfo(self._only(name))
                with self._zip.open(info) as file:
                    return file.read(min(size, info.file_size) if size >= 0 else info.file_size)
            if self._data is not None:
                return self._data[:size] if size >= 0 else self._data
            with self._where(name).open("rb") as file:
                return file.read(size)
        except Exception as error:  # zipfile, zlib, bz2 and lzma have errors of their own, with no common base
            raise self._unreadable(error, self.place(name)) from None

    def _where(self, name: str | None) -> Path:
        return self.path / name if self.kind == "folder" and name else self.path

    def _only(self, name: str | None) -> str:
        if name is not None:
            return name
        names = self.names()
        if len(names) != 1:
            raise UnreadableFile(f"The zip holds {len(names)} files.", place=str(self.path))
        return names[0]

    def _unreadable(self, error: Exception, place: str) -> UnreadableFile:
        from zipfile import BadZipFile

        reason = getattr(error, "strerror", None) or (str(error) if isinstance(error, BadZipFile) else "damaged")
        if isinstance(error, RuntimeError):
            reason = "it is locked with a password"
        return UnreadableFile(f"The file cannot be read: {reason}.", place=place)


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return not name.startswith("/") and ".." not in parts and "__MACOSX" not in parts and not parts[-1].startswith(".")
