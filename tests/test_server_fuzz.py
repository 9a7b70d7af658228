"""Whatever comes to the endpoint: an answer, or the protocol's error. No 5xx, no traceback, and the next is served."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatstep.app import App
from chatstep.flows.publishing import publish
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.store import StoredConnection
from serving import Threaded

# The server is a thread of this process and draws random numbers of its own, which hypothesis takes for the test's.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

FLOW = """
name: shop
on: [chat]
steps:
  - id: reply
    uses: openai.make_chat_completion
    with:
      connection: rehearsal
      instructions: ${{ trigger.data.instructions }}
      message: ${{ trigger.text }}
      history: {messages: "${{ trigger.data.messages }}"}
outputs: {message: "${{ steps.reply.message }}"}
"""
VALID: dict[str, Any] = {
    "model": "p/gpt-4o-mini",
    "messages": [
        {"role": "system", "content": "You sell beans."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": "Ana"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "I worry about slugs."},
    ],
    "max_tokens": 20,
    "temperature": 0.5,
    "n": 1,
    "stop": ["x"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "response_format": {"type": "text"},
    "tools": [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "seed": 1,
    "logit_bias": {"1": 1},
    "user": "u",
}
STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    10**40,
    "",
    " ",
    "\0",
    "x" * 10_000,
    "ü\U0001f33f",
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"role": "wizard"},
    [{"role": "user"}] * 3,
    "flow/shop",
    "flow/",
    "p/",
    "/",
]


class Running(Threaded):
    """A server in a thread, and a provider behind it."""

    def __init__(self, home: Path, provider: Rehearsal) -> None:
        super().__init__(home)
        self._provider = provider

    async def prepare(self, app: App) -> None:
        stored = StoredConnection("p", "openai", "openai", {"base_url": self._provider.base_url})
        await asyncio.to_thread(app.store.connections.add, stored, {"api_key": Secret("sk-x")})
        await publish(FLOW, app.flows, app.connections)

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
        """Status, content type and body of one answer."""
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with ExitStack() as stack:
        provider = stack.enter_context(Rehearsal.in_thread())
        yield stack.enter_context(Running(tmp_path_factory.mktemp("fuzz"), provider))


def judged(running: Running, body: bytes) -> dict[str, Any] | None:
    """The error of an answer that is one, in the protocol's shape; fails for anything that no client expects."""
    status, kind, answer = running.post(body)
    if status == 200:
        assert kind in ("application/json", "text/event-stream")
        return None
    assert 400 <= status < 500, (status, body[:300], answer[:300])
    error: dict[str, Any] = json.loads(answer)["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["message"]
    assert "Traceback" not in error["message"]
    return error


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*at, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A valid body with one to three places changed, and sometimes a byte of it."""
    value: Any = {**VALID, "model": draw(st.sampled_from(["p/gpt-4o-mini", "flow/shop", "gpt-4o-mini"]))}
    if draw(st.booleans()):
        value["stream"] = True
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(value))))
        value = replaced(value, path, draw(st.sampled_from(STRANGE) | st.text(max_size=20)))
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 4)) == 0 and data:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 2)) :]
    return data


def try_many(running: Running, examples: int) -> None:
    @given(bodies())
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    def whatever_comes(body: bytes) -> None:
        judged(running, body)

    whatever_comes()
    assert judged(running, json.dumps({**VALID, "stream": True}).encode()) is None


def test_damaged_requests_get_the_protocols_errors(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        try_many(running, 150)
    assert not caplog.records


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_very_many_damaged_requests_get_the_protocols_errors(running: Running) -> None:
    try_many(running, 20_000)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff\xfe{}", None),
        (b"\xef\xbb\xbf{}", None),
        (b'{"model": "p/gpt-4o-mini"}', "messages"),
        (b'{"model": 7, "messages": []}', "model"),
        (b'{"model": "p/gpt-4o-mini", "messages": NaN}', None),
        (b'{"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": "\xff"}]}', None),
        (b'{"model": "p/gpt-4o-mini", "messages": []}', None),
        (b'{"model": "p/gpt-4o-mini", "messages": [{"role": "wizard", "content": "x"}]}', None),
        (b'{"model": "p/gpt-4o-mini", "messages": "x", "stream_options": {}}', "stream_options"),
        (b'{"model": "p/gpt-4o-mini", "messages": [' + b"[" * 200_000 + b"]" * 200_000 + b"]}", None),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None),
        (b'{"model": "flow/shap", "messages": [{"role": "user", "content": "x"}]}', "model"),
        (b'{"model": "flow/shop", "messages": []}', "messages"),
        (b'{"model": "flow/shop", "messages": [{"role": "wizard", "content": "x"}]}', None),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_what_is_wrong_is_named(running: Running, body: bytes, param: str | None) -> None:
    error = judged(running, body)
    assert error is not None
    if param is not None:
        assert error["param"] == param


def test_a_key_that_comes_twice_is_no_riddle(running: Running) -> None:
    body = b'{"model": "p/none", "model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}'
    assert judged(running, body) is None


def test_ten_thousand_messages_are_answered(running: Running) -> None:
    messages = [{"role": ("user", "assistant")[at % 2], "content": f"Message {at}"} for at in range(9_999)]
    for model in ("p/gpt-4o-mini", "flow/shop"):
        assert judged(running, json.dumps({"model": model, "messages": messages}).encode()) is None


def test_a_bomb_is_not_unpacked(running: Running) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        status, _, answer = running.post(b"\x1f\x8b" + b"\0" * 1000, {"Content-Encoding": encoding})
        assert status == 415
        assert json.loads(answer)["error"]["code"] == "unsupported_encoding"
