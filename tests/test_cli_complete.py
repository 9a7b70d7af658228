"""`chatstep complete`: what it sends, what it prints where, and its dry run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chatstep.cli.options import OTHER_INPUTS, OWN_OPTIONS
from chatstep.modules.openai.inputs import MakeChatCompletion
from chatstep.rehearsal import Rehearsal
from command_line import KEY, TALK, Commands

Serve = Callable[..., Rehearsal]


def test_the_reply_is_all_that_stdout_gets(chatstep: Commands, serve: Serve) -> None:
    """The warning of a reply that was cut, and the summary, go to stderr."""
    serve("- reply: One two three four five six seven eight.\n")
    result = chatstep("complete", "Hi", "--max-tokens", "3", "-v")
    assert result.stdout == "One two three\n"
    assert "cut by Max Tokens" in result.stderr
    assert "3 tokens" in result.stderr


@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_the_message_may_come_from_stdin(chatstep: Commands, serve: Serve, way: str) -> None:
    """Without its last line end, and without a byte order mark."""
    provider = serve("- reply: Fine.\n")
    assert chatstep("complete", way, input="\ufeffHow are you?\nWell?\n").stdout == "Fine.\n"
    assert chatstep("complete", "-", way, input="Two").stdout == "Fine.\n"
    assert [request.body["messages"][-1]["content"] for request in provider.requests] == ["How are you?\nWell?", "Two"]
    assert provider.requests[0].stream is (way == "--stream")


def test_options_reach_the_request(chatstep: Commands, serve: Serve) -> None:
    """Those of their own, -o, and fields that chatstep does not know."""
    provider = serve("- reply: ok\n")
    chatstep(
        *("complete", "Hi", "-m", "gpt-4o", "--system", "Answer in json.", "--max-tokens", "99", "--speakers", "off"),
        *("-o", "temperature", "0.5", "-o", "stop", '["a", "b"]', "-o", "seed", "7", "-o", "extra.user", "u1"),
        *("-o", "response_format", '{"type": "json_object"}', "-o", "extra.logit_bias", '{"50256": 1}'),
    )
    (request,) = provider.requests
    sent = {key: value for key, value in request.body.items() if key not in ("stream", "stream_options")}
    assert sent == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Answer in json."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 99,
        "temperature": 0.5,
        "stop": ["a", "b"],
        "seed": 7,
        "user": "u1",
        "response_format": {"type": "json_object"},
        "logit_bias": {"50256": 1},
    }


def test_every_input_has_its_option() -> None:
    """A field that the step gains must be reachable; help texts tell the true defaults."""
    assert set(OTHER_INPUTS) | set(OWN_OPTIONS) == set(MakeChatCompletion.__struct_fields__) | {
        "assistant",
        "max_completion_tokens",
        "max_output_tokens",
    }
    assert (MakeChatCompletion(connection="c").model, MakeChatCompletion(connection="c").max_tokens) == (
        "gpt-4o-mini",
        256,
    )


def test_the_whole_completion_as_json(chatstep: Commands, serve: Serve) -> None:
    """The names are those of the step's output."""
    serve("- reply: Good day.\n")
    done = chatstep.json("complete", "Hi", "-o", "part_length", "20")
    assert done["message"] == "Good day."
    assert done["finish_reason"] == "stop"
    assert done["truncated"] is False
    assert done["usage"]["prompt"] > 0
    assert done["message_parts"] == ["Good day."]
    assert done["cost"] == "unknown"
    assert done["attempts"] == 1


def test_an_error_as_json(chatstep: Commands, serve: Serve) -> None:
    """One line on stderr, nothing on stdout."""
    serve("- fault: {status: 401}\n")
    result = chatstep("complete", "Hi", "--json", code=11)
    assert result.stdout == ""
    error = json.loads(result.stderr)
    assert error["error"] == "credentials_refused"
    assert error["status"] == 401
    assert KEY not in result.stderr


