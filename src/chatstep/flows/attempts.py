"""One execution of one step of a flow: its inputs evaluated, tried as often as the flow says, and put on record.

Used by the walk. Whatever a step does, a record comes of it; only an interruption by the engine passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from chatstep.errors import Busy, ChatstepError, InvalidInput, StepError, TimedOut
from chatstep.expressions import evaluate
from chatstep.flows.definition import StepPart
from chatstep.flows.records import StepRecord
from chatstep.step import Context, Step
from chatstep.telemetry.tracing import span

__all__ = ["Attempt", "failed", "half_character", "skipped"]

MOST_OUTPUT = 10_000_000  # bytes of JSON
LONGEST_WAIT = 300.0


class Attempt:
    """``room`` is how many bytes of output the whole run may still keep."""

    def __init__(self, part: StepPart, step: Step, name: str, room: int) -> None:
        self._part, self._step, self._name = part, step, name
        self._most = min(MOST_OUTPUT, room)
        self._tries = 0
        self._inputs: dict[str, Any] = {}
        self._began = time.time()

    async def run(self, names: Mapping[str, Any], context: Context) -> StepRecord:
        """Evaluate, try, and give the record."""
        with span(f"step {self._name}", {"chatstep.step.uses": self._part.uses}) as stepping:
            record = await self._recorded(names, context)
            if stepping is not None and record.error is not None:
                stepping.set_attribute("error.type", str(record.error.get("error")))
            return record

    async def _recorded(self, names: Mapping[str, Any], context: Context) -> StepRecord:
        try:
            async with asyncio.timeout(self._part.timeout):
                output = await self._tried(names, context)
        except TimeoutError:
            error: ChatstepError = TimedOut(
                f"The step took longer than its {self._part.timeout:g} seconds.",
                place=f"steps.{self._part.id}",
                hint="Raise its `timeout:`.",
                phase="step",
            )
        except ChatstepError as problem:
            error = problem
        except UnicodeEncodeError:  # YAML and a command line can give half a pair of UTF-16
            error = half_character(f"steps.{self._part.id}")
        except Exception as problem:  # a plugin's step may raise anything
            error = StepError(
                f"The step broke ({type(problem).__name__}); this is a defect of it.",
                place=f"steps.{self._part.id}",
                hint="Tell whoever wrote it.",
            )
        else:
            return self._record(output)
        return self._failed(error)

    async def _tried(self, names: Mapping[str, Any], context: Context) -> Any:
        values = evaluate(dict(self._part.inputs), names)
        self._inputs = _shown(values)
        inputs = read_inputs(self._step, values, f"steps.{self._part.id}.with")
        retry = self._part.retry
        while True:
            self._tries += 1
            try:
                output = msgspec.to_builtins(await self._step.run(inputs, context))
            except Busy as error:
                heard = context.listener is not None and context.listener.heard
                if retry is None or self._tries >= retry.attempts or heard:
                    raise
                wanted = float(error.details.get("retry_after") or 0)
                await asyncio.sleep(min(LONGEST_WAIT, max(wanted, retry.wait * 2 ** (self._tries - 1))))
            else:
                self._check_size(output)
                return output

    def _check_size(self, output: Any) -> None:
        size = len(msgspec.json.encode(output))
        if size > self._most:
            raise InvalidInput(
                f"The step gave {size / 1e6:,.1f} MB; {max(self._most, 0) / 1e6:,.1f} MB can be kept.",
                place=f"steps.{self._part.id}",
                hint="Let it give less: a run keeps 10 MB of a step and 50 MB in all.",
            )

    def _record(self, output: Any) -> StepRecord:
        usage = output.get("usage") if isinstance(output, dict) else None
        usage = usage if isinstance(usage, dict) else {}
        return StepRecord(
            id=self._name,
            uses=self._part.uses,
            inputs=self._inputs,
            output=output,
            attempts=self._tries,
            began=self._began,
            ended=time.time(),
            prompt_tokens=usage.get("prompt"),
            completion_tokens=usage.get("completion"),
            cost=_cost(output),
        )

    def _failed(self, error: ChatstepError) -> StepRecord:
        record = failed(self._name, self._part.uses, error)
        return msgspec.structs.replace(
            record, inputs=self._inputs, attempts=self._tries, began=self._began, ended=time.time()
        )


def half_character(place: str) -> InvalidInput:
    """What is wrong with half a pair of UTF-16."""
    return InvalidInput(
        "A text holds half a character, which can be neither sent nor kept.",
        place=place,
        hint="Correct the text where it comes from.",
    )


def failed(name: str, uses: str, error: ChatstepError) -> StepRecord:
    """The record of a step that failed before its first try."""
    now = time.time()
    data = msgspec.to_builtins(error.to_data(), enc_hook=str)
    return StepRecord(id=name, uses=uses, state="failed", error=data, attempts=0, began=now, ended=now)


def skipped(name: str, uses: str) -> StepRecord:
    """The record of a step whose ``when`` was not true."""
    return StepRecord(id=name, uses=uses, state="skipped", attempts=0)


def read_inputs(step: Step, values: Mapping[str, Any], place: str) -> Any:
    """The step's Inputs from plain values; raises InvalidInput with the place."""
    try:
        if step.read is not None:
            return step.read(values)
        return msgspec.convert(values, step.inputs)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        raise InvalidInput(f"{text.rstrip('.')}.", place=place + path.rstrip("`")) from None
    except ChatstepError as error:
        error.details["place"] = f"{place}.{error.place}" if error.place else place
        raise


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as they are recorded: a history is not repeated in every run."""
    kept = {name: value for name, value in values.items() if name != "history"}
    shown: dict[str, Any] = msgspec.to_builtins(kept, enc_hook=str)
    msgspec.json.encode(shown)  # fails where a text cannot be kept, before the step does anything
    return shown


def _cost(output: Any) -> str | None:
    cost = output.get("cost") if isinstance(output, dict) else None
    if isinstance(cost, dict):
        return str(cost.get("amount"))
    return cost if isinstance(cost, str) else None
