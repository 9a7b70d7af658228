"""Every fault shows on the wire what it promises, read with a raw socket and not with a client."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from chatstep.rehearsal import FAULTS, Rehearsal

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
SCRIPT = "- reply: one two three four five\n  {}\n"
TEXT = "one two three four five"


async def dial(provider: Rehearsal, body: dict[str, Any], path: str = "/v1/chat/completions") -> tuple[Any, Any]:
    host, port = provider.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 26)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    return reader, writer


async def ask(fault: str, *, stream: bool = False, reply: bool = True, **extra: Any) -> bytes:
    """All bytes of the answer of a provider with this fault, to the end of the connection."""
    script = SCRIPT.format(f"fault: {fault}") if reply else f"- fault: {fault}"
    async with Rehearsal(script) as provider:
        reader, writer = await dial(provider, {**BODY, "stream": stream, **extra})
        answer = await reader.read(-1)
        writer.close()
        return bytes(answer)


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; a chunked body is put together, also one that was cut."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        whole = b""
        while (match := re.match(rb"([0-9a-f]+)\r\n", body)) and (size := int(match[1], 16)):
            whole += body[match.end() : match.end() + size]
            body = body[match.end() + size + 2 :]
        body = whole
    return int(first.split()[1]), headers, body


def events(answer: bytes) -> list[Any]:
    """What stands behind `data:` in each event, read as JSON where it is some."""
    found = [line.partition(b": ")[2] for line in parts(answer)[2].split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(data) if data.startswith(b"{") else data for data in found]


def text_of(found: list[Any]) -> str:
    deltas = [event["choices"][0]["delta"] for event in found if isinstance(event, dict) and event.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


# Errors


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529, 418])
async def test_status(status: int) -> None:
    got, headers, body = parts(await ask(f"{{status: {status}}}", reply=False))
    assert got == status
    assert headers["content-type"] == "application/json"
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("written", "header", "value"),
    [("2", "retry-after", "2"), ("0.5", "retry-after", "0.5"), ("300ms", "retry-after-ms", "300")],
)
async def test_retry_after(written: str, header: str, value: str) -> None:
    status, headers, _ = parts(await ask(f"{{status: 429, retry_after: {written}, should_retry: false}}", reply=False))
    assert (status, headers[header], headers["x-should-retry"]) == (429, value, "false")


async def test_retry_after_as_date() -> None:
    _, headers, _ = parts(await ask("{status: 503, retry_after: date+60}", reply=False))
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["retry-after"])


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    ],
)
async def test_money_codes(code: str) -> None:
    status, _, body = parts(await ask(f"{{code: {code}}}", reply=False))
    error = json.loads(body)["error"]
    assert (status, error["code"], error["type"]) == (429, code, "insufficient_quota")


async def test_code_with_param_and_filter() -> None:
    status, _, body = parts(await ask("{code: unsupported_parameter, param: max_tokens}", reply=False))
    assert (status, json.loads(body)["error"]["param"]) == (400, "max_tokens")
    status, _, body = parts(await ask("{code: content_filter}", reply=False))
    assert (status, json.loads(body)["error"]["innererror"]["code"]) == (400, "ResponsibleAIPolicyViolation")


async def test_html() -> None:
    status, headers, body = parts(await ask("{html: 503}", reply=False))
    assert (status, headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("flat_error", 400, {"object": "error", "code": 400}),
        ("text_error", 500, {"error": "something went wrong"}),
        ("{numeric_error: 402}", 402, {"error": {"message": "Credits are used up.", "code": 402}}),
        ("detail_error", 422, {}),
    ],
)
async def test_other_shapes_of_errors(fault: str, status: int, expected: dict[str, Any]) -> None:
    got, _, body = parts(await ask(fault, reply=False))
    value = json.loads(body)
    assert got == status
    for key, wanted in expected.items():
        assert value[key] == wanted or wanted.items() <= value[key].items()


async def test_nested_error_names_the_field() -> None:
    status, _, body = parts(await ask("{nested_error: messages.name}", reply=False))
    assert (status, json.loads(body)["message"]["detail"][0]["loc"]) == (422, ["body", "messages", "name"])


@pytest.mark.parametrize("stream", [False, True])
async def test_error_200(stream: bool) -> None:
    status, headers, body = parts(await ask("error_200", stream=stream))
    assert (status, headers["content-type"], list(json.loads(body))) == (200, "application/json", ["error"])


async def test_empty_error_and_redirect() -> None:
    assert parts(await ask("{empty_error: 503}", reply=False))[::2] == (503, b"")
    status, headers, _ = parts(await ask("redirect", reply=False))
    assert (status, headers["location"]) == (307, "http://127.0.0.1:9/elsewhere")


# Bodies


async def test_choices_null_and_empty() -> None:
    assert json.loads(parts(await ask("choices_null"))[2])["choices"] is None
    assert json.loads(parts(await ask("choices_empty"))[2])["choices"] == []
    assert all(event["choices"] is None for event in events(await ask("choices_null", stream=True))[:-1])


async def test_json_to_stream_and_stream_to_json() -> None:
    _, headers, body = parts(await ask("plain_json_to_stream", stream=True))
    assert (headers["content-type"], json.loads(body)["object"]) == ("application/json", "chat.completion")
    assert text_of(events(await ask("stream_to_plain"))) == TEXT


async def test_no_usage() -> None:
    assert json.loads(parts(await ask("no_usage"))[2])["usage"] is None
    found = events(await ask("no_usage", stream=True, stream_options={"include_usage": True}))
    assert all("usage" not in event for event in found[:-1])


async def test_empty_body_and_garbage() -> None:
    status, headers, body = parts(await ask("empty_body", reply=False))
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert await ask("garbage", reply=False) == bytes(range(256)) * 4


async def test_broken_json() -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(parts(await ask("broken_json"))[2])
    with pytest.raises(json.JSONDecodeError):
        events(await ask("broken_json", stream=True))


@pytest.mark.parametrize("stream", [False, True])
async def test_bom_and_invalid_utf8(stream: bool) -> None:
    assert parts(await ask("bom", stream=stream))[2].startswith(b"\xef\xbb\xbf")
    with pytest.raises(UnicodeDecodeError):
        parts(await ask("invalid_utf8", stream=stream))[2].decode()


async def test_gzip() -> None:
    _, headers, body = parts(await ask("gzip"))
    assert headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize("stream", [False, True])
async def test_big_body_is_a_valid_answer_of_that_size(stream: bool) -> None:
    _, headers, body = parts(await ask("{big_body: 3MB}", stream=stream))
    assert len(body) == 3_000_000
    assert json.loads(body.removeprefix(b"data: "))["choices"]
    assert stream or headers["content-length"] == "3000000"


async def test_big_body_is_never_held() -> None:
    """3 GB are promised, and come as fast as they are read; then we have seen enough."""
    async with Rehearsal("- fault: {big_body: 3GB}") as provider:
        reader, writer = await dial(provider, BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 3000000000" in head
        for _ in range(200):
            assert await reader.read(1 << 16)
        writer.close()


async def test_gzip_bomb_unpacks_to_its_size() -> None:
    _, headers, body = parts(await ask("{gzip_bomb: 20MB}"))
    assert headers["content-encoding"] == "gzip"
    assert len(body) < 40_000
    unpacked = gzip.decompress(body)
    assert len(unpacked) == 20_000_000
    assert set(json.loads(unpacked)["choices"][0]["message"]["content"]) == {"a"}


async def test_gzip_bomb_of_two_gigabytes_has_two_megabytes() -> None:
    _, _, body = parts(await ask("{gzip_bomb: 2GB}"))
    unpacker = zlib.decompressobj(31)
    assert len(unpacker.decompress(body, 1 << 20)) == 1 << 20
    assert 1_500_000 < len(body) < 3_000_000
    assert int.from_bytes(body[-4:], "little") == 2_000_000_000


@pytest.mark.parametrize("stream", [False, True])
async def test_endless(stream: bool) -> None:
    async with Rehearsal("- fault: endless") as provider:
        reader, writer = await dial(provider, {**BODY, "stream": stream})
        total = 0
        while total < 2_000_000:
            total += len(await reader.read(1 << 16))
        writer.close()


# Streams


async def test_no_done_and_no_finish_reason() -> None:
    found = events(await ask("no_done", stream=True))
    assert found[-1]["choices"][0]["finish_reason"] == "stop"
    found = events(await ask("no_finish_reason", stream=True))
    assert found[-1] == b"[DONE]"
    assert all(event["choices"][0]["finish_reason"] is None for event in found[:-1])


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        ("data", b'data: {"error":{"message":'),
        ("event", b'event: error\ndata: {"error":{'),
        ("flat", b'event: error\ndata: {"message":'),
        ("chunk", b'"finish_reason":"error"'),
    ],
)
async def test_error_in_stream(style: str, expected: bytes) -> None:
    body = parts(await ask(f"{{error_in_stream: {{after: 3, code: slow_down, style: {style}}}}}", stream=True))[2]
    blocks = body.split(b"\n\n")
    assert b"two" in blocks[2]
    assert expected in blocks[3]
    assert blocks[4] == b""


async def test_crlf_bare_and_split_data() -> None:
    body = parts(await ask("crlf", stream=True))[2]
    assert body.count(b"\r\n") == body.count(b"\n")
    body = parts(await ask("bare_data", stream=True))[2]
    assert b"data:{" in body
    assert b"data: {" not in body
    lines = parts(await ask("split_data", stream=True))[2].split(b"\n\n")[1].split(b"\n")
    assert len(lines) == 2
    assert json.loads(b"\n".join(line.removeprefix(b"data: ") for line in lines))["choices"]


async def test_comments_and_one_block() -> None:
    answer = await ask("comments", stream=True)
    assert parts(answer)[2].startswith(b": still working\n\nid: 0\nevent: message\ndata: ")
    assert text_of(events(answer)) == TEXT
    raw = (await ask("one_block", stream=True)).partition(b"\r\n\r\n")[2]
    assert len(re.findall(rb"(?m)^[0-9a-f]+\r\n", raw)) == 2


async def test_no_last_blank_line_and_after_done() -> None:
    assert parts(await ask("no_last_blank_line", stream=True))[2].endswith(b"}")
    found = events(await ask("after_done", stream=True))
    assert found[-3::2] == [b"[DONE]", b"[DONE]"]


async def test_split_surrogates() -> None:
    body = parts(await ask("split_surrogates", stream=True))[2]
    assert re.search(rb'"content": " \\ud83d".*\n\ndata: .*"content": "\\ude42"', body)
    text = text_of(events(await ask("split_surrogates", stream=True)))
    assert text.encode("utf-16-le", "surrogatepass").decode("utf-16-le") == TEXT + " \U0001f642"


async def test_retry_lines_only() -> None:
    assert parts(await ask("{retry_lines_only: 500}", stream=True))[2] == b"retry: 3000\n\n" * 500


async def test_empty_first_choices() -> None:
    found = events(await ask("empty_first_choices", stream=True))
    assert found[0]["choices"] == []
    assert text_of(found) == TEXT


async def test_empty_length() -> None:
    answer = json.loads(parts(await ask("empty_length", max_completion_tokens=64))[2])
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 64
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 64
    found = events(await ask("{empty_length: {no_content: true}}", stream=True, stream_options={"include_usage": True}))
    assert text_of(found) == ""
    assert found[-2]["usage"]["completion_tokens"] == 256


async def test_tool_call_and_thoughts() -> None:
    message = json.loads(parts(await ask("{tool_call: find_order}", reply=False))[2])["choices"][0]
    assert message["finish_reason"] == "tool_calls"
    assert message["message"]["tool_calls"][0]["function"]["name"] == "find_order"
    found = events(await ask("tool_call", stream=True, reply=False))
    assert found[1]["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert json.loads(parts(await ask("thoughts"))[2])["choices"][0]["message"]["reasoning_content"]
    assert "reasoning_content" in events(await ask("thoughts", stream=True))[1]["choices"][0]["delta"]


# The connection


async def test_slow_first_byte_sends_nothing_before() -> None:
    loop = asyncio.get_running_loop()
    async with Rehearsal("- fault: {slow_first_byte: 0.2}") as provider:
        start = loop.time()
        reader, writer = await dial(provider, BODY)
        assert await reader.read(1) == b"H"
        assert loop.time() - start >= 0.19
        writer.close()


async def test_dribble() -> None:
    assert text_of(events(await ask("dribble", stream=True))) == TEXT
    async with Rehearsal("- fault: {dribble: {bytes: 1, every: 0.02}}") as provider:
        reader, writer = await dial(provider, BODY)
        await reader.readuntil(b"\r\n\r\n")
        assert [len(await reader.read(100)) for _ in range(5)] == [1] * 5
        writer.close()


@pytest.mark.parametrize("fault", ["{stall: 40}", "hang"])
async def test_stall_and_hang_keep_the_connection(fault: str) -> None:
    async with Rehearsal(f"- fault: {fault}") as provider:
        reader, writer = await dial(provider, BODY)
        got = len((await reader.readuntil(b"\r\n\r\n") and await reader.readexactly(40)) if "stall" in fault else b"")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        assert got == (40 if "stall" in fault else 0)
        writer.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_cut_at_every_byte(stream: bool) -> None:
    """Cut after n bytes of the body, exactly n come; cut in the whole response, exactly n of that."""
    whole = await ask("gzip", stream=stream)
    for place in (0, 1, 60, 150):
        answer = await ask(f"{{cut_at: {place}}}", stream=stream)
        assert len(parts(answer)[2]) == place
        assert not answer.endswith(b"0\r\n\r\n")
    for place in (0, 5, 100):
        assert len(await ask(f"{{cut_at: {place}, of: response}}", stream=stream)) == place
    assert whole


async def test_cut_by_reset() -> None:
    async with Rehearsal("- fault: {cut_at: 10, how: reset}") as provider:
        reader, writer = await dial(provider, BODY)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


async def test_floods() -> None:
    answer = await ask("{early_hints: 10000}")
    assert answer.count(b"HTTP/1.1 103 Early Hints\r\n") == 10_000
    assert parts(answer[answer.index(b"HTTP/1.1 200") :])[0] == 200
    assert (await ask("{header_flood: 5000}")).count(b"\r\nx-flood-") == 5_000
    assert len(parts(await ask("{long_header: 1MB}"))[1]["x-long"]) == 1_000_000


async def test_wrong_length() -> None:
    _, headers, body = parts(await ask("{wrong_length: 7}"))
    assert int(headers["content-length"]) == len(body) + 7


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_faults_for_the_other_kind_of_request_leave_it_whole(name: str) -> None:
    applies = FAULTS[name].applies
    if applies == "always":
        assert FAULTS[name].help
        return
    stream = applies == "plain"
    answer = await ask(name, stream=stream)
    got = text_of(events(answer)) if stream else json.loads(parts(answer)[2])["choices"][0]["message"]["content"]
    assert got == TEXT


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_is_tried_above(name: str) -> None:
    """A new fault without a test of its own fails here."""
    assert re.search(rf'["\s]\{{{{0,2}}{name}\b', Path(__file__).read_text("utf-8"))
