"""Meter: counts requests, calls to models, and runs, in a process. An App has one.

Counting is a few additions in memory: it is on the way of every request. What can be had by asking when somebody reads
is not counted here. All methods are for the event loop. The number of series has an end, whatever clients send.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Any, Protocol

from chatstep.telemetry.families import BOUNDS, Family, Sample, histogram

__all__ = ["OTHER", "Meter"]

OTHER = "other"
MOST_MODELS = 200
MOST_SERIES = 2000
_ANSWERED = ("ok", "truncated")


class Entry(Protocol):
    """What is read of an entry of the ledger (see `chatstep.store.Entry`)."""

    connection: str
    model: str
    outcome: str
    prompt: int | None
    cached: int | None
    completion: int | None
    reasoning: int | None
    cost: int | None
    attempts: int
    duration_ms: int


class _Durations:
    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def include(self, other: _Durations) -> None:
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        for base in type(self).__mro__[:-1]:
            for name in base.__slots__:  # type: ignore[attr-defined]
                if name != "buckets":
                    setattr(self, name, getattr(self, name) + getattr(other, name))


class _Calls(_Durations):
    __slots__ = ("cached", "completion", "cost", "prompt", "reasoning", "retries", "unknown")

    def __init__(self) -> None:
        super().__init__()
        self.prompt = self.cached = self.completion = self.reasoning = self.cost = self.retries = self.unknown = 0


class Meter:
    """Counts since the process began."""

    def __init__(self) -> None:
        self._visits: dict[tuple[str, str, int], _Durations] = {}
        self._calls: dict[tuple[str, str, str], _Calls] = {}
        self._models: set[str] = set()
        self._runs: Counter[tuple[str, str]] = Counter()
        self._steps: Counter[tuple[str, str]] = Counter()

    def visited(self, method: str, door: str, status: int, seconds: float) -> None:
        """Count a request: the door's address as it is written, never the one that was asked for."""
        counts = self._visits.get((method, door, status))
        if counts is None:
            key = (method, door, status) if len(self._visits) < MOST_SERIES else (OTHER, OTHER, status)
            counts = self._visits.setdefault(key, _Durations())
        counts.add(seconds)

    def called(self, entry: Entry) -> None:
        """Count a call to a model. A name that no provider has answered to yet may be anything, and counts as other."""
        model = entry.model
        if model not in self._models:
            if entry.outcome in _ANSWERED and len(self._models) < MOST_MODELS:
                self._models.add(model)
            else:
                model = OTHER
        calls = self._calls.get((entry.connection, model, entry.outcome))
        if calls is None:
            room = len(self._calls) < MOST_SERIES
            key = (entry.connection, model, entry.outcome) if room else (OTHER, OTHER, entry.outcome)
            calls = self._calls.setdefault(key, _Calls())
        calls.add(entry.duration_ms / 1000)
        calls.prompt += entry.prompt or 0
        calls.cached += entry.cached or 0
        calls.completion += entry.completion or 0
        calls.reasoning += entry.reasoning or 0
        calls.retries += entry.attempts - 1
        if entry.cost is None:
            calls.unknown += 1
        else:
            calls.cost += entry.cost

    def ran(self, id: str, record: Any) -> None:
        """Count a step or a run that has ended here; as the engine's listener is told."""
        counts, name = (self._steps, record.uses) if hasattr(record, "uses") else (self._runs, record.flow)
        key = (name, record.state)
        counts[key if key in counts or len(counts) < MOST_SERIES else (OTHER, record.state)] += 1

    def families(self) -> list[Family]:
        """All that was counted."""
        return [*self._of_visits(), *self._of_calls(), *self._of_flows()]

    def _of_visits(self) -> Iterable[Family]:
        by_door: dict[str, _Durations] = {}
        for (_, door, _), counts in self._visits.items():
            by_door.setdefault(door, _Durations()).include(counts)
        yield Family(
            "chatstep_http_requests",
            "counter",
            "Requests by door and status; 499 is a client that left.",
            tuple(
                Sample("", (("method", method), ("door", door), ("status", str(status))), sum(counts.buckets))
                for (method, door, status), counts in self._visits.items()
            ),
        )
        yield _durations("chatstep_http_request_duration_seconds", "Seconds until requests were answered.", (
            ((("door", door),), counts) for door, counts in by_door.items()
        ))  # fmt: skip

    def _of_calls(self) -> Iterable[Family]:
        by_model: dict[tuple[str, str], _Calls] = {}
        for (connection, model, _), calls in self._calls.items():
            by_model.setdefault((connection, model), _Calls()).include(calls)
        named = [((("connection", name), ("model", model)), calls) for (name, model), calls in by_model.items()]
        outcomes = (
            Sample("", (("connection", name), ("model", model), ("outcome", outcome)), sum(calls.buckets))
            for (name, model, outcome), calls in self._calls.items()
        )
        yield Family(
            "chatstep_calls",
            "counter",
            "Calls to models by outcome: ok, truncated, interrupted or an error's code.",
            tuple(outcomes),
        )
        yield _durations("chatstep_call_duration_seconds", "Seconds that calls to models took, with all tries.", named)
        kinds = ("prompt", "cached", "completion", "reasoning")
        tokens = (
            Sample("", (*labels, ("kind", kind)), getattr(calls, kind)) for labels, calls in named for kind in kinds
        )
        yield Family(
            "chatstep_tokens",
            "counter",
            "Tokens; those cached are part of prompt, reasoning of completion.",
            tuple(tokens),
        )
        dollars = (Sample("", (*labels, ("currency", "USD")), calls.cost / 1e9) for labels, calls in named)
        yield Family("chatstep_cost", "counter", "What calls of known cost took.", tuple(dollars))
        yield Family(
            "chatstep_calls_of_unknown_cost",
            "counter",
            "Calls whose cost is not known.",
            tuple(Sample("", labels, calls.unknown) for labels, calls in named),
        )
        yield Family(
            "chatstep_retries",
            "counter",
            "Requests that were sent again.",
            tuple(Sample("", labels, calls.retries) for labels, calls in named),
        )

    def _of_flows(self) -> Iterable[Family]:
        runs = (Sample("", (("flow", flow), ("state", state)), count) for (flow, state), count in self._runs.items())
        steps = (Sample("", (("uses", uses), ("state", state)), count) for (uses, state), count in self._steps.items())
        yield Family(
            "chatstep_runs", "counter", "Runs that ended in this process: done, failed or merged.", tuple(runs)
        )
        yield Family("chatstep_steps", "counter", "Steps of runs: done, failed or skipped.", tuple(steps))


def _durations(name: str, help: str, series: Iterable[tuple[tuple[tuple[str, str], ...], _Durations]]) -> Family:
    samples = (line for labels, counts in series for line in histogram(labels, counts.buckets, counts.seconds))
    return Family(name, "histogram", help, tuple(samples))
