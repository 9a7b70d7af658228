"""Records what a real provider answers, and replays it offline.

A `Recorder` stands in for a script: requests go on to a real connection, and request and answer are written as a line
of JSON each, without keys, organisations, request ids and cookies. A `Replay` answers equal requests from such a file.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from chatstep.errors import ChatstepError, InvalidInput, UnreadableFile
from chatstep.http import Http, Patience, Reply, Request, Timeouts
from chatstep.rehearsal.plan import Plan
from chatstep.rehearsal.received import Received
from chatstep.rehearsal.refusal import Refusal
from chatstep.secret import Secret

__all__ = ["Recorder", "Replay", "scrubbed"]

REMOVED = "[removed]"
_PERSONAL = frozenset({"user", "safety_identifier", "prompt_cache_key"})
_KEPT_HEADERS = re.compile(r"content-type|retry-after(?:-ms)?|x-should-retry|x-ratelimit-[\w-]+|openai-version")
_SECRET_TEXT = re.compile(r"\b(?:sk|rk|pk|gsk|xai)-[\w*-]{6,}|\borg-\w{6,}|\bproj_\w{6,}|\breq_\w{6,}|\buser-\w{20,}")


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a recording. ``body`` is text, or base64 in ``packed`` where the bytes are no text."""

    method: str
    path: str
    request: dict[str, Any] | None = None
    status: int = 200
    headers: dict[str, str] = {}
    body: str | None = None
    packed: str | None = None

    def key(self) -> str:
        """What a request must equal to get this answer."""
        return _key(self.method, self.path, self.request)


def scrubbed(text: str, *secrets: str) -> str:
    """The text without these secrets, and without whatever looks like a key or an id of an account or request."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, REMOVED)
    return _SECRET_TEXT.sub(REMOVED, text)


class Recorder:
    """Passes requests on to ``base_url`` with ``key`` and appends what comes back to the file at ``path``.

    ``http`` may be given to share a client; else the recorder opens and closes its own.
    """

    def __init__(self, base_url: str, key: str | Secret, path: str | Path, http: Http | None = None) -> None:
        self.unexpected: list[str] = []
        self._base_url, self._path = base_url.rstrip("/"), Path(path)
        self._secret = key if isinstance(key, Secret) else Secret(key)
        self._http, self._owns = http, http is None
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Make sure that the recording can be written; raises UnreadableFile."""
        await asyncio.to_thread(self._append, "")
        if self._http is None:
            self._http = Http()

    async def close(self) -> None:
        """Close the client, if it is the recorder's own."""
        if self._owns and self._http is not None:
            await self._http.close()
            self._http = None

    def reset(self) -> None:
        """Nothing to forget: what is recorded stays."""

    async def answer(self, request: Received, key: str | None) -> Plan:
        """The real answer; it is written down before it is passed on."""
        reply = await self._forward(request)
        entry = Entry(
            method=request.method,
            path=request.path,
            request=_without_personal(request.body, self._secret.reveal()),
            status=reply.status,
            headers=_kept(reply.headers, self._secret.reveal()),
        )
        try:
            entry.body = scrubbed(reply.body.decode(), self._secret.reveal())
        except UnicodeDecodeError:
            plain = scrubbed(reply.body.decode("latin-1"), self._secret.reveal())
            entry.packed = base64.b64encode(plain.encode("latin-1")).decode()
        line = msgspec.json.encode(entry).decode() + "\n"
        async with self._writing:
            await asyncio.to_thread(self._append, line)
        return _plan(entry)

    async def _forward(self, request: Received) -> Reply:
        assert self._http is not None
        path = request.path.removeprefix("/openai").removeprefix("/v1")
        query = f"?{request.query}" if request.query else ""
        headers = {"authorization": f"Bearer {self._secret.reveal()}"}
        if request.raw:
            headers["content-type"] = "application/json"
        try:
            return await self._http.send(
                Request(request.method, f"{self._base_url}{path}{query}", headers, request.raw),
                lambda reply: reply,
                timeouts=Timeouts(total=600.0),
                patience=Patience(tries=1),
            )
        except ChatstepError as error:
            raise Refusal(
                f"The recorded connection gave no answer: {scrubbed(error.message, self._secret.reveal())}",
                status=502,
                kind="rehearsal",
                code="not_recorded",
            ) from None

    def _append(self, line: str) -> None:
        try:
            # Texts of people are in it, so the file is for its owner's eyes.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line)
        except OSError as problem:
            raise UnreadableFile(
                f"The recording cannot be written: {problem.strerror}.", place=str(self._path)
            ) from None


class Replay:
    """Answers from a recording: an equal request gets what was recorded, several in their order, the last one again."""

    def __init__(self, path: str | Path) -> None:
        self.unexpected: list[str] = []
        self._path = Path(path)
        self._entries: dict[str, list[Entry]] = {}
        self._used: defaultdict[str, int] = defaultdict(int)

    async def open(self) -> None:
        """Read the recording. Raises UnreadableFile, or InvalidInput naming the line that is none."""
        self._entries = await asyncio.to_thread(self._read)

    async def close(self) -> None:
        """Nothing to close."""

    def reset(self) -> None:
        """Begin again with the first answers."""
        self._used.clear()
        self.unexpected.clear()

    async def answer(self, request: Received, key: str | None) -> Plan:
        """The recorded answer; raises Refusal for a request that was not recorded."""
        wanted = _key(request.method, request.path, _without_personal(request.body))
        found = self._entries.get(wanted)
        if not found:
            described = request.describe()
            self.unexpected.append(described)
            raise Refusal(f"The recording did not expect {described}.", kind="rehearsal", code="not_expected")
        at = min(self._used[wanted], len(found) - 1)
        self._used[wanted] += 1
        return _plan(found[at])

    def _read(self) -> dict[str, list[Entry]]:
        entries: dict[str, list[Entry]] = {}
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as problem:
            raise UnreadableFile(f"The recording cannot be read: {problem.strerror}.", place=str(self._path)) from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError as problem:
                place = f"{self._path.name} line {number}"
                raise InvalidInput(f"Not a line of a recording: {problem}.", place=place) from None
            entries.setdefault(entry.key(), []).append(entry)
        return entries


def _key(method: str, path: str, body: Mapping[str, Any] | None) -> str:
    return f"{method} {path.removeprefix('/openai')} {json.dumps(body, sort_keys=True)}"


def _without_personal(body: Mapping[str, Any] | None, *secrets: str) -> dict[str, Any] | None:
    if body is None:
        return None
    kept = {name: value for name, value in body.items() if name not in _PERSONAL}
    plain: dict[str, Any] = json.loads(scrubbed(json.dumps(kept, ensure_ascii=False), *secrets))
    return plain


def _kept(headers: Mapping[str, str], *secrets: str) -> dict[str, str]:
    return {
        name.lower(): scrubbed(value, *secrets)
        for name, value in headers.items()
        if _KEPT_HEADERS.fullmatch(name.lower())
    }


def _plan(entry: Entry) -> Plan:
    body = base64.b64decode(entry.packed) if entry.packed is not None else (entry.body or "").encode()
    plan = Plan(status=entry.status, headers=dict(entry.headers))
    content_type = entry.headers.get("content-type", "application/json")
    plan.set_body(body, content_type)
    if content_type.startswith("text/event-stream"):
        plan.blocks, plan.length, plan.streaming = _events(body), None, True
    return plan


def _events(body: bytes) -> list[bytes]:
    """The stream cut behind its blank lines, so that a replay comes in pieces too."""
    return [piece for piece in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", body) if piece]
