"""Scripts: what their rules do, and that a wrong one is refused with its line and the nearest name."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.rehearsal import FAULTS, Rehearsal, Script, load_script


class Talk:
    """A provider with a script, and one question after the other."""

    def __init__(self, script: str | Path | Script) -> None:
        self.provider = Rehearsal(script)

    async def __aenter__(self) -> Talk:
        await self.provider.start()
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.provider.stop()

    async def ask(self, text: str = "Hi", headers: dict[str, str] | None = None, **body: Any) -> tuple[int, Any]:
        request = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **body}
        address = f"{self.provider.base_url}/chat/completions"
        async with self.session.post(address, json=request, headers=headers) as answer:
            return answer.status, json.loads(await answer.text()) if not body.get("stream") else await answer.text()

    async def text(self, text: str = "Hi", **more: Any) -> str | None:
        status, answer = await self.ask(text, **more)
        if status != 200:
            return str(answer["error"]["code"])
        content = answer["choices"][0]["message"]["content"]
        assert content is None or isinstance(content, str)
        return content


async def test_first_match_wins_and_groups_are_filled_in() -> None:
    script = r"""
    - when: '(?i)my name is (?P<name>\w+)'
      reply: 'Hello \1, \g<name>! \2 \g<other>'
    - when: name
      reply: Which name?
    - reply: Something else
    """
    async with Talk(script) as talk:
        assert await talk.text("MY NAME IS Ana") == r"Hello Ana, Ana! \2 \g<other>"
        assert await talk.text("a name") == "Which name?"
        assert await talk.text("x") == "Something else"


async def test_what_people_write_is_never_a_pattern_or_a_template() -> None:
    async with Talk(r"- {when: 'say (.*)', reply: '\1'}") as talk:
        assert await talk.text(r"say \1 \g<0> {0} ${{ x }}") == r"\1 \g<0> {0} ${{ x }}"


async def test_conditions() -> None:
    script = """
    - {when: {nth: 2}, reply: second}
    - {when: {model: '^gpt-4o$', header: {X-Team: '^red$'}}, reply: red}
    - {when: {stream: true}, reply: streamed}
    - {when: {text: hello, model: mini}, reply: mini}
    """
    async with Talk(script) as talk:
        assert await talk.text(headers={"x-team": "red"}) == "red"
        assert await talk.text() == "second"
        assert "streamed" in (await talk.ask(stream=True))[1]
        assert await talk.text("hello", model="gpt-4o-mini") == "mini"
        assert await talk.text("hello", headers={"x-team": "blue"}) == "not_expected"


async def test_times_and_what_was_not_expected() -> None:
    script = "- {times: 2, reply: twice}\n- {when: secret word, reply: x}\n"
    async with Talk(script) as talk:
        assert [await talk.text(), await talk.text()] == ["twice", "twice"]
        status, answer = await talk.ask("my private text")
        assert status == 400
        message = answer["error"]["message"]
        assert message.startswith("The script did not expect request 3: POST /v1/chat/completions, model 'gpt-4o'")
        assert "rules[0] (line 1): used up (2 of 2)" in message
        assert "rules[1] (line 2): another text" in message
        assert "private" not in message
        assert talk.provider.unexpected == [message.partition("expect ")[2].partition(". rules")[0]]
        talk.provider.reset()
        assert await talk.text() == "twice"
        assert talk.provider.unexpected == []
        assert talk.provider.requests[-1].number == 1


async def test_otherwise_converse() -> None:
    async with Talk("{otherwise: converse, rules: [{when: x, reply: y}]}") as talk:
        assert await talk.text("hello") == "Hello! What can I do for you today?"
    async with Talk("window: 100") as talk:
        assert await talk.text("hello") == "Hello! What can I do for you today?"


async def test_refusal_filter_reasoning_and_finish_reason() -> None:
    script = """
    - {when: a, refusal: I must not}
    - {when: b, filter: true, reply: So far}
    - {when: c, filter: prompt}
    - {when: d, reasoning: 100, reply: one two three}
    - {when: e, finish_reason: function_call, reply: x}
    """
    async with Talk(script) as talk:
        _, answer = await talk.ask("a")
        assert answer["choices"][0]["message"]["content"] is None
        assert answer["choices"][0]["message"]["refusal"] == "I must not"
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert '"delta":{"refusal":"I"}' in (await talk.ask("a", stream=True))[1]
        _, answer = await talk.ask("b")
        assert answer["choices"][0]["finish_reason"] == "content_filter"
        assert answer["choices"][0]["message"]["content"] == "So far"
        status, answer = await talk.ask("c")
        assert (status, answer["error"]["code"]) == (400, "content_filter")
        for limit, text, total, finish in (
            (None, "one two three", 103, "stop"),
            (102, "one two", 102, "length"),
            (100, "", 100, "length"),
            (50, "", 50, "length"),
        ):
            _, answer = await talk.ask("d", max_completion_tokens=limit)
            assert answer["choices"][0]["message"]["content"] == text
            assert answer["choices"][0]["finish_reason"] == finish
            assert answer["usage"]["completion_tokens"] == total
            assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == min(100, limit or 100)
        assert (await talk.ask("e"))[1]["choices"][0]["finish_reason"] == "function_call"


async def test_chunks_usage_model_and_headers() -> None:
    script = """
    - {when: a, chunks: ['He', 'l', 'lo'], model: other-1, headers: {X-Should-Retry: 'true'}}
    - {when: b, chunks: 2, reply: Hello}
    - {when: c, reply: x, usage: {completion_tokens: 7, prompt_tokens_details: {cached_tokens: 3}}}
    - {when: d, reply: x, usage: false}
    """
    async with Talk(script) as talk:
        _, stream = await talk.ask("a", stream=True)
        assert [f'"content":"{piece}"' in stream for piece in ("He", "l", "lo")] == [True] * 3
        assert '"model":"other-1"' in stream
        assert await talk.text("a") == "Hello"
        _, stream = await talk.ask("b", stream=True)
        assert [f'"content":"{piece}"' in stream for piece in ("He", "ll", "o")] == [True] * 3
        usage = (await talk.ask("c"))[1]["usage"]
        assert (usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (7, 3)
        assert (await talk.ask("d"))[1]["usage"] is None


async def test_rules_for_other_paths() -> None:
    script = "- {when: {path: models}, fault: {status: 401}}\n- {reply: x}"
    async with Talk(script) as talk:
        async with talk.session.get(f"{talk.provider.base_url}/models") as answer:
            assert answer.status == 401
        assert await talk.text() == "x"


async def test_from_a_file_and_from_values(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("\ufeff- reply: from a file\n", "utf-8")
    for script in (path, str(path), load_script(path)):
        async with Talk(script) as talk:
            assert await talk.text() == "from a file"


async def test_examples_do_what_they_say() -> None:
    folder = Path(__file__).parent.parent / "examples" / "rehearsal"
    async with Talk(folder / "shop.yaml") as talk:
        assert (await talk.text("Where is order no. 1234?", model="rehearsal") or "").startswith("Order 1234 left")
        assert await talk.text("hello", model="rehearsal") == "Hello! What can I do for you today?"
        assert await talk.text("hello", model="gpt-5") == "model_not_found"
    async with Talk(folder / "bad_day.yaml") as talk:
        assert [(await talk.ask())[0] for _ in range(3)] == [429, 503, 200]
        with pytest.raises(aiohttp.ClientError):
            await talk.ask(stream=True)
        assert "back." in (await talk.ask(stream=True))[1]
    async with Talk(folder / "strict_server.yaml") as talk:
        assert await talk.text(model="local-7b", max_completion_tokens=5) == "unsupported_parameter"
        assert await talk.text(model="local-7b", max_tokens=4096) == "context_length_exceeded"
        assert (await talk.ask(model="local-7b", max_tokens=5))[0] == 200


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_every_fault_may_befall_the_list_of_models(fault: str) -> None:
    """No fault breaks the server itself, also where there is no completion to spoil."""
    async with Talk(f"- {{when: {{path: models}}, times: 1, fault: {fault}}}\n- reply: x") as talk:
        try:
            async with (
                asyncio.timeout(0.2),
                talk.session.get(f"{talk.provider.base_url}/models", allow_redirects=False) as answer,
            ):
                body = await answer.content.read(100)
            assert b"Internal Server Error" not in body
        except (aiohttp.ClientError, TimeoutError):
            pass
        assert await talk.text() == "x"


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("rulez: []", 1, "rulez", "Did you mean `rules`?"),
        ("- reply: x\n- replay: y", 2, "rules[1].replay", "Did you mean `reply`?"),
        ("- reply: [x]", 1, "rules[0].reply", "Expected text, got a list."),
        ("- reply: 5", 1, "rules[0].reply", "got a whole number. Put it in quotes."),
        ("- reply: x\n  when: '('", 2, "rules[0].when", "Not a regular expression"),
        ("- when: {txt: x}", 1, "rules[0].when.txt", "Did you mean `text`?"),
        ("- when: {stream: maybe}", 1, "rules[0].when.stream", "Expected true or false"),
        ("- when: {nth: 0}", 1, "rules[0].when.nth", "at least 1"),
        ("- fault: htm", 1, "rules[0].fault.htm", "Did you mean `html`?"),
        ("- fault: {htm: 5}", 1, "rules[0].fault.htm", "Did you mean `html`?"),
        ("- fault: {html: many}", 1, "rules[0].fault.html", "Expected a whole number"),
        ("- fault: {cut_at: 5, hov: fin}", 1, "rules[0].fault.hov", "Did you mean `how`?"),
        ("- fault: {cut_at: 5, how: soft}", 1, "rules[0].fault.how", "Write one of: fin, reset."),
        ("- fault: {dribble: {byte: 1}}", 1, "rules[0].fault.dribble.byte", "Did you mean `bytes`?"),
        ("- fault: {big_body: 3 parrots}", 1, "rules[0].fault.big_body", "3GB"),
        ("- fault: {status: 429, retry_after: soon}", 1, "rules[0].fault.retry_after", "Not a time to wait"),
        ("- fault: {no_done: 5}", 1, "rules[0].fault.no_done", "takes no parameter"),
        ("- fault: {}", 1, "rules[0].fault", "A fault needs a name."),
        ("- {reply: x, fault: html}", 1, "rules[0].reply", "never sent beside this fault"),
        ("- delay: -1", 1, "rules[0].delay", "0 seconds or more"),
        ("- delay: .nan", 1, "rules[0].delay", "0 seconds or more"),
        ("- headers: {'x y': z}", 1, "rules[0].headers.x y", "Not a header."),
        ('- headers: {x: "a\\r\\nb"}', 1, "rules[0].headers.x", "Not a header."),
        ("- 5", 1, "rules[0]", "Expected a mapping"),
        ("a: 1\nwindow: x", 1, "a", "Known here"),
        ("rules: []\nwindow: x", 2, "window", "Expected a whole number"),
        ("limit_field: tokens", 1, "limit_field", "Write one of"),
        ("models: [{name: x}]", 1, "models[0].name", "Known here"),
        ("models: [{id: x, shutdown_date: soon}]", 1, "models[0].shutdown_date", "2027-01-14"),
        ("5: x", 1, "5", "A key must be text"),
        ("just words", 1, "", "Expected a mapping, got text."),
    ],
)
def test_wrong_scripts(text: str, line: int, path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_script(text)
    assert caught.value.place == f"script line {line}" + (f", {path}" if path else "")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t- x", "a: 1\na: 2", "- *x", "\x00", "[" * 1000])
def test_what_is_no_yaml(text: str) -> None:
    with pytest.raises(InvalidInput, match="Not YAML"):
        load_script(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="cannot be read"):
        load_script(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"- reply: caf\xe9")
    with pytest.raises(UnreadableFile, match="not UTF-8"):
        load_script(tmp_path / "b.yaml")


def test_empty_scripts_converse() -> None:
    assert load_script("").otherwise == "converse"
    assert load_script("# nothing\n").rules == []
