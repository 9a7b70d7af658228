"""Chat exports of any length, made by chance from a seed, each in the shape in which its platform writes it."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.histories import CYRILLIC, EMOJI, WORDS

PEOPLE = ("Ana Müller", "Ben", "Cleo da Silva", "+41 79 123 45 67", "Helper")
START = datetime.datetime(2023, 1, 1, 8, tzinfo=datetime.UTC)


class Said(NamedTuple):
    """One message: its number, who, when, what."""

    at: int
    who: int
    when: datetime.datetime
    text: str


def chat(messages: int, seed: int) -> Iterator[Said]:
    """Messages of 5 to 35 words, some with emoji, some in Cyrillic, some of two lines, minutes apart."""
    chance = random.Random(seed)
    when = START
    for at in range(messages):
        when += datetime.timedelta(seconds=chance.randint(5, 600))
        text = " ".join(chance.choices(CYRILLIC if chance.random() < 0.1 else WORDS, k=chance.randint(5, 35)))
        if chance.random() < 0.15:
            text += " " + chance.choice(EMOJI)
        if chance.random() < 0.05:
            text += "\nand a second line :)"
        yield Said(at, chance.randrange(len(PEOPLE)), when, text)


def discord(path: Path, said: Iterator[Said]) -> Path:
    """A channel as DiscordChatExporter writes it."""
    rows = [_discord_row(one) for one in said]
    whole = {
        "guild": {"id": "1", "name": "Library", "iconUrl": ""},
        "channel": {"id": "2", "type": "GuildTextChat", "categoryId": "3", "category": "Text", "name": "general"},
        "dateRange": {"after": None, "before": None},
        "exportedAt": START.isoformat(),
        "messages": rows,
        "messageCount": len(rows),
    }
    return _write(path / "discord.json", whole, 2)


def _discord_row(one: Said) -> dict[str, Any]:
    name = PEOPLE[one.who]
    author = {"id": str(10**17 + one.who), "name": name.lower(), "discriminator": "0000", "nickname": name}
    author |= {"color": None, "isBot": name == "Helper", "roles": [], "avatarUrl": f"https://cdn.example/{one.who}.png"}
    row = {"id": str(10**18 + one.at), "type": "Default", "timestamp": one.when.isoformat(), "timestampEdited": None}
    row |= {"callEndedTimestamp": None, "isPinned": False, "content": one.text, "author": author}
    return row | {name: [] for name in ("attachments", "embeds", "stickers", "reactions", "mentions", "inlineEmojis")}


def telegram(path: Path, said: Iterator[Said]) -> Path:
    """A chat as Telegram Desktop writes it."""
    rows = [
        {
            "id": one.at,
            "type": "message",
            "date": one.when.replace(tzinfo=None).isoformat(),
            "date_unixtime": str(int(one.when.timestamp())),
            "from": PEOPLE[one.who],
            "from_id": f"user{10**9 + one.who}",
            "text": one.text if one.at % 4 else [one.text, {"type": "link", "text": "https://example.org"}],
            "text_entities": [{"type": "plain", "text": one.text}],
        }
        for one in said
    ]
    return _write(path / "telegram.json", {"name": "Library", "type": "private_group", "id": 7, "messages": rows}, 1)


def slack(path: Path, said: Iterator[Said]) -> Path:
    """One channel of a Slack export, as a folder."""
    folder = path / "slack"
    (folder / "general").mkdir(parents=True)
    users = [{"id": f"U{who}", "name": name, "profile": {"display_name": name}} for who, name in enumerate(PEOPLE)]
    _write(folder / "users.json", users, 4)
    _write(folder / "channels.json", [{"id": "C1", "name": "general", "members": []}], 4)
    days: dict[str, list[dict[str, Any]]] = {}
    for one in said:
        text = one.text.replace("&", "&amp;").replace("<", "&lt;") + (" <@U1>" if one.at % 4 == 0 else "")
        ts = f"{int(one.when.timestamp())}.{one.at % 10**6:06}"
        section = {"type": "rich_text_section", "elements": [{"type": "text", "text": one.text}]}
        row = {"client_msg_id": f"{one.at:032x}", "type": "message", "text": text, "user": f"U{one.who}", "ts": ts}
        row |= {"blocks": [{"type": "rich_text", "block_id": "b", "elements": [section]}], "team": "T1"}
        days.setdefault(one.when.date().isoformat(), []).append(row)
    for day, rows in days.items():
        _write(folder / "general" / f"{day}.json", rows, 4)
    return folder


def whatsapp_android(path: Path, said: Iterator[Said]) -> Path:
    """A chat as WhatsApp writes it on Android."""
    return _lines(path / "WhatsApp Chat with Library.txt", said, "{:%d/%m/%Y, %H:%M} - {}: {}\n")


def whatsapp_ios(path: Path, said: Iterator[Said]) -> Path:
    """A chat as WhatsApp writes it on iOS."""
    return _lines(path / "_chat.txt", said, "[{:%m/%d/%y, %I:%M:%S\u202f%p}] {}: {}\r\n")


def _lines(path: Path, said: Iterator[Said], row: str) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(row.format(one.when, PEOPLE[one.who], one.text) for one in said)
    return path


def _write(path: Path, whole: Any, indent: int) -> Path:
    path.write_text(json.dumps(whole, ensure_ascii=False, indent=indent), encoding="utf-8")
    return path


MAKERS: dict[str, Callable[[Path, Iterator[Said]], Path]] = {
    "discord": discord,
    "slack": slack,
    "telegram": telegram,
    "whatsapp, Android": whatsapp_android,
    "whatsapp, iOS": whatsapp_ios,
}
"""By title; what stands before the comma is the module that reads it."""
