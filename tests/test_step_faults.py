"""Everything a provider can do wrong, over a real socket: which error it becomes, and what it costs in requests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chatstep import errors
from chatstep.errors import ChatstepError
from chatstep.rehearsal import FAULTS
from stepping import Staging

BOTH = [False, True]
QUICK = {"tries": "1", "timeout": "20"}


async def failing(stage: Staging, fault: str, *, stream: bool, **options: Any) -> tuple[ChatstepError, Any]:
    """The error that a fault gives, and the stage it happened on."""
    on = await stage(f"rules:\n  - fault: {fault}\n", **{**QUICK, **options})
    with pytest.raises(ChatstepError) as caught:
        await on.ask(stream=stream)
    return caught.value, on


REFUSALS = [
    ("{status: 401}", errors.CredentialsRefused),
    ("{code: invalid_api_key}", errors.CredentialsRefused),
    ("{status: 403}", errors.CredentialsRefused),
    ("{status: 404}", errors.ModelUnavailable),
    ("{code: model_not_found}", errors.ModelUnavailable),
    ("{status: 408}", errors.TimedOut),
    ("{status: 409}", errors.ProviderDown),
    ("{status: 413}", errors.RequestRefused),
    ("{status: 429}", errors.RateLimited),
    ("{code: slow_down}", errors.RateLimited),
    ("{status: 500}", errors.ProviderDown),
    ("{status: 503}", errors.ProviderDown),
    ("{status: 529}", errors.ProviderDown),
    ("{code: server_is_overloaded}", errors.ProviderDown),
    ("{html: 502}", errors.ProviderDown),
    ("{html: 200}", errors.AnswerUnreadable),
    ("flat_error", errors.RequestRefused),
    ("{nested_error: seed}", errors.RequestRefused),
    ("{detail_error: seed}", errors.RequestRefused),
    ("{text_error: 500}", errors.ProviderDown),
    ("{numeric_error: 402}", errors.OutOfMoney),
    ("{error_200: server_error}", errors.ProviderDown),
    ("{error_200: insufficient_quota}", errors.OutOfMoney),
    ("{empty_error: 503}", errors.ProviderDown),
    ("redirect", errors.RequestRefused),
    ("{code: context_length_exceeded}", errors.ContextTooLong),
    ("{code: content_filter}", errors.RequestRefused),
    ("choices_null", errors.AnswerUnreadable),
    ("empty_body", errors.AnswerUnreadable),
    ("garbage", errors.AnswerUnreadable),
    ("broken_json", errors.AnswerUnreadable),
    ("invalid_utf8", errors.AnswerUnreadable),
    ("empty_length", errors.EmptyAnswer),
    ("tool_call", errors.UnexpectedToolCall),
    ("{header_flood: 20000}", errors.AnswerUnreadable),
    ("{long_header: 1MB}", errors.AnswerUnreadable),
    ("{cut_at: 0, of: response}", errors.Unreachable),
]


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize(("fault", "kind"), REFUSALS, ids=[fault for fault, _ in REFUSALS])
async def test_fault_is_its_own_error(stage: Staging, fault: str, kind: type[ChatstepError], stream: bool) -> None:
    if stream and fault == "choices_null":
        kind = errors.AnswerCut  # chunks without choices never finish
    error, on = await failing(stage, fault, stream=stream)
    assert type(error) is kind, repr(error)
    assert error.details["attempts"] == len(on.bodies) == 1
    assert "sk-" not in str(error) + repr(error.to_data())


MONEY = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
]


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize("code", MONEY)
async def test_money_costs_one_request(stage: Staging, code: str, stream: bool) -> None:
    """Also when the server asks to retry, and says when."""
    error, on = await failing(stage, f"{{code: {code}, should_retry: true, retry_after: 0}}", stream=stream, tries="5")
    assert type(error) is errors.OutOfMoney
    assert len(on.bodies) == 1


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize("wait", ["0", "10ms", "0.01"])
async def test_busy_is_asked_again(stage: Staging, wait: str, stream: bool) -> None:
    on = await stage(f"rules:\n  - fault: {{status: 429, retry_after: {wait}}}\n    times: 2\n  - reply: At last.\n")
    done = await on.ask(stream=stream)
    assert done.message == "At last."
    assert done.attempts == len(on.bodies) == 3


async def test_tries_are_bounded(stage: Staging) -> None:
    error, on = await failing(stage, "{status: 503, retry_after: 0}", stream=False, tries="3")
    assert type(error) is errors.ProviderDown
    assert error.details["attempts"] == len(on.bodies) == 3


async def test_should_retry_is_obeyed(stage: Staging) -> None:
    error, on = await failing(stage, "{status: 503, retry_after: 0, should_retry: false}", stream=False, tries="5")
    assert type(error) is errors.ProviderDown
    assert len(on.bodies) == 1


async def test_a_wait_beyond_patience_ends_the_call_and_names_it(stage: Staging) -> None:
    error, on = await failing(stage, "{status: 429, retry_after: 3600}", stream=False, tries="5")
    assert type(error) is errors.RateLimited
    assert error.details["retry_after"] == 3600
    assert len(on.bodies) == 1


STREAM_ONLY = [
    ("no_finish_reason", errors.AnswerCut),
    ("plain_json_to_stream", errors.AnswerUnreadable),
    ("{error_in_stream: {after: 2, code: server_error}}", errors.ProviderDown),
    ("{error_in_stream: {after: 2, code: rate_limit_exceeded}}", errors.RateLimited),
    ("{error_in_stream: {after: 2, code: insufficient_quota}}", errors.OutOfMoney),
    ("{error_in_stream: {after: 2, code: rate_limit_exceeded, style: event}}", errors.RateLimited),
    ("{error_in_stream: {after: 2, code: rate_limit_exceeded, style: flat}}", errors.RateLimited),
    ("{error_in_stream: {after: 2, code: rate_limit_exceeded, style: chunk}}", errors.RateLimited),
    ("{retry_lines_only: 500}", errors.AnswerUnreadable),
    ("{cut_at: 700, how: fin}", errors.AnswerCut),
    ("{cut_at: 700, how: reset}", errors.AnswerCut),
]


@pytest.mark.parametrize(("fault", "kind"), STREAM_ONLY, ids=[fault for fault, _ in STREAM_ONLY])
async def test_a_broken_stream_is_never_an_answer(stage: Staging, fault: str, kind: type[ChatstepError]) -> None:
    """It is asked for once: what came out already must not come out again."""
    error, on = await failing(stage, fault, stream=True, tries="5")
    assert type(error) is kind, repr(error)
    assert len(on.bodies) == 1


PLAIN_ONLY = [
    ("choices_empty", errors.AnswerUnreadable),
    ("stream_to_plain", errors.AnswerUnreadable),
    ("wrong_length", errors.Unreachable),
    ("{cut_at: 100, how: reset}", errors.Unreachable),
]


@pytest.mark.parametrize(("fault", "kind"), PLAIN_ONLY, ids=[fault for fault, _ in PLAIN_ONLY])
async def test_a_broken_body_is_never_an_answer(stage: Staging, fault: str, kind: type[ChatstepError]) -> None:
    error, on = await failing(stage, fault, stream=False)
    assert type(error) is kind, repr(error)
    assert len(on.bodies) == 1


async def test_partial_text_travels_in_the_error(stage: Staging) -> None:
    on = await stage("rules:\n  - reply: One two three four five six\n    fault: {cut_at: 900, how: reset}\n", **QUICK)
    pieces = []

    async def read() -> None:
        async with on.app.stream("Hello", connection="p") as stream:
            async for piece in stream:
                pieces.append(piece)

    with pytest.raises(errors.AnswerCut) as caught:
        await read()
    assert pieces
    assert caught.value.details["partial"] == "".join(pieces)
    assert "One two three four five six".startswith(caught.value.details["partial"])


HARMLESS = [
    "no_done",
    "crlf",
    "bare_data",
    "split_data",
    "comments",
    "one_block",
    "no_last_blank_line",
    "split_surrogates",
    "empty_first_choices",
    "after_done",
    "bom",
    "gzip",
    "thoughts",
    "no_usage",
    "dribble",
    "{early_hints: 50}",
]


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize("fault", HARMLESS)
async def test_odd_but_whole_answers_are_read(stage: Staging, fault: str, stream: bool) -> None:
    text = "Grüezi 👋🏽, the bakery opens at 7 — 好!"
    on = await stage(f"rules:\n  - reply: {text!r}\n    fault: {fault}\n", **QUICK)
    done = await on.ask(stream=stream)
    assert done.message == (f"{text} 🙂" if fault == "split_surrogates" and stream else text)
    assert done.finish_reason == "stop"
    assert not done.truncated
    assert done.usage.total > 0
    assert any("chatstep's own" in warning for warning in done.warnings) == (fault == "no_usage")


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
async def test_a_cut_reply_is_delivered_and_says_so(stage: Staging, stream: bool) -> None:
    on = await stage("rules:\n  - reply: one two three four five six seven eight nine ten\n")
    done = await on.ask(stream=stream, max_tokens=4)
    assert done.truncated
    assert done.finish_reason == "length"
    assert done.message
    assert done.usage.completion == 4
    assert any("Max Tokens" in warning for warning in done.warnings)


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
async def test_thinking_that_eats_the_limit_is_an_error_with_the_numbers(stage: Staging, stream: bool) -> None:
    on = await stage("rules:\n  - fault: empty_length\n")
    with pytest.raises(errors.EmptyAnswer) as caught:
        await on.ask(stream=stream, max_tokens=64)
    assert caught.value.details["usage"]["reasoning"] == 64
    assert "64" in caught.value.message
    assert "reasoning_room" in str(caught.value.hint)


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
async def test_refusal_and_filter(stage: Staging, stream: bool) -> None:
    on = await stage(
        "rules:\n  - refusal: I cannot help with that.\n    times: 1\n  - reply: Half of it\n    filter: true\n",
        **QUICK,
    )
    with pytest.raises(errors.AnswerRefused) as refused:
        await on.ask(stream=stream)
    assert refused.value.details["refusal"] == "I cannot help with that."
    with pytest.raises(errors.AnswerFiltered) as filtered:
        await on.ask(stream=stream)
    assert filtered.value.details["partial"] == "Half of it"


TOO_LONG = ["{slow_first_byte: 30}", "hang", "{stall: 60}", "{dribble: {bytes: 1, every: 0.2}}"]


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize("fault", TOO_LONG)
async def test_only_the_deadline_ends_it_and_nothing_is_asked_twice(stage: Staging, fault: str, stream: bool) -> None:
    error, on = await failing(stage, fault, stream=stream, timeout="1", tries="5")
    assert type(error) is errors.TimedOut
    assert error.details["phase"] == "total"
    assert len(on.bodies) == 1


async def test_floods_end(stage: Staging) -> None:
    """Retry lines, early hints and chunks without end meet the deadline or the size limit."""
    for fault in ("{retry_lines_only: {count: 100000000}}", "{early_hints: 100000000}", "endless"):
        on = await stage(f"rules:\n  - fault: {fault}\n", tries="1", timeout="1.0")
        with pytest.raises((errors.TimedOut, errors.AnswerTooLarge, errors.AnswerUnreadable)):
            await on.ask(stream=True)
        on.app.store.connections.remove("p")
        await on.app.connections.close()


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
@pytest.mark.parametrize("fault", ["{big_body: 3GB}", "{gzip_bomb: 2GB}"])
async def test_giant_answers_are_stopped_early(stage: Staging, fault: str, stream: bool) -> None:
    error, _ = await failing(stage, fault, stream=stream, timeout="60")
    assert type(error) is errors.AnswerTooLarge


@pytest.mark.parametrize("stream", BOTH, ids=["plain", "stream"])
async def test_cut_at_any_byte_is_never_an_answer(stage: Staging, stream: bool) -> None:
    """At each byte of the response in turn, up to the first place that leaves the answer whole."""
    reply = "Cut 👋🏽 in many places."
    rules = (f"  - {{times: 1, reply: {reply!r}, fault: {{cut_at: {at}, of: response}}}}\n" for at in range(4000))
    on = await stage(f"rules:\n{''.join(rules)}", tries="1")
    partial: list[str] = []
    while True:
        try:
            done = await on.ask(stream=stream)
            break
        except (errors.Unreachable, errors.AnswerCut, errors.AnswerUnreadable) as error:
            partial.append(error.details.get("partial") or "")
    assert (done.message, done.finish_reason) == (reply, "stop")
    assert len(on.bodies) - 1 == len(partial) > 500
    assert all(map(reply.startswith, partial))


def test_every_fault_is_tried_above() -> None:
    """A new fault of the rehearsal provider that no step meets fails here."""
    here = Path(__file__).read_text("utf-8")
    assert [name for name in FAULTS if not re.search(rf'["\s]\{{{{0,2}}{name}\b', here)] == []
