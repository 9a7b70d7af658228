"""The one way to the bytes of a transcript: a file, a folder or a zip, bounded in size, and never a path outside.

For the readers of transcripts. A zip is read where it is, member by member; nothing is unpacked to the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chatstep.errors import UnreadableFile

if TYPE_CHECKING:
    import zipfile

__all__ = ["LARGEST", "LARGEST_STREAM", "Source"]

LARGEST = 4 * 1024**3
"""The largest file, or unpacked zip, that is read, in bytes."""
LARGEST_STREAM = 256 * 1024**2
"""The most bytes that are taken from a pipe."""
_ZIP_BEGINS = b"PK\x03\x04"
_MOST_RATIO = 200  # chats pack to a tenth; a bomb to a thousandth
_RATIO_FROM = 16 * 1024**2
_MOST_MEMBERS = 200_000


class Source:
    """A file, a folder or a zip, to be read by name; every failure is an UnreadableFile with the place."""

    kind: Literal["file", "folder", "zip"]

    def __init__(self, path: Path) -> None:
        self._begin(path)
        try:
            if path.is_dir():
                self.kind = "folder"
            elif not path.exists():
                raise UnreadableFile("There is no such file.", place=str(path), hint="Check the path.")
            elif path.is_file():
                with path.open("rb") as file:
                    begin = file.read(4)
                self._open(path, begin)
            else:
                self._hold(_read_once(path))
        except OSError as error:
            raise self._unreadable(error, str(path)) from None

    @classmethod
    def of_bytes(cls, data: bytes, name: str = "stdin") -> Source:
        """A file or zip that is in memory already, such as what came by stdin; ``name`` is what errors call it."""
        source = cls.__new__(cls)
        source._begin(Path(name))
        source._hold(data)
        return source

    def _begin(self, path: Path) -> None:
        self.path = path
        self.kind = "file"
        self._zip: zipfile.ZipFile | None = None
        self._data: bytes | None = None
        self._names: list[str] | None = None

    def _hold(self, data: bytes) -> None:
        self._data = data
        self._open(BytesIO(data), data[:4])

    def _open(self, file: Path | BytesIO, begin: bytes) -> None:
        import zipfile  # not needed by whoever only names the types here

        try:
            if zipfile.is_zipfile(file):
                self.kind = "zip"
                self._zip = zipfile.ZipFile(file)
                self._check_zip(self._zip)
            elif begin == _ZIP_BEGINS:
                raise UnreadableFile(
                    "The zip is cut off: its list of files, which stands at the end, is missing.",
                    place=str(self.path),
                    hint="Download or copy it again.",
                )
        except UnreadableFile:
            raise
        except Exception as error:  # as in _read
            raise self._unreadable(error, str(self.path)) from None

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
            found = [info.filename for info in self._zip.infolist() if not info.filename.endswith("/")]
            return sorted(filter(_is_plain, found))
        here, names = self.path.resolve(), []
        for met, path in enumerate(self.path.rglob("*")):
            if met == _MOST_MEMBERS:
                raise UnreadableFile(
                    f"The folder holds more than {met:,} files; is it the right one?", place=str(self.path)
                )
            if path.is_file() and path.resolve().is_relative_to(here):
                names.append(path.relative_to(self.path).as_posix())
        return sorted(filter(_is_plain, names))

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
        if self._zip is None and self._data is not None:
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
        if len({info.filename for info in infos}) < len(infos):
            raise UnreadableFile(
                "The zip holds several files of one name.", place=str(self.path), hint="Unpack it first."
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


def _read_once(path: Path) -> bytes:
    """What comes out of a pipe or a device, which can be read once and has no size."""
    with path.open("rb") as stream:
        data = stream.read(LARGEST_STREAM + 1)
    if len(data) > LARGEST_STREAM:
        raise UnreadableFile(f"More than {LARGEST_STREAM // 2**20} MB came in.", place=str(path), hint="Name a file.")
    return data


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return not name.startswith("/") and ".." not in parts and "__MACOSX" not in parts and not parts[-1].startswith(".")
