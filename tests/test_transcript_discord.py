"""Discord: what DiscordChatExporter writes, with all that is odd in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.discord import module
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

FILES = Path(__file__).parent / "transcripts" / "discord"
(DISCORD,) = module.transcript_formats
ODDITIES = (FILES / "oddities.json").read_bytes()

ANA = Author("Ana in Porto", id="101", bot=False)
HELPER = Author("Helper", id="900", bot=True)


def test_every_oddity():
    read = read_path(DISCORD, FILES / "oddities.json")
    day = "2024-03-30T10:"
    assert read.messages == [
        Message(
            ANA,
            "Hello {{ name }} <b>\\o/</b>\nsecond line \U0001f469\u200d\U0001f469\u200d\U0001f467",
            id="1",
            time=f"{day}00:00+00:00",
        ),
        Message(HELPER, "Hi Ana, how can I help?", id="2", time=f"{day}00:05.1+00:00", reply_to="1"),
        Message(
            Author("Deleted User", id="301", bot=False),
            "earlier, though later in the file",
            id="3",
            time=f"{day}00:08.999+00:00",
        ),
        Message(ANA, "שלום, I meant rye", id="4", time="2024-03-30T12:00:10.1234567+02:00", edited=True),
        Message(Author("Deleted User", id="302", bot=False), "the other one", id="9", time=f"{day}03:00+00:00"),
        Message(
            ANA,
            "with a picture",
            id="11",
            time=f"{day}05:00+00:00",
            attachments=(
                Attachment("image", "crumb.jpg", "media/crumb.jpg"),
                Attachment("file", "r.pdf", "media/r.pdf"),
            ),
        ),
        Message(Author("Build", id="950", bot=True), "build passed", id="14", time=f"{day}08:00+00:00"),
        Message(Author("Weather", id="950", bot=True), "sunny", id="15", time=f"{day}09:00+00:00"),
        Message(HELPER, "Rye\n500 g flour\nSalt: 10 g", id="16", time=f"{day}10:00+00:00"),
        Message(
            ANA,
            "from next door",
            id="17",
            time=f"{day}11:00+00:00",
            attachments=(Attachment("video", "v.mp4", "u"),),
        ),
        Message(ANA, "ask @Helper or <@!999>", id="18", time=f"{day}12:00+00:00"),
        Message(ANA, "no time", id="20"),
    ]
    assert {left.reason: left.count for left in read.left_out} == {
        "unreadable": 3,
        "attachment without text": 1,
        "sticker without text": 1,
        "empty": 1,
        "system (46)": 1,
        "system (Call)": 1,
        "system (ChannelPinnedMessage)": 1,
        "system (GuildMemberJoin)": 1,
        "the same message again": 1,
    }
    examples = {left.reason: left.example or "" for left in read.left_out}
    assert examples["empty"] == "message 13"
    assert "message 19: Expected `str | null`, got `array` - at `$.content`" in examples["unreadable"]
    assert read.notes == ("Messages without a readable time: 1; they stand where the file has them.",)
    assert (read.format, read.channel, read.channels) == ("discord", "general", ("general",))


def test_the_parts_of_a_channel_are_joined():
    read = read_path(DISCORD, FILES / "parts")
    assert [message.text for message in read.messages] == ["one", "two"]
    assert read.notes == ("2 files of this channel were joined.",)


@pytest.mark.parametrize(
    ("channel", "text"), [("general", "in general"), ("#general", "in general"), ("61", "in random")]
)
def test_a_channel_is_chosen_by_name_or_id(channel, text):
    assert [message.text for message in read_path(DISCORD, FILES / "server", channel).messages] == [text]


@pytest.mark.parametrize(
    ("channel", "named"),
    [(None, "general, 61 (random), 62 (random)"), ("random", "61, 62"), ("generall", "'general'")],
)
def test_an_unclear_channel_is_an_error_that_lists_them(channel, named):
    with pytest.raises(UnknownName) as caught:
        read_path(DISCORD, FILES / "server", channel)
    assert named in str(caught.value)


def test_old_names_with_numbers_and_a_direct_chat():
    read = read_path(DISCORD, FILES / "direct.json")
    assert read.messages == [
        Message(Author("ana", id="101", bot=False), "hey", id="1", time="2019-05-05T10:00:00.5+00:00")
    ]


def test_no_messages_are_an_error():
    with pytest.raises(UnreadableFile, match=r"no messages \(left out: 1 system \(GuildMemberJoin\)\)"):
        read_path(DISCORD, FILES / "nothing.json")


def test_a_cut_file_says_where_it_ends(tmp_path):
    path = tmp_path / "cut.json"
    path.write_bytes(ODDITIES[:5000])
    with pytest.raises(UnreadableFile, match=r"ends in the middle, at byte 5,000 \(line \d+\)") as caught:
        read_path(DISCORD, path)
    assert "again" in (caught.value.hint or "")


def test_malformed_json_says_where(tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes(ODDITIES.replace(b'"type": "Reply",', b'"type" "Reply",'))
    with pytest.raises(UnreadableFile, match=r"malformed at byte [\d,]+ \(line \d+\)"):
        read_path(DISCORD, path)


def test_utf16_is_read_and_said(tmp_path):
    path = tmp_path / "wide.json"
    path.write_bytes(ODDITIES.decode().encode("utf-16"))
    read = read_path(DISCORD, path)
    assert len(read.messages) == 12
    assert read.notes[0] == "The file was UTF-16 text."


def test_a_byte_order_mark_does_not_matter(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf" + ODDITIES)
    assert read_path(DISCORD, path).messages == read_path(DISCORD, FILES / "oddities.json").messages


def test_latin_1_is_refused_with_the_byte(tmp_path):
    path = tmp_path / "latin.json"
    path.write_bytes(ODDITIES.replace("שלום".encode(), b"gr\xf6\xdfer"))
    with pytest.raises(UnreadableFile, match=r"not UTF-8 text: byte [\d,]+ fits no character"):
        read_path(DISCORD, path)


def test_half_of_a_surrogate_pair_becomes_a_mark(tmp_path):
    path = tmp_path / "half.json"
    path.write_bytes(ODDITIES.replace(b"the other one", rb"the \ud83d one, \ud83d\ude00, \\ud83d"))
    assert "the \ufffd one, \U0001f600, \\ud83d" in [message.text for message in read_path(DISCORD, path).messages]


@pytest.mark.parametrize("other", [b"", b"{}", b"[]", b"null", b"hello", b'{"messages": []}', b'{"guild": 1}'])
def test_other_files_are_not_ours(tmp_path, other):
    path = tmp_path / "other.json"
    path.write_bytes(other)
    with Source(path) as source:
        assert not DISCORD.recognise(source)
        with pytest.raises(UnreadableFile):
            DISCORD.read(source, None)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return tmp_path_factory.mktemp("discord") / "mutated.json"


def check(here: Path, damage: list[Draw]) -> None:
    here.write_bytes(damage_bytes(ODDITIES, damage))
    read_or_refuse(DISCORD, here)
    tree = damage_tree(json.loads(ODDITIES), damage)
    here.write_bytes(as_bytes(tree))
    read = read_or_refuse(DISCORD, here)
    if read is not None:
        assert rows_of(read) == len(tree["messages"])


@settings(max_examples=100, derandomize=True)
@given(damage=draws)
def test_damage_is_refused_or_accounted_for(here, damage):
    check(here, damage)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_long_damage(here):
    for_seconds(60, lambda damage: check(here, damage))