def test_an_error_in_the_middle_of_a_stream(chatstep: Commands, serve: Serve) -> None:
    """What came is there, its line is ended, and the error follows on stderr."""
    serve("- reply: This is a longer reply that breaks.\n  fault: {cut_at: 900}\n")
    result = chatstep("complete", "Hi", code=34)
    assert result.stdout.startswith("This")
    assert result.stdout.endswith("\n")
    assert result.stderr.startswith("Error: The answer was cut off")


def test_what_the_provider_said_is_told(chatstep: Commands, serve: Serve) -> None:
    """A refusal's own words stand below the error."""
    serve("- refusal: I would rather not.\n")
    assert "The model said: I would rather not." in chatstep("complete", "Hi", code=32).stderr


def test_the_model_that_is_set(chatstep: Commands, serve: Serve) -> None:
    """By variable or file; an option and the demo's own model go before it."""
    provider = serve("- reply: Yes.\n")
    chatstep.env["CHATSTEP_MODEL"] = "llama3.2"
    chatstep("complete", "Hi")
    chatstep("complete", "Hi", "-m", "own")
    chatstep("connections", "test", "environment")
    assert "(exact)" not in chatstep("complete", "Hi", "--dry-run", "--connection", "environment").stdout
    assert [request.model for request in provider.requests if request.body] == ["llama3.2", "own", "llama3.2"]
    assert "in the part of gpt-4o-mini" in chatstep("demo").stdout
    del chatstep.env["OPENAI_BASE_URL"], chatstep.env["OPENAI_API_KEY"]
    assert json.loads(chatstep("complete", "Hi", "--dry-run", "--json").stdout)["model"] == "llama3.2"


def test_how_often_was_asked_is_told(chatstep: Commands, serve: Serve) -> None:
    serve("- fault: {status: 503, retry_after: 0}\n")
    assert "\n  It was asked 5 times.\n" in chatstep("complete", "Hi", code=22).stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["Hi", "--max-tokens", "0"], 2, "max_tokens: Must be 1 or more"),
        (["Hi", "--max-tokens", "-1"], 2, "max_tokens: Must be 1 or more"),
        (["Hi", "--max-tokens", "many"], 2, "Error: --max-tokens: 'many' is not a valid integer."),
        (["Hi", "--model", ""], 2, "model: "),
        (["Hi", "--speakers", "nmae"], 3, "Did you mean 'name'?"),
        (["Hi", "--connection", "rehearsel"], 3, "Did you mean 'rehearsal'?"),
        (["Hi", "-o", "temprature", "1"], 3, "Did you mean 'temperature'? For a field of the request's body"),
        (["Hi", "-o", "temperature", "warm"], 2, "-o temperature: Expected a number"),
        (["Hi", "-o", "temperature", "3"], 2, "temperature: Must be a number from 0 to 2"),
        (["Hi", "-o", "max_tokens", "3"], 2, "Use --max-tokens."),
        (["Hi", "-o", "seed", "x"], 2, "-o seed: Expected a whole number"),
        (["Hi", "-o", "response_format", "json"], 2, "Expected a JSON object"),
        (["Hi", "-o", "stop", "[1]"], 2, "JSON list of texts"),
        (["Hi", "-o", "extra.messages", "[]"], 2, "extra.messages"),
        (["Hi", "--assistant", "Robo"], 2, "--assistant"),
        (["Hi", "--json", "--stream"], 2, "cannot be streamed"),
        (["-", "--history", "-"], 2, "both come from stdin"),
        (["\udcff"], 2, "message: The text is not UTF-8 (character 1)"),
        (["Hi", "-s", "a\udcff"], 2, "instructions: The text is not UTF-8 (character 2)"),
        (["Hi", "--colour"], 2, "No such option"),
        (["Hi", "--max-tokens", "many", "--json"], 2, "'many' is not a valid integer."),
        (["Hi", "you"], 2, "See `chatstep complete --help`."),
        ([""], 2, "message: There is nothing to send"),
    ],
)
def test_wrong_input(chatstep: Commands, args: list[str], code: int, said: str) -> None:
    """One error with its place; nothing on stdout."""
    if "--connection" not in args:
        args = [*args, "--connection", "rehearsal"]
    result = chatstep("complete", *args, code=None)
    assert said in result.stderr or said in str(json.loads(result.stderr).get("message"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"caf\xe9", 4, "stdin: The message is not UTF-8 (byte 4)"),
        ("\udc80x".encode(errors="surrogatepass"), 4, "not UTF-8 (byte 1)"),
        (b"ab\0c", 2, "NUL character (position 3)"),
        (b"", 2, "message: There is nothing to send"),
        (b"word " * 1_000_000, 5, "message: "),
    ],
)
def test_wrong_stdin(chatstep: Commands, data: bytes, code: int, said: str) -> None:
    """Text that is none, a binary file, nothing, and 5 MB."""
    assert said in chatstep("complete", "--connection", "rehearsal", input=data, code=code).stderr


