"""Slack: an export as folder and zip, one channel of it, one day of that; tokens, bots, threads."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.slack import module
from chatstep.modules.slack.text import plain_text
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

FILES = Path(__file__).parent / "transcripts" / "slack" / "export"
(SLACK,) = module.transcript_formats

ANA, BEN = Author("ana.m", id="U1", bot=False), Author("Ben & Co", id="U2", bot=False)
HELPER = Author("Helper", id="U9", bot=True)

EXPECTED = [
    Message(
        ANA,
        "Hello @Ben & Co, see #random and #général @here @crew the page https://e.org a@e.org :tada: 1 < 2 &amp; @U404",
        id="1711839510.000001",
        time="2024-03-30T22:58:30+00:00",
        attachments=(Attachment("link", "the page", "https://e.org/a?b=1&c=2"),),
    ),
    Message(
        ANA,
        "with a file",
        id="1711839514.000001",
        time="2024-03-30T22:58:34+00:00",
        attachments=(Attachment("file", "r.pdf", "https://files.example/r.pdf"),),
    ),
    Message(ANA, "waves", id="1711839515.000001", time="2024-03-30T22:58:35+00:00"),
    Message(
        Author("Cleo", id="U55", bot=False), "from outside", id="1711839517.000001", time="2024-03-30T22:58:37+00:00"
    ),
    Message(ANA, "no time", id="soon"),
    Message(
        BEN,
        "a reply, filed under its own day",
        id="1711900000.000100",
        time="2024-03-31T15:46:40+00:00",
        reply_to="1711839510.000001",
    ),
    Message(
        ANA,
        "also to the channel",
        id="1711900000.000200",
        time="2024-03-31T15:46:40+00:00",
        reply_to="1711839510.000001",
    ),
    Message(ANA, "edited", id="1711900001.000100", time="2024-03-31T15:46:41+00:00", edited=True),
    Message(
        HELPER,
        "Build <7>\n*passed* for @ana.m\n1 & 2\na < b @Ben & Cosite:tada:\none\ntwo",
        id="1711900004.000100",
        time="2024-03-31T15:46:44+00:00",
        attachments=(Attachment("link", "site", "https://e.org"),),
    ),
    Message(
        Author("Cron", id="B7", bot=True),
        "Job\nnightly\ndone\ntook: 3 s\nonly this",
        id="1711900005.000100",
        time="2024-03-31T15:46:45+00:00",
    ),
    Message(Author("Alarm", id="B7", bot=True), "as another", id="1711900006.000100", time="2024-03-31T15:46:46+00:00"),
    Message(HELPER, "old style", id="1711900007.000100", time="2024-03-31T15:46:47+00:00"),
]


@pytest.mark.parametrize("channel", ["général", "#général", "C1"])
def test_every_oddity(channel):
    read = read_path(SLACK, FILES, channel)
    assert read.messages == EXPECTED
    assert {left.reason: left.count for left in read.left_out} == {
        "attachment without text": 1,
        "deleted": 2,
        "empty": 1,
        "hidden": 1,
        "system (channel_join)": 1,
        "system (huddle_thread)": 1,
        "system (pinned_item)": 1,
        "unreadable": 1,
    }
    (unreadable,) = (left for left in read.left_out if left.reason == "unreadable")
    assert "2024-03-30.json message 10: Expected `str`, got `float` - at `$.ts`" in (unreadable.example or "")
    assert read.notes == (
        "Rows of users.json that could not be read: 1.",
        "Messages without a readable time: 1; they stand where the file has them.",
    )
    assert (read.channel, read.channels) == ("général", ("ana.m, Ben & Co", "général", "random"))


@pytest.mark.parametrize("inside", ["", "My workspace export/"])
def test_a_zip_as_slack_or_a_mac_makes_it(tmp_path, inside):
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for file in sorted(FILES.rglob("*.json")):
            packed.write(file, inside + file.relative_to(FILES).as_posix())
        packed.writestr("__MACOSX/général/._2024-03-30.json", b"\0\1")
    assert read_path(SLACK, path, "général").messages == EXPECTED


def test_a_chat_of_two_has_their_names():
    read = read_path(SLACK, FILES, "ana.m, Ben & Co")
    assert [message.text for message in read.messages] == ["just us"]


@pytest.mark.parametrize("part", ["random", "random/2024-03-30.json"])
def test_one_channel_or_one_day_alone(part):
    read = read_path(SLACK, FILES / part)
    assert [(message.author.name, message.text) for message in read.messages] == [("U1", "in random")]
    assert "no users.json" in read.notes[0]


@pytest.mark.parametrize(("channel", "named"), [(None, "général, random"), ("ramdom", "'random'")])
def test_an_unclear_channel_is_an_error_that_lists_them(channel, named):
    with pytest.raises(UnknownName) as caught:
        read_path(SLACK, FILES, channel)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<@U1> <@U1|other> <@W9>", "@Ana & co @other @W9"),
        ("<#C1> <#C1|old> <#C9>", "#plants #old #C9"),
        ("<!channel> <!subteam^S1> <!date^1^{date}|1 May>", "@channel @subteam 1 May"),
        ("<tel:+41|+41> <mailto:a@b.c|a@b.c> <http://e.org|e.org>", "+41 a@b.c e.org"),
        ("&lt;@U1&gt; &amp;lt; a < b > c &nbsp;", "<@U1> &lt; a < b > c &nbsp;"),
        ("", ""),
    ],
)
def test_tokens_and_escapes(text, shown):
    assert plain_text(text, {"U1": "Ana & co"}.get, {"C1": "plants"}) == (shown, ())


def test_a_cut_day_is_never_half_a_chat(tmp_path):
    shutil.copytree(FILES, tmp_path / "export")
    day = tmp_path / "export" / "général" / "2024-03-31.json"
    day.write_bytes(day.read_bytes()[:-20])
    with pytest.raises(UnreadableFile, match="ends in the middle") as caught:
        read_path(SLACK, tmp_path / "export", "général")
    assert "2024-03-31.json" in (caught.value.place or "")
    assert read_path(SLACK, tmp_path / "export", "random").messages


@pytest.mark.parametrize("other", [b"", b"[]", b"{}", b'[{"type": "message"}]'])
def test_other_folders_are_not_ours(tmp_path, other):
    (tmp_path / "general").mkdir()
    (tmp_path / "users.json").write_bytes(b"[]")
    (tmp_path / "general" / "2024-03-30.json").write_bytes(other)
    with Source(tmp_path) as source:
        assert not SLACK.recognise(source)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    path = tmp_path_factory.mktemp("slack") / "export"
    shutil.copytree(FILES, path)
    return path


def check(here: Path, damage: list[Draw]) -> None:
    days = ["général/2024-03-30.json", "général/2024-03-31.json"]
    whole = {name: (FILES / name).read_bytes() for name in (*days, "users.json", "channels.json", "dms.json")}
    for name, data in whole.items():
        (here / name).write_bytes(damage_bytes(data, damage))
        read_or_refuse(SLACK, here, "C1")
        (here / name).write_bytes(data)
    trees = {name: json.loads(data) for name, data in whole.items()}
    for name, tree in trees.items():
        trees[name] = damage_tree(tree, damage)
        (here / name).write_bytes(as_bytes(trees[name]))
    read = read_or_refuse(SLACK, here, "général")
    if read is not None:
        assert rows_of(read) == sum(len(trees[name]) for name in days)


@settings(max_examples=60, derandomize=True)
@given(damage=draws)
def test_damage_is_refused_or_accounted_for(here, damage):
    check(here, damage)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_long_damage(here):
    for_seconds(60, lambda damage: check(here, damage))
