"""WhatsApp: heads of many locales, both platforms, what the app writes itself, and how dates are understood."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstep.errors import UnknownName, UnreadableFile
from chatstep.message import Attachment, Author, Message
from chatstep.modules.whatsapp import module
from chatstep.modules.whatsapp.headers import day_order
from chatstep.source import Source
from transcript_mutations import Draw, damage_bytes, draws, for_seconds, read_or_refuse, read_path, rows_of

FILES = Path(__file__).parent / "transcripts" / "whatsapp"
(WHATSAPP,) = module.transcript_formats

ZONE = "Times are the phone's own, without a zone."
DAY_FIRST = "The dates do not tell whether day or month comes first; the day was taken to be first."
LRM, NNBSP, NBSP = "\u200e", "\u202f", "\u00a0"
ANA, BEN, NUMBER = Author("Ana Müller"), Author("Ben"), Author("+41 79 123 45 67")


def test_ios_with_every_oddity():
    read = read_path(WHATSAPP, FILES / "ios_us.txt")
    assert read.messages == [
        Message(ANA, "out of order, just past midnight", time="2023-08-15T00:05:01"),
        Message(
            ANA,
            "Hello {{ name }} <b>\\o/</b>\nsecond line: with colon\n\nfourth 👩\u200d👩\u200d👧",
            time="2023-08-15T12:40:00",
        ),
        Message(BEN, "The caption", time="2023-08-15T12:42:00", attachments=(Attachment("image"),)),
        Message(
            BEN,
            "look",
            time="2023-08-15T12:44:00",
            attachments=(Attachment("video", "00000043-VIDEO-2023-08-15-12-44-00.mp4"),),
        ),
        Message(NUMBER, "fixed: now", time="2023-08-15T12:47:00", edited=True),
        Message(Author("~ Cleo"), "שלום (שבת)", time="2023-08-15T12:52:00"),
        Message(Author("Ana"), "Berta: a colon in the text :)", time="2023-08-15T13:55:00"),
    ]
    assert {left.reason: left.count for left in read.left_out} == {
        "attachment without text": 3,
        "system": 3,
        "call": 1,
        "deleted": 1,
        "empty": 1,
        "poll": 1,
        "sticker without text": 1,
    }
    examples = {left.reason: (left.example or "").rpartition("/")[2] for left in read.left_out}
    assert examples["deleted"] == "ios_us.txt line 13"
    assert (read.notes, read.channel) == ((ZONE,), "ios_us")


def test_android_with_every_oddity():
    read = read_path(WHATSAPP, FILES / "android_de.txt")
    assert read.messages == [
        Message(ANA, "Hallo\nzusammen", time="2023-08-13T09:13"),
        Message(BEN, "mit Bildtext", time="2023-08-13T09:14", attachments=(Attachment("media"),)),
        Message(
            BEN, "der Garten", time="2023-08-13T09:15", attachments=(Attachment("image", "IMG-20230813-WA0002.jpg"),)
        ),
        Message(ANA, "morgen, nicht heute", time="2023-08-13T09:17", edited=True),
        Message(ANA, "<b>kein Anhang</b> (wirklich)", time="2023-08-13T09:19"),
        Message(BEN, "schau:\n[13.08.23, 09:12:33] Cleo: aus einem anderen Chat", time="2023-08-13T09:20"),
    ]
    assert {left.reason: left.count for left in read.left_out} == {
        "system": 3,
        "attachment without text": 2,
        "deleted": 2,
        "call": 1,
        "sticker without text": 1,
    }
    assert read.notes == (ZONE, "Lines that look like heads of another shape: 1; they were taken as text.")


@pytest.mark.parametrize(
    ("head", "time"),
    [
        (f"[8/15/23, 9:12:33{NNBSP}PM] ", "2023-08-15T21:12:33"),
        ("[8/15/23, 9:12:33 AM] ", "2023-08-15T09:12:33"),
        ("[8/15/23, 12:00:00 AM] ", "2023-08-15T00:00:00"),
        ("[8/15/23, 12:00:00 PM] ", "2023-08-15T12:00:00"),
        ("[15.08.23, 09:12:33] ", "2023-08-15T09:12:33"),
        ("[15/08/2023, 09:12:33] ", "2023-08-15T09:12:33"),
        ("15/08/2023, 09:12 - ", "2023-08-15T09:12"),
        ("15/08/2023 09:12 - ", "2023-08-15T09:12"),
        ("15/08/2023 à 09:12 - ", "2023-08-15T09:12"),
        ("15.08.23, 09:12 - ", "2023-08-15T09:12"),
        ("15-08-2023 09:12 - ", "2023-08-15T09:12"),
        (f"8/15/23, 9:12{NNBSP}PM - ", "2023-08-15T21:12"),
        ("8/15/23, 1:55 p.m. - ", "2023-08-15T13:55"),
        ("15/8/2018 1:55 p. m. - ", "2018-08-15T13:55"),
        (f"15/8/2018, 1:55 p.{NBSP}m. - ", "2018-08-15T13:55"),
        (f"[15/8/18 1:55:03 a.{NBSP}m.] ", "2018-08-15T01:55:03"),
        ("13.6.2018 klo 21.25 - ", "2018-06-13T21:25"),
        ("[13.6.2018 klo 21.25.15] ", "2018-06-13T21:25:15"),
        ("[13. 6. 2018. 21:25:15] ", "2018-06-13T21:25:15"),
        ("13-06-2018, 01.55 PM - ", "2018-06-13T13:55"),
        ("2018/06/13, 21:25 - ", "2018-06-13T21:25"),
        ("[2018/06/13, 21:25:15] ", "2018-06-13T21:25:15"),
        ("[2018-06-13 21:25:15] ", "2018-06-13T21:25:15"),
        ("[2018/6/13 下午9:25:15] ", "2018-06-13T21:25:15"),
        ("[2018/06/13 午後9:25:15] ", "2018-06-13T21:25:15"),
        ("2018. 6. 13. 오후 9:25 - ", "2018-06-13T21:25"),
        ("2018. 06. 13. de. 9:25 - ", "2018-06-13T09:25"),
        ("[13/6/2018, 9:25:15 μ.μ.] ", "2018-06-13T21:25:15"),
        ("13.06.2018 ÖS 9:25 - ", "2018-06-13T21:25"),
        ("१३/०६/२०१८, ९:२५ अपराह्न - ", "2018-06-13T21:25"),
        (f"[\u200f١٣\u200f/٦\u200f/٢٠١٨، ٩:٢٥:١٥{NBSP}م] ", "2018-06-13T21:25:15"),
        ("13/6/2561 21:25 - ", "2018-06-13T21:25"),
        ("13/06/18, 25:99 - ", None),
    ],
)
def test_heads_of_many_locales(tmp_path, head, time):
    path = tmp_path / "chat.txt"
    path.write_bytes(f"{head}Ana: one\r\ntwo\r\n{LRM if '[' in head else ''}{head}Ben: three: four\r\n".encode())
    read = read_path(WHATSAPP, path)
    assert read.messages == [
        Message(Author("Ana"), "one\ntwo", time=time),
        Message(Author("Ben"), "three: four", time=time),
    ]


@pytest.mark.parametrize(
    ("dates", "order", "doubt"),
    [
        ("13/1/23", "dmy", False),
        ("1/13/23", "mdy", False),
        ("1/2/23 2/2/23 13/2/23", "dmy", False),
        ("1/31/23 2/1/23", "mdy", False),
        ("12/1/23 1/2/23 2/2/23", "dmy", False),
        ("1/12/23 2/1/23 2/2/23", "mdy", False),
        ("1/2/23 2/2/23", "dmy", True),
        ("1/1/23 2/2/23 3/3/23", "dmy", False),
        ("2023/1/2", "ymd", False),
        ("23-08-30 23-08-31 23-09-01", "ymd", False),
        ("30.6.18 1.7.18", "dmy", False),
        ("45/45/23", "dmy", False),
        ("", "dmy", False),
    ],
)
def test_what_comes_first_in_a_date(dates, order, doubt):
    assert day_order(dates.split()) == (order, DAY_FIRST if doubt else None)


def test_doubt_about_dates_is_said(tmp_path):
    path = tmp_path / "chat.txt"
    path.write_text("1/2/23, 09:12 - Ana: one\n2/2/23, 09:12 - Ben: two\n")
    assert read_path(WHATSAPP, path).notes == (ZONE, DAY_FIRST)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("<Media omitted>", "attachment without text"),
        ("<Multimedia omitido>", "attachment without text"),
        ("<Médias omis>", "attachment without text"),
        ("<Media omessi>", "attachment without text"),
        ("<Mídia oculta>", "attachment without text"),
        ("<Media weggelaten>", "attachment without text"),
        ("<Без медиафайлов>", "attachment without text"),
        ("<Medya dahil edilmedi>", "attachment without text"),
        ("<Media tidak disertakan>", "attachment without text"),
        ("<メディアは含まれていません>", "attachment without text"),
        ("<省略多媒体文件>", "attachment without text"),
        ("<미디어 파일 제외됨>", "attachment without text"),
        ("<تم استبعاد الوسائط>", "attachment without text"),
        ("VID-20230813-WA0001.mp4 (any words at all)", "attachment without text"),
        ("report.final.pdf (archivo adjunto)", "attachment without text"),
        ("STK-20230813-WA0001.webp (file attached)", "sticker without text"),
        ("This message was deleted", "deleted"),
        ("This message was deleted by admin Ana", "deleted"),
        ("You deleted this message", "deleted"),
        ("Se eliminó este mensaje.", "deleted"),
        ("Ce message a été supprimé", "deleted"),
        ("Questo messaggio è stato eliminato", "deleted"),
        ("Mensagem apagada", "deleted"),
        ("Dit bericht is verwijderd", "deleted"),
        ("Данное сообщение удалено", "deleted"),
        ("Bu mesaj silindi", "deleted"),
        ("Pesan ini telah dihapus", "deleted"),
        ("このメッセージは削除されました", "deleted"),
        ("此消息已删除", "deleted"),
        ("삭제된 메시지입니다.", "deleted"),
        ("Missed video call", "call"),
        ("Waiting for this message. This may take a while.", "not delivered"),
        ("POLL:\nWhen?\nOPTION: Now (2 votes)", "poll"),
        ("ENCUESTA:\n¿Cuándo?", "poll"),
        ("Messages to this chat and calls are now secured with end-to-end encryption.", "system"),
        ("", "empty"),
        ("  \n ", "empty"),
        ("<3", None),
        ("(file attached)", None),
        ("this message was deleted, I think", None),
        ("I <Media omitted> the rest", None),
        ("x.y (z)", None),
        ("a > b", None),
        (":)", None),
    ],
)
def test_what_the_app_writes_itself(tmp_path, row, reason):
    path = tmp_path / "chat.txt"
    path.write_text(f"15/08/23, 09:12 - Ana: hello\n15/08/23, 09:13 - Ben: {row}\n", encoding="utf-8")
    read = read_path(WHATSAPP, path)
    assert [left.reason for left in read.left_out] == ([reason] if reason else [])
    assert [message.text for message in read.messages][1:] == ([] if reason else [row])


@pytest.mark.parametrize(
    "marker",
    [
        "This message was edited",
        "Diese Nachricht wurde bearbeitet.",
        "Se editó este mensaje.",
        "Ce message a été modifié",
        "Questo messaggio è stato modificato",
        "Mensagem editada",
        "Dit bericht is bewerkt",
        "Сообщение изменено",
        "Bu mesaj düzenlendi",
        "Pesan ini diedit",
        "このメッセージは編集されました",
        "此消息已编辑",
    ],
)
@pytest.mark.parametrize("mark", ["", LRM])
def test_edits_in_many_languages(tmp_path, marker, mark):
    path = tmp_path / "chat.txt"
    path.write_text(f"15/08/23, 09:12 - Ana: now <b>right</b>\nindeed {mark}<{marker}>\n", encoding="utf-8")
    (message,) = read_path(WHATSAPP, path).messages
    assert (message.text, message.edited) == ("now <b>right</b>\nindeed", True)


@pytest.mark.parametrize(
    ("row", "text", "attachment"),
    [
        (f"{LRM}<anexado: 1-AUDIO.opus>", "", Attachment("audio", "1-AUDIO.opus")),
        (f"{LRM}<attached: 00000002-STICKER-2023.webp>", "", Attachment("sticker", "00000002-STICKER-2023.webp")),
        (f"{LRM}<Any language: c.vcf>", "", Attachment("contact", "c.vcf")),
        (f"{LRM}Bild weggelassen", "", Attachment("image")),
        (f"{LRM}GIF omitted", "", Attachment("video")),
        (f"Caption\non two lines {LRM}vidéo absente", "Caption\non two lines", Attachment("video")),
        (f"a.b.docx • {LRM}documento omitido", "", Attachment("file", "a.b.docx")),
    ],
)
def test_media_on_ios(tmp_path, row, text, attachment):
    path = tmp_path / "_chat.txt"
    path.write_bytes(f"[15.08.23, 09:12:33] Ana: a\r\n{LRM}[15.08.23, 09:12:34] Ben: {row}\r\n".encode())
    read = read_path(WHATSAPP, path)
    if text:
        assert read.messages[1] == Message(BEN, text, time="2023-08-15T09:12:34", attachments=(attachment,))
    else:
        what = "sticker" if attachment.kind == "sticker" else "attachment"
        assert [left.reason for left in read.left_out] == [f"{what} without text"]


@pytest.mark.parametrize(
    "row",
    [
        'Ana changed the subject from "A: b" to "C: d"',
        "Ana hat die Gruppe „Lesen: abends“ erstellt.",
        "Ana a changé le nom du groupe : « Lire : le soir »",
        'Ana mudou o nome do grupo de "Ler: hoje" para "Ler"',
        "Ana: joined",
    ],
)
def test_a_colon_in_a_row_of_the_app_is_no_author(tmp_path, row):
    path = tmp_path / "chat.txt"
    path.write_text(f"15/08/23, 09:12 - Ben: hello\n15/08/23, 09:13 - {row}\n", encoding="utf-8")
    read = read_path(WHATSAPP, path)
    assert [message.author.name for message in read.messages] == (["Ben", "Ana"] if "joined" in row else ["Ben"])


def test_an_author_may_hold_a_colon_without_a_space(tmp_path):
    path = tmp_path / "chat.txt"
    path.write_text("15/08/23, 09:12 - Ana :-) 10:30: hello: you\n15/08/23, 09:12 - http://x.y/z joined\n")
    ana = Author("Ana :-) 10:30")
    assert read_path(WHATSAPP, path).messages == [Message(ana, "hello: you", time="2023-08-15T09:12")]


def test_the_zip_of_ios_and_a_cut_text(tmp_path):
    path = FILES / "WhatsApp Chat - Ana.zip"
    read = read_path(WHATSAPP, path)
    assert [message.text for message in read.messages] == ["day first", "cut in the mid"]
    assert [(left.reason, left.count) for left in read.left_out] == [("text before the first message", 1)]
    assert read.channel == "Ana"
    shutil.copy(path, tmp_path / "renamed.bin")
    assert read_path(WHATSAPP, tmp_path / "renamed.bin").messages == read.messages


@pytest.mark.parametrize(("channel", "text"), [("Ana", "one"), ("Ben", "dos"), ("Chat de WhatsApp con Ben.txt", "dos")])
def test_a_folder_of_chats(channel, text):
    assert [message.text for message in read_path(WHATSAPP, FILES / "two", channel).messages] == [text]
    with pytest.raises(UnknownName, match="name one"):
        read_path(WHATSAPP, FILES / "two")


def test_encodings(tmp_path):
    wide = read_path(WHATSAPP, FILES / "utf16.txt")
    assert wide.messages[0].text == "größer"
    assert wide.notes == ("The file was UTF-16 text.", ZONE)
    (tmp_path / "wider.txt").write_bytes("15/08/2023, 09:12 - Ana: größer\n".encode("utf-32"))
    assert read_path(WHATSAPP, tmp_path / "wider.txt").messages == wide.messages
    with pytest.raises(UnreadableFile, match="not UTF-8 text: byte 27 fits no character"):
        read_path(WHATSAPP, FILES / "latin1.txt")
    far = tmp_path / "far.txt"
    row = b"[15.08.23, 09:12:33] Ana: hello\r\n"
    far.write_bytes(row * 30_000 + b"\xff\r\n" + row)
    with pytest.raises(UnreadableFile, match=f"byte {30_000 * len(row):,} fits no character"):
        read_path(WHATSAPP, far)
    cut = tmp_path / "chat.txt"
    cut.write_bytes("15/08/2023, 09:12 - Ana: größer 🙂".encode()[:-2])
    assert read_path(WHATSAPP, cut).messages[0].text == "größer "
    assert read_path(WHATSAPP, cut).notes[0] == "The file ends in the middle of a character."


def test_a_text_that_came_by_a_pipe():
    data = (FILES / "ios_us.txt").read_bytes()
    with Source.of_bytes(data) as source:
        assert WHATSAPP.recognise(source)
        assert WHATSAPP.read(source, None).messages == read_path(WHATSAPP, FILES / "ios_us.txt").messages


def test_a_damaged_zip(tmp_path):
    path = tmp_path / "chat.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("_chat.txt", "15/08/2023, 09:12 - Ana: hello\n" * 20_000)
    data = path.read_bytes()
    path.write_bytes(data[:500_000] + b"?" + data[500_001:])
    with pytest.raises(UnreadableFile, match="cannot be read: Bad CRC") as caught:
        read_path(WHATSAPP, path)
    assert (caught.value.place or "").endswith("chat.zip!_chat.txt")


def test_no_messages_are_an_error():
    with pytest.raises(UnreadableFile, match=r"no messages \(left out: 1 system\)"):
        read_path(WHATSAPP, FILES / "only_system.txt")


@pytest.mark.parametrize("other", [b"", b"hello\n", b"{}", b"a,b\n2023-08-15 09:12,x\n", b"09:12 <Ana> hi\n"])
def test_other_files_are_not_ours(tmp_path, other):
    path = tmp_path / "_chat.txt"
    path.write_bytes(other)
    with Source(path) as source:
        assert not WHATSAPP.recognise(source)
        with pytest.raises(UnreadableFile):
            WHATSAPP.read(source, None)


def test_rows_over_the_borders_of_blocks(tmp_path):
    path = tmp_path / "chat.txt"
    texts = [f"{at} " + "long line 🙂 " * (at * 37 % 900) + "\n\nend" for at in range(300)]
    texts[100] = "x" * 700_000
    path.write_text("".join(f"15/08/23, 09:12 - Ana: {text}\n" for text in texts), encoding="utf-8")
    assert path.stat().st_size > 2_000_000
    read = read_path(WHATSAPP, path)
    assert [message.text for message in read.messages] == texts


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return tmp_path_factory.mktemp("whatsapp") / "mutated.txt"


@settings(max_examples=150, derandomize=True)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r")), min_size=1, max_size=12),
    head=st.sampled_from(["15/08/23, 09:12 - Ana: ", "[15.08.23, 09:12:33] Ana: ", "8/15/23, 9:12\u202fPM - Ana: "]),
)
def test_whatever_people_write_is_there_or_accounted_for(here, texts, head):
    here.write_bytes("".join(f"{head}{text}\n" for text in ["first", *texts]).encode())
    read = read_or_refuse(WHATSAPP, here)
    assert read is not None
    assert rows_of(read) == 1 + len(texts)
    own = [text.rstrip("\n") for text in texts[-1:]]
    plain = [text for text in texts[:-1] + own if text.strip() and not set(text) & set("\u200e<)")]
    assert [text for text in plain if text not in {message.text for message in read.messages}] == []


HEAD = re.compile(r"^\u200e?\[\d+/\d+/\d+, \d+:\d\d:\d\d\u202f[AP]M\] |^\d\d\.\d\d\.\d\d, \d\d:\d\d - ", re.MULTILINE)


def check(here: Path, damage: list[Draw]) -> None:
    for name in ("ios_us.txt", "android_de.txt"):
        data = damage_bytes((FILES / name).read_bytes(), damage)
        here.write_bytes(data)
        read = read_or_refuse(WHATSAPP, here)
        if read is None:
            continue
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "ignore")
        before = sum(left.count for left in read.left_out if left.reason.startswith("text before"))
        other = sum(map(int, re.findall(r"another shape: (\d+)", " ".join(read.notes))))
        assert rows_of(read) - before <= len(HEAD.findall(text.removeprefix("\ufeff"))) + len(damage) * 3
        assert rows_of(read) - before + other + len(damage) * 3 >= len(HEAD.findall(text.removeprefix("\ufeff")))


@settings(max_examples=200, derandomize=True)
@given(damage=draws)
def test_damage_is_refused_or_accounted_for(here, damage):
    check(here, damage)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_long_damage(here):
    for_seconds(60, lambda damage: check(here, damage))


def test_a_row_of_nothing_but_a_control_character_is_empty(tmp_path):
    file = tmp_path / "_chat.txt"
    file.write_text("[8/15/23, 9:12:33 AM] Ana: Hello\n[8/15/23, 9:13:33 AM] Ben: \x1d\n")
    transcript = read_or_refuse(WHATSAPP, file)
    assert [message.text for message in transcript.messages] == ["Hello"]
    assert [(left.reason, left.count) for left in transcript.left_out] == [("empty", 1)]
