"""From inputs to the body of a request, byte for byte: what a dry run shows is made here, and so is what is sent.

Pure: no network, no clock, no store. What a model or server is known not to take is left out here, and said.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.modules.openai.dialect import Dialect
from chatstep.modules.openai.inputs import MakeChatCompletion
from chatstep.modules.openai.models import ModelFacts
from chatstep.modules.openai.prompt import Prompt, Wanted, build
from chatstep.modules.openai.tokens import ByteCounter, Counter
from chatstep.modules.openai.wire import encode

__all__ = ["Draft", "draft"]

_OPTIONS = ("temperature", "top_p", "stop", "seed", "response_format")
_NO_OPTIONS = (None,) * len(_OPTIONS)
_options = attrgetter(*_OPTIONS)


class Draft(Struct):
    """A request that is ready to go: its prompt, its body and the token limit in it."""

    prompt: Prompt
    body: dict[str, Any]
    limit: int
    dialect: Dialect
    facts: ModelFacts
    warnings: list[str]

    def encoded(self) -> bytes:
        """The body as it is sent."""
        try:
            return encode(self.body)
        except (UnicodeEncodeError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"A field cannot be written as JSON: {error.__class__.__name__}.",
                place="extra",
                hint="Use plain values.",
            ) from None


def draft(
    inputs: MakeChatCompletion, facts: ModelFacts, dialect: Dialect, counter: Counter | ByteCounter, *, stream: bool
) -> Draft:
    """Build the request; raises InvalidInput, or DoesNotFit when instructions and message alone are too long."""
    warnings: list[str] = []
    limit = _limit(inputs, facts, warnings)
    prompt = build(
        Wanted(
            instructions=inputs.instructions,
            message=inputs.message,
            history=inputs.history,
            speakers=inputs.speakers,
            history_tokens=inputs.history_tokens,
            window=inputs.window,
            reply_tokens=limit,
        ),
        facts,
        dialect,
        counter,
    )
    body: dict[str, Any] = {"model": inputs.model, "messages": prompt.messages, dialect.limit_field: limit}
    _add_options(body, inputs, facts, dialect, warnings)
    if stream:
        body["stream"] = True
        options = _stream_options(dialect)
        if options:
            body["stream_options"] = options
    if not facts.chat:
        warnings.append(f"{inputs.model} answers on the Responses API alone; this request will probably be refused.")
    warnings.extend(prompt.warnings)
    return Draft(prompt, body, limit, dialect, facts, warnings)


def _limit(inputs: MakeChatCompletion, facts: ModelFacts, warnings: list[str]) -> int:
    limit = inputs.max_tokens + inputs.reasoning_room
    if facts.max_output is not None and limit > facts.max_output:
        warnings.append(f"{inputs.model} writes at most {facts.max_output:,} tokens; {limit:,} were asked for.")
        return facts.max_output
    return limit


def _add_options(
    body: dict[str, Any], inputs: MakeChatCompletion, facts: ModelFacts, dialect: Dialect, warnings: list[str]
) -> None:
    effort = inputs.reasoning_effort
    if effort is None and "none" in facts.effort and not dialect.refuses("reasoning_effort", "none"):
        effort = "none"  # else the model thinks by default, and Max Tokens buys thoughts instead of a reply
    elif effort is not None and dialect.refuses("reasoning_effort", effort):
        warnings.append(f"reasoning_effort {effort} was left out: the server refuses it.")
        effort = None
    if effort is not None:
        body["reasoning_effort"] = effort
    options = _options(inputs)
    if options == _NO_OPTIONS and not inputs.extra:
        return
    given = {**dict(zip(_OPTIONS, options, strict=True)), **(inputs.extra or {})}
    fixed_sampling = facts.sampling == "never" or (facts.sampling == "without_effort" and effort != "none")
    for name, value in given.items():
        if value is None:
            continue
        if dialect.refuses(name):
            warnings.append(f"{name} was left out: the server refuses it.")
        elif fixed_sampling and name in ("temperature", "top_p"):
            warnings.append(f"{name} was left out: {inputs.model} does not take it{_beside(facts, effort)}.")
        else:
            body[name] = value


def _beside(facts: ModelFacts, effort: str | None) -> str:
    return f" beside reasoning_effort {effort or 'default'}" if facts.sampling == "without_effort" else ""


def _stream_options(dialect: Dialect) -> dict[str, bool]:
    if "stream_options" in dialect.refused:
        return {}
    options = {"include_usage": True}
    if dialect.obfuscation and "include_obfuscation" not in dialect.refused:
        options["include_obfuscation"] = False  # padding that hides lengths from the network, and costs time
    return options
