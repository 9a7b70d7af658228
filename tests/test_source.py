"""A file, a folder, a zip or a pipe is read by one way, which takes no more than it should and nothing from outside."""

from __future__ import annotations

import io
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from chatstep import source
from chatstep.errors import UnreadableFile
from chatstep.source import Source
from chatstep.transcripts import read_transcript

CSV = b"author,text\nAna,hello\n"


@contextmanager
def fed(path: Path, data: bytes) -> Iterator[Path]:
    """A named pipe out of which the data comes, once."""
    os.mkfifo(path)

    def feed() -> None:
        with suppress(BrokenPipeError):  # the reader may have enough
            path.write_bytes(data)

    feeder = threading.Thread(target=feed)
    feeder.start()
    yield path
    feeder.join()


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name, data in files.items():
            made.writestr(f"{name}.csv", data)
    return stream.getvalue()


@pytest.mark.parametrize("data", [CSV, zipped(chat=CSV)])
def test_a_pipe_is_read_once(tmp_path: Path, data: bytes) -> None:
    with fed(tmp_path / "pipe", data) as path:
        transcript = read_transcript(path)
    assert (transcript.format, [message.text for message in transcript.messages]) == ("csv", ["hello"])


def test_a_pipe_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "LARGEST_STREAM", 2**20)
    with (
        fed(tmp_path / "pipe", CSV * 100_000) as path,
        pytest.raises(UnreadableFile, match=r"pipe: More than 1 MB came in\."),
    ):
        read_transcript(path)


def test_a_zip_in_memory_is_as_one_in_a_file() -> None:
    with Source.of_bytes(zipped(a=CSV, b=b"x"), "stdin") as opened:
        assert (opened.kind, opened.names()) == ("zip", ["a.csv", "b.csv"])
        assert (opened.read("a.csv"), opened.size("a.csv"), opened.head("a.csv", 6)) == (CSV, len(CSV), b"author")
        assert b"".join(opened.blocks("a.csv", 5)) == CSV
        assert opened.place("a.csv") == "stdin!a.csv"
        with pytest.raises(UnreadableFile, match="holds 2 files"):
            opened.read()


@pytest.mark.parametrize("cut", [4, 30, -10])
def test_a_zip_that_is_cut_off_is_called_so(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.zip"
    path.write_bytes(zipped(chat=CSV)[:cut])
    with pytest.raises(UnreadableFile, match="cut off"):
        Source(path)


def test_names_that_a_zip_has_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.writestr("chat.csv", CSV)
        made.writestr("chat.csv", b"author,text\nBen,other\n")
    with pytest.raises(UnreadableFile, match="several files of one name"):
        Source(path)


def test_a_zip_that_says_too_little_of_its_size_is_refused(tmp_path: Path) -> None:
    """Not a byte more than announced is unpacked, and what is short of its checksum is an error."""
    data = bytearray(zipped(chat=CSV + b"Ben,more\n" * 1000))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = len(CSV).to_bytes(4, "little")
    path = tmp_path / "less.zip"
    path.write_bytes(data)
    with Source(path) as opened, pytest.raises(UnreadableFile, match=r"less\.zip!chat\.csv: The file cannot be read"):
        opened.read("chat.csv")


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_MOST_MEMBERS", 3)
    for name in "abc":
        (tmp_path / name).touch()
    assert Source(tmp_path).names() == ["a", "b", "c"]
    (tmp_path / "d").touch()
    with pytest.raises(UnreadableFile, match="more than 3 files"):
        Source(tmp_path).names()
