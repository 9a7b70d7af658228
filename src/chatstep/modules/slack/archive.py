"""Where things are in a Slack export: its people, its channels, and each channel's files of one day.

The export is a zip, the folder unpacked from it, one channel's folder, or one day's file. What names the people and
channels may be missing; then ids stand in for names.
"""

from __future__ import annotations

import re

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from chatstep.reading import Chat, decode, read_utf8
from chatstep.sketch import sketch
from chatstep.source import Source

__all__ = ["Archive", "User", "recognise"]

_DAY = re.compile(r"(?:^|/)\d{4}-\d{2}-\d{2}\.json$")
_LISTS = ("channels.json", "groups.json", "mpims.json", "dms.json")


class _Profile(Struct, frozen=True):
    display_name: str | None = None
    real_name: str | None = None
    bot_id: str | None = None


class User(Struct):
    """One of users.json, or what a message says of its author."""

    id: str = ""
    name: str | None = None
    real_name: str | None = None
    display_name: str | None = None
    is_bot: bool = False
    profile: _Profile = _Profile()

    def shown(self) -> str:
        """The name that people saw."""
        profile = self.profile
        names = (profile.display_name, self.display_name, profile.real_name, self.real_name, self.name)
        return next((name for name in names if name), "")


class _Channel(Struct):
    id: str
    name: str | None = None
    members: list[str] = []


_RAWS, _USER, _CHANNEL = Decoder(list[Raw]), Decoder(User), Decoder(_Channel)


def recognise(source: Source) -> bool:
    """Whether the source is a Slack export, one of its channels, or one of its days, judged by what the files say."""
    return any(_is_day(source, name) for name in _days(source))


def _days(source: Source) -> list[str]:
    names = source.names()
    return names if source.kind == "file" else [name for name in names if _DAY.search(name)]


def _is_day(source: Source, name: str) -> bool:
    return sketch(source.head(name)).has("[].ts", "[].type")


class Archive:
    """The lists of an export, and the files of each channel."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.users: dict[str, User] = {}
        self._names: dict[str, str | None] = {}
        self.user_of_bot: dict[str, str] = {}
        self.channel_names: dict[str, str] = {}
        self.notes: list[str] = []
        self.chats: list[Chat] = []
        self.files: list[list[str]] = []
        names = source.names() if source.kind != "file" else []
        roots = [name.removesuffix("users.json") for name in names if name.rpartition("/")[2] == "users.json"]
        self._root = min(roots, key=len) if roots else ""
        self._read_users(names)
        self._read_channels(names)

    def shown(self, user: str) -> str | None:
        """The name of a user, or None."""
        return self._names.get(user)

    def rows(self, name: str) -> list[Raw]:
        """The rows of a file, each to be read for itself."""
        data, notes = read_utf8(self.source, name)
        self.notes += [note for note in notes if note not in self.notes]
        return decode(_RAWS, data, self.source.place(name))

    def _read_users(self, names: list[str]) -> None:
        name = f"{self._root}users.json"
        if name not in names:
            self.notes.append("There is no users.json: people are called by their ids where messages bring no names.")
            return
        unreadable = 0
        for raw in self.rows(name):
            try:
                user = _USER.decode(raw)
            except (DecodeError, ValueError, RecursionError):
                unreadable += 1
                continue
            self.users[user.id] = user
            self._names[user.id] = user.shown() or None
            if user.profile.bot_id:
                self.user_of_bot[user.profile.bot_id] = user.id
        if unreadable:
            self.notes.append(f"Rows of users.json that could not be read: {unreadable}.")

    def _read_channels(self, names: list[str]) -> None:
        known: dict[str, _Channel] = {}
        for name in (f"{self._root}{list_}" for list_ in _LISTS):
            for raw in self.rows(name) if name in names else []:
                try:
                    channel = _CHANNEL.decode(raw)
                except (DecodeError, ValueError, RecursionError):
                    continue  # its folder is found without it
                known[channel.id] = channel
                if channel.name:
                    known.setdefault(channel.name, channel)
                    self.channel_names[channel.id] = channel.name
        folders: dict[str, list[str]] = {}
        for name in _days(self.source):
            if name.startswith(self._root):
                folders.setdefault(name.rpartition("/")[0], []).append(name)
        for folder, files in sorted(folders.items()):
            title = folder.removeprefix(self._root).strip("/") or self.source.path.name
            self.chats.append(self._chat(title, known.get(title)))
            self.files.append(files)

    def _chat(self, folder: str, channel: _Channel | None) -> Chat:
        if channel is None:
            return Chat(folder, folder)
        members = ", ".join(self.shown(member) or member for member in channel.members)
        return Chat(channel.id, channel.name or members or folder)
