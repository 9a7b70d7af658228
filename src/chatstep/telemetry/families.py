"""Families of metrics, and the text formats of Prometheus and OpenMetrics in which they are read.

A Family is also what the processes of one server tell each other, so it is plain data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

__all__ = ["BOUNDS", "Family", "Sample", "histogram", "merged", "text"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper ends of the buckets of durations, in seconds."""

_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Labels = tuple[tuple[str, str], ...]


class Sample(Struct, frozen=True, array_like=True):
    """One line: what stands behind the family's name, the labels, the value."""

    suffix: str
    labels: Labels
    value: float


class Family(Struct, frozen=True, array_like=True):
    """One metric with all its series. A ``shared`` one says the same in every process of a server."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: tuple[Sample, ...]
    shared: bool = False


def histogram(labels: Labels, buckets: Sequence[int], seconds: float) -> Iterable[Sample]:
    """The lines of one series; ``buckets`` counts what fell into each of `BOUNDS`, and at last what was above."""
    count = 0
    for bound, here in zip((*BOUNDS, "+Inf"), buckets, strict=True):
        count += here
        yield Sample("_bucket", (*labels, ("le", str(bound))), count)
    yield Sample("_sum", labels, seconds)
    yield Sample("_count", labels, count)


def merged(own: Iterable[Family], others: Iterable[tuple[str, Iterable[Family]]]) -> list[Family]:
    """The families of several processes, each line with the label ``worker``.

    Their counts are not added up: those of a process that is started anew begin at 0, which only its own series may.
    """
    found: dict[str, Family] = {family.name: family for family in own if family.shared}
    for worker, families in others:
        for family in families:
            if not family.shared:
                lines = tuple(
                    Sample(each.suffix, (("worker", worker), *each.labels), each.value) for each in family.samples
                )
                known = found.get(family.name)
                samples = known.samples + lines if known is not None else lines
                found[family.name] = Family(family.name, family.kind, family.help, samples)
    return list(found.values())


def text(families: Iterable[Family], *, openmetrics: bool = False) -> str:
    """The text that Prometheus reads, or with ``openmetrics`` the newer form of it."""
    lines: list[str] = []
    for family in families:
        total = "_total" if family.kind == "counter" else ""
        name = family.name if openmetrics else family.name + total
        lines.append(f"# HELP {name} {family.help}")
        lines.append(f"# TYPE {name} {family.kind}")
        for sample in family.samples:
            labels = ",".join(f'{label}="{value.translate(_ESCAPED)}"' for label, value in sample.labels)
            series = f"{family.name}{total}{sample.suffix}"
            lines.append(
                f"{series}{{{labels}}} {_number(sample.value)}" if labels else f"{series} {_number(sample.value)}"
            )
    if openmetrics:
        lines.append("# EOF")
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
