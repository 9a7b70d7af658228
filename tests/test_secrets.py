"""Promise 3: a key appears nowhere but sealed in the store, whatever goes wrong and however much is logged."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest

from chatstep.app import App
from chatstep.errors import ChatstepError
from chatstep.modules.openai.offered import ask_for_all
from chatstep.rehearsal import FAULTS, Rehearsal
from chatstep.secret import Secret
from chatstep.settings import Settings
from chatstep.store import StoredConnection
from raw_server import Exchange, RawServer

MARKER = "sk-marker-0123456789-never-to-be-seen"
ENDLESS = {"hang", "stall", "endless", "retry_lines_only", "early_hints", "slow_first_byte", "big_body", "gzip_bomb"}


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(MARKER)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", str([secret]), str(vars)):
        assert MARKER not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)


async def ask(app: App, connection: str, *, stream: bool) -> str:
    """What a person may come to see of a reply."""
    if not stream:
        return repr(await app.complete("Hello", connection=connection, max_tokens=40))
    async with app.stream("Hello", connection=connection) as pieces:
        text = "".join([piece async for piece in pieces])
    return text + repr(pieces.completion)


def shown(error: ChatstepError, *, variables: bool = True) -> list[str]:
    """What a person may come to see of an error: also the variables of every frame, as some loggers print them."""
    trace = error.__traceback__.tb_next if error.__traceback__ else None  # without the test's own frame
    frames = traceback.TracebackException(type(error), error, trace, capture_locals=variables)
    return [str(error), repr(error), repr(error.to_data()), pickle.dumps(error).decode("latin-1"), *frames.format()]


async def test_no_key_anywhere_after_every_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    settings = Settings(home=tmp_path / "home", log="debug")
    seen: list[str] = []
    async with App.open(settings, {"OPENAI_API_KEY": MARKER}) as app:
        for name in FAULTS:
            script = f"rules:\n  - fault: {name}\n"
            async with Rehearsal(script) as provider:
                where = {"base_url": provider.base_url, "tries": "2", "timeout": "0.5" if name in ENDLESS else "5"}
                stored = StoredConnection(name, "openai", "openai", where)
                app.store.connections.add(stored, {"api_key": Secret(MARKER)})
                for stream in (False, True):
                    try:
                        seen.append(await ask(app, name, stream=stream))
                    except ChatstepError as error:
                        seen += shown(error)
                seen.append(repr(provider.requests))
                assert provider.requests or name == "garbage"
        seen += [repr(app), repr(vars(app)), repr(app.connections.all()), repr(vars(app.connections))]
        seen += [repr(vars(opened)) for opened in vars(app.connections)["_open"].values()]
    out, err = capfd.readouterr()
    seen += [caplog.text, out, err]
    told = [text[max(0, text.find(MARKER) - 200) : text.find(MARKER) + 40] for text in seen if MARKER in text]
    assert not told, told[0]
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert len(files) >= 2  # the store and the sealing key
    for path in files:
        assert MARKER.encode() not in path.read_bytes(), path


PLAIN = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1f"  # nothing in it tells that it is a key
REPEATS = {
    "error": lambda pad: json.dumps({"error": dict.fromkeys(("message", "type", "param", "code"), f"{pad}{PLAIN}")}),
    "words": lambda pad: f"<p>{pad} {PLAIN}</p>",
    "answer": lambda pad: json.dumps({"model": PLAIN, "choices": [{"message": {"content": "Hi"}}]}),
    "event": lambda pad: f"data: {pad}{PLAIN}\n\n",
}


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_server_that_repeats_the_key_everywhere(tmp_path: Path, repeat: str, status: int) -> None:
    """Also where what it says is cut in the middle of the key: no eight characters of it are left in a row."""
    pad = ""

    async def answer(exchange: Exchange) -> None:
        await exchange.reply(status, REPEATS[repeat](pad).encode(), x_request_id=f"for {PLAIN}")

    seen: list[str] = []
    async with RawServer(answer) as server, App.open(Settings(home=tmp_path / "home"), {}) as app:
        where = {"base_url": server.url.removesuffix("/chat/completions"), "tries": "1"}
        app.store.connections.add(StoredConnection("k", "openai", "openai", where), {"api_key": Secret(PLAIN)})
        connection = await app.connections.get("k")
        for length in (0, *range(160, 305, 4)):
            pad = "." * length
            for call in (ask(app, "k", stream=False), ask(app, "k", stream=True), ask_for_all(app.context, connection)):
                try:
                    seen.append(repr(await call))
                except ChatstepError as error:
                    seen += shown(error, variables=False)  # the very bytes that came are in some
        assert len(server.requests) == 3 * 38
    seen += [file.read_bytes().decode("latin-1") for file in (tmp_path / "home").iterdir()]
    parts = [PLAIN[at : at + 8] for at in range(len(PLAIN) - 7)]
    assert not [text for text in seen if any(part in text for part in parts)]
    assert any("***" in text for text in seen)


def test_a_word_that_stands_in_for_a_key_does_not_black_out_others() -> None:
    """Local servers take any key, and people give them `x` or `none`."""
    assert Secret("x").hidden("An exit") == "An exit"
    assert Secret("abcdefgh").hidden("abc abcdefgh abcdefg abcdefghi abcdefg") == "abc *** abcdefg ***i ***"
