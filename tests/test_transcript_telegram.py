"""Telegram Desktop: one chat, old and new, and a whole account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.telegram import module
from chatstep.source import Source
from transcript_mutations import (
    Draw,
    as_bytes,
    damage_bytes,
    damage_tree,
    draws,
    for_seconds,
    read_or_refuse,
    read_path,
    rows_of,
)

FILES = Path(__file__).parent / "transcripts" / "telegram"
(TELEGRAM,) = module.transcript_formats
ODDITIES = (FILES / "oddities.json").read_bytes()
ACCOUNT = (FILES / "account.json").read_bytes()

ANA, BEN = Author("Ana", id="user1"), Author("Ben", id="user5")


def at(clock: str) -> str:
    return f"2024-03-30T10:{clock}+00:00"


def test_every_oddity():
    read = read_path(TELEGRAM, FILES / "oddities.json")
    assert read.messages == [
        Message(
            ANA,
            "Hello {{ x }} <b>\\</b>\nsecond \U0001f469\u200d\U0001f469\u200d\U0001f467",
            id="1",
            time=at("00:00"),
        ),
        Message(BEN, "out of order", id="3", time=at("00:30")),
        Message(
            BEN, "Look at https://example.org, Ben: \U0001f642", id="2", time=at("01:00"), reply_to="1", edited=True
        ),
        Message(Author("user77", id="user77"), "signed off", id="4", time=at("01:40")),
        Message(ANA, "a caption", id="6", time=at("02:00"), attachments=(Attachment("image"),)),
        Message(ANA, "report", id="11", time=at("02:50"), attachments=(Attachment("file", "r.pdf", "files/r.pdf"),)),
        Message(ANA, "only entities", id="15", time=at("10:20")),
        Message(ANA, "elsewhere", id="17", time=at("10:40")),
        Message(Author("Trip News", id="channel9"), "as the channel", id="18", time=at("10:50")),
        Message(
            ANA,
            "voice with words",
            id="19",
            time=at("11:00"),
            attachments=(Attachment("audio", "a.ogg", "voice/a.ogg"),),
        ),
    ]
    assert {left.reason: left.count for left in read.left_out} == {
        "attachment without text": 1,
        "contact": 1,
        "empty": 1,
        "location": 1,
        "poll": 1,
        "sticker without text": 1,
        "system (create_group)": 1,
        "system (pin_message)": 1,
        "unreadable": 1,
        "unsupported": 1,
    }
    (unreadable,) = (left for left in read.left_out if left.reason == "unreadable")
    assert "message 17: Expected `str | array | null`, got `object` - at `$.text`" in (unreadable.example or "")
    assert (read.notes, read.channel, read.channels) == ((), "Trip", ("Trip",))


def test_an_old_chat_with_a_bot_in_a_folder():
    read = read_path(TELEGRAM, FILES / "old")
    assert read.messages == [
        Message(Author("Ana", id="7", bot=False), "/start", id="1", time="2019-01-02T03:04:05"),
        Message(Author("Shop", id="42", bot=True), "Welcome", id="2", time="2019-01-02T03:04:06", edited=True),
    ]
    assert read.notes == ("The file gives local times without a zone.",)


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("Ben", "to Ben"),
        ("5", "to Ben"),
        ("6", "to nobody"),
        ("saved_messages", "note to self"),
        ("10", "the old trip"),
    ],
)
def test_a_chat_of_an_account_is_chosen_by_name_or_id(channel, text):
    read = read_path(TELEGRAM, FILES / "account.json", channel)
    assert [message.text for message in read.messages] == [text]
    assert [(left.reason, left.count) for left in read.left_out] == [("unreadable chat", 1)]


@pytest.mark.parametrize(
    ("channel", "named"),
    [(None, "Known: Ben, 6, saved_messages, 9 (Trip), 10 (Trip)."), ("Trip", "Known: 9, 10."), ("Benn", "'Ben'")],
)
def test_an_unclear_chat_is_an_error_that_lists_them(channel, named):
    with pytest.raises(UnknownName) as caught:
        read_path(TELEGRAM, FILES / "account.json", channel)
    assert named in str(caught.value)


def test_a_bare_list_of_times_in_unix_seconds_only(tmp_path):
    path = tmp_path / "chat.json"
    path.write_text(
        '{"name":null,"type":"x","messages":[{"id":"a","date_unixtime":1711792800,"from_id":"user1","text":"hi"}]}'
    )
    read = read_path(TELEGRAM, path)
    assert read.messages == [Message(Author("user1", id="user1"), "hi", id="a", time=at("00:00"))]


@pytest.mark.parametrize("data", [ODDITIES[:3000], ACCOUNT[:1000]])
def test_a_cut_file_says_where_it_ends(tmp_path, data):
    path = tmp_path / "cut.json"
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match=rf"ends in the middle, at byte {len(data):,} \(line \d+\)"):
        read_path(TELEGRAM, path)


@pytest.mark.parametrize("other", [b"", b"{}", b"[]", b"hello", b'{"messages": [], "type": "chat"}'])
def test_other_files_are_not_ours(tmp_path, other):
    path = tmp_path / "result.json"
    path.write_bytes(other)
    with Source(path) as source:
        assert not TELEGRAM.recognise(source)
        with pytest.raises(UnreadableFile):
            TELEGRAM.read(source, None)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return tmp_path_factory.mktemp("telegram") / "mutated.json"


def check(here: Path, damage: list[Draw]) -> None:
    for data in (ODDITIES, ACCOUNT):
        here.write_bytes(damage_bytes(data, damage))
        read_or_refuse(TELEGRAM, here, None if data is ODDITIES else "5")
    tree = damage_tree(json.loads(ACCOUNT), damage)
    here.write_bytes(as_bytes(tree))
    read_or_refuse(TELEGRAM, here, "5")
    tree = damage_tree(json.loads(ODDITIES), damage)
    here.write_bytes(as_bytes(tree))
    read = read_or_refuse(TELEGRAM, here)
    if read is not None:
        assert rows_of(read) == len(tree["messages"])


@settings(max_examples=150, derandomize=True)
@given(damage=draws)
def test_damage_is_refused_or_accounted_for(here, damage):
    check(here, damage)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_long_damage(here):
    for_seconds(60, lambda damage: check(here, damage))
