"""Whatever may be wrong with a file of any format: nothing but our own errors, nothing silently lost, little memory.

Real samples of all formats are damaged by byte and by structure, also inside a zip, and zips are damaged themselves.
`make test` runs the short forms; the long ones, of `make soak`, take ten minutes with those of the single formats.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import zipfile
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatstep.errors import ChatstepError, UnreadableFile
from chatstep.source import Source
from chatstep.transcript import Transcript
from chatstep.transcripts import formats, read_transcript
from transcript_mutations import Draw, as_bytes, damage_bytes, damage_tree, draws, for_seconds, places_in

FOLDER = Path(__file__).parent / "transcripts"
SAMPLES = {
    "discord": (FOLDER / "discord" / "oddities.json", None),
    "slack": (FOLDER / "slack" / "export", "C1"),
    "telegram": (FOLDER / "telegram" / "account.json", "5"),
    "whatsapp": (FOLDER / "whatsapp" / "ios_us.txt", None),
    "chatgpt": (FOLDER / "chatgpt" / "conversations.json", "Weather"),
    "claude": (FOLDER / "claude" / "conversations.json", "Bread"),
    "sharegpt": (FOLDER / "sharegpt" / "conversations.json", "1"),
    "openai-jsonl": (FOLDER / "fine_tuning" / "mixed.jsonl", "1"),
    "json": (FOLDER / "plain" / "history.json", None),
    "csv": (FOLDER / "plain" / "semicolon.csv", None),
}
SECONDS = 36  # each format's share of ten minutes; the tests of four formats take another minute each
MOST_MEMORY = 256 * 1024  # KB


def read_bytes(data: bytes, channel: str | None = None, format: str | None = None) -> Transcript:
    return read_transcript(Source.of_bytes(data, "x"), channel, format)


def read_or_refuse(data: bytes, channel: str | None, format: str | None) -> None:
    try:
        transcript = read_bytes(data, channel, format)
    except ChatstepError as error:
        if not error.place:
            pytest.fail("the error names no place")
        return
    assert transcript.messages
    assert all(row.count > 0 for row in transcript.left_out)
    for message in transcript.messages:
        assert message.text.strip()
        assert message.author.name


def members(name: str) -> dict[str, bytes]:
    """The files of a sample, by the name that each has in a zip."""
    path = SAMPLES[name][0]
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def zipped(files: dict[str, bytes], level: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return stream.getvalue()


def of_another_shape(name: str, data: bytes, damage: list[Draw]) -> bytes:
    """The file with its structure damaged: values, lines, cells."""
    if name.endswith(".json"):
        return as_bytes(damage_tree(json.loads(data), damage))
    text = data.decode("utf-8-sig")
    if name.endswith(".csv"):
        stream = io.StringIO(newline="")
        rows = damage_tree(list(csv.reader(io.StringIO(text, newline=""), delimiter=";")), damage)
        csv.writer(stream, delimiter=";").writerows(row if isinstance(row, list) else [row] for row in rows)
        return stream.getvalue().encode("utf-8", "replace")
    lines = text.split("\n")
    if name.endswith(".jsonl"):
        whole = [line.startswith("{") and line.rstrip().endswith("}") for line in lines]
        lines = [
            json.dumps(damage_tree(json.loads(line), damage)) if sound else line
            for line, sound in zip(lines, whole, strict=True)
        ]
    return "\n".join(map(str, damage_tree(lines, damage))).encode("utf-8", "replace")


def damaged(name: str, damage: list[Draw]) -> Iterator[bytes]:
    """The sample damaged in all ways: its bytes, its structure, both inside a zip, and the zip itself."""
    files = members(name)
    which = sorted(files)[int(damage[0][1] * len(files))]
    for data in (damage_bytes(files[which], damage), of_another_shape(which, files[which], damage)):
        if len(files) == 1:
            yield data
        yield zipped(files | {which: data}, damage[0][2] % 2)
    yield damage_bytes(zipped(files, damage[0][2] % 2), damage)


def check(name: str, damage: list[Draw]) -> None:
    others = sorted(formats())
    other = others[damage[-1][2] % len(others)]
    for data in damaged(name, damage):
        for channel, format in ((SAMPLES[name][1], None), (SAMPLES[name][1], name), (None, other)):
            read_or_refuse(data, channel, format)


def test_all_formats_are_here() -> None:
    assert SAMPLES.keys() == formats().keys()
    for name, (path, channel) in SAMPLES.items():
        assert read_transcript(path, channel).format == name
        assert read_bytes(zipped(members(name), 1), channel).format == name


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=20, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(damage=draws)
def test_damaged_files_raise_our_errors_only(name: str, damage: list[Draw]) -> None:
    check(name, damage)


DEEP = b"[" * 3000 + b"]" * 3000


@pytest.mark.parametrize("name", [name for name, (path, _) in SAMPLES.items() if path.suffix.startswith(".json")])
def test_deep_nesting_anywhere_is_an_error_of_ours(name: str) -> None:
    """In place of one value of the file after the other, known fields or not."""
    path, channel = SAMPLES[name]
    data = path.read_bytes() if path.suffix == ".json" else path.read_bytes().splitlines()[0].removeprefix(BOM_UTF8)
    tree = json.loads(data)
    places = list(places_in(tree))
    assert len(places) > 10
    for inside, key in places[:: len(places) // 150 + 1]:
        before, inside[key] = inside[key], "DEEP"
        read_or_refuse(as_bytes(tree).replace(b'"DEEP"', DEEP), channel, name)
        inside[key] = before


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 5)
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_raise_our_errors_only_soak(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for_seconds(SECONDS, lambda damage: check(name, damage))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY


@settings(max_examples=100, derandomize=True)
@given(st.binary(max_size=300))
def test_any_bytes_raise_our_errors_only(data: bytes) -> None:
    for format in (None, *formats()):
        read_or_refuse(data, None, format)


# Rows that were read and rows that were left out are all the rows there were

_CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


_SPEAKER = st.sampled_from(["user", "assistant", "gpt", "human", "tool", "system", "nobody", ""]) | _JSON
_WORDS = st.sampled_from(["Hi", "", "  ", "Hello there"]) | _JSON
_ROWS: dict[str, tuple[st.SearchStrategy[object], Callable[[list[object]], object]]] = {
    "sharegpt": (
        st.fixed_dictionaries({}, optional={"from": _SPEAKER, "value": _WORDS, "role": _SPEAKER, "content": _WORDS})
        | _JSON,
        lambda rows: [{"conversations": rows}],
    ),
    "openai-jsonl": (
        st.fixed_dictionaries({}, optional={"role": _SPEAKER, "content": _WORDS, "tool_calls": _JSON}) | _JSON,
        lambda rows: {"messages": rows},
    ),
    "json": (
        st.fixed_dictionaries({}, optional={"author": _SPEAKER, "text": _WORDS, "role": _SPEAKER, "content": _WORDS})
        | _JSON,
        lambda rows: {"messages": rows},
    ),
    "claude": (
        st.fixed_dictionaries(
            {}, optional={"sender": _SPEAKER, "text": _WORDS, "content": _JSON, "parent_message_uuid": _JSON}
        )
        | _JSON,
        lambda rows: [{"uuid": "k", "chat_messages": rows}],
    ),
    "chatgpt": (
        st.fixed_dictionaries(
            {},
            optional={
                "author": st.fixed_dictionaries({"role": _SPEAKER}),
                "content": st.fixed_dictionaries({"parts": st.lists(_WORDS, max_size=2) | _JSON}),
                "weight": st.sampled_from([0, 1, None]),
            },
        ).filter(lambda message: len(json.dumps(message)) > 4),
        lambda rows: [
            {"mapping": {str(at): {"parent": str(at - 1), "message": row} for at, row in enumerate(rows)}, "id": "c"}
        ],
    ),
}


@pytest.mark.parametrize("name", _ROWS)
@settings(max_examples=80, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_read_and_left_out_adds_up(name: str, data: st.DataObject) -> None:
    row, wrap = _ROWS[name]
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    encoded = json.dumps(wrap(rows)).encode()
    if b"NaN" in encoded or b"Infinity" in encoded:
        return  # no JSON
    try:
        transcript = read_bytes(encoded, format=name)
    except UnreadableFile:
        return
    assert len(transcript.messages) + sum(row.count for row in transcript.left_out) == len(rows)


@settings(max_examples=80, derandomize=True)
@given(st.lists(st.lists(_CELL.filter(lambda cell: cell.strip()) | st.just(""), min_size=3, max_size=4), min_size=1))
def test_rows_of_a_table_add_up(rows: list[list[str]]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    try:
        transcript = read_bytes("\r\n".join(["author,text,time", *quoted]).encode())
    except UnreadableFile:
        assert not any(row[0] and row[1] and not any(row[3:]) for row in rows)
        return
    assert len(transcript.messages) + sum(row.count for row in transcript.left_out) == len(rows)