def test_a_first_try_without_any_connection(chatstep: Commands) -> None:
    """The error says how to get one."""
    assert "OPENAI_API_KEY" in chatstep("complete", "Hi", code=2).stderr


@pytest.mark.parametrize("way", ["plain", "stream"])
def test_the_dry_run_shows_the_very_bytes(chatstep: Commands, serve: Serve, way: str) -> None:
    """What `--dry-run --json` writes is what the provider receives."""
    provider = serve("- reply: ok\n")
    history = chatstep.file("talk.json", TALK)
    args = ["complete", "And lunch?", "--history", history, "--assistant", "Robo", "-s", "Be brief.", "-o", "seed", "4"]
    looked = chatstep(*args, "--dry-run", "--json", *(["--stream"] if way == "stream" else []))
    assert provider.requests == []
    chatstep(*args, *(["--json"] if way == "plain" else []))
    assert looked.stdout_bytes == provider.requests[0].raw
    assert json.loads(looked.stdout_bytes).get("stream", False) is (way == "stream")


def test_the_dry_run_needs_no_key_and_no_connection(chatstep: Commands) -> None:
    """It tells who counts as whom, what is left out and what it may cost."""
    talk = [{"author": "Ana", "text": f"Message {at} " + "word " * 40} for at in range(40)]
    talk += [{"author": "Robo", "text": "Yes."}, {"author": "Zoë 🌿", "text": "No."}]
    history = chatstep.file("talk.json", {"assistant": "Robo", "messages": talk})
    shown = chatstep("complete", "--history", history, "--dry-run", "-o", "history_tokens", "300").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert any(line.startswith("Robo assistant –") for line in lines)
    assert any(line.startswith("Ana user name Ana") for line in lines)
    assert any(line.startswith("Zoë 🌿 user name Zoe ") for line in lines)
    assert any(line.startswith("Left out messages 1 to") and "do not fit" in line for line in lines)
    assert any(line.startswith("Prompt ") and "exact" in line for line in lines)
    assert any(line.startswith("Cost $0.0") and "longest reply" in line for line in lines)
    assert any("sent as max_completion_tokens" in line for line in lines)


def test_the_dry_run_says_what_it_does_not_know(chatstep: Commands) -> None:
    """An unknown model has no price, and its tokens are estimated."""
    shown = chatstep("complete", "Hi", "-m", "nobody-knows-this", "--dry-run").stdout
    assert "unknown" in shown
    assert "an estimate" in shown


def test_terminal_codes_of_a_model_are_only_passed_to_programs(chatstep: Commands, serve: Serve) -> None:
    """A pipe gets the reply as it is; what a person sees has none of them (see test_cli_terminal)."""
    serve('- reply: "a\\e[31mb"\n')
    assert chatstep("complete", "Hi").stdout == "a\x1b[31mb\n"


def test_a_key_is_in_no_output(chatstep: Commands, serve: Serve, caplog: Any) -> None:
    """Also with the most talkative logging, and when the server fails."""
    serve("- fault: {html: 403}\n")
    chatstep.env["CHATSTEP_LOG"] = "debug"
    result = chatstep("complete", "my-secret-text", code=None)
    assert result.exit_code != 0
    assert KEY not in result.output
    assert "my-secret-text" not in result.output
    assert "chatstep.http" in result.stderr
