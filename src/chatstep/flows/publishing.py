"""Publishing: a flow's text becomes the version that new runs take, unless something is wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chatstep.connections import Connections, serves
from chatstep.errors import InvalidInput
from chatstep.flows.checking import check
from chatstep.flows.definition import Flow
from chatstep.flows.problems import Problem, refusal
from chatstep.flows.reading import Draft, read_draft, read_flow
from chatstep.store import Store

if TYPE_CHECKING:
    from chatstep.flows.engine import Engine

__all__ = ["Beside", "beside", "judged", "publish", "published_flows"]


class Beside(NamedTuple):
    """What there is beside a flow. ``connections`` says of each what it serves; None: they are not looked at."""

    connections: Mapping[str, str] | None
    flows: Mapping[str, Flow]


def beside(connections: Connections, store: Store | None) -> Beside:
    """The connections and published flows that there are. Blocks."""
    names = {origin.stored.name: serves(origin.stored) for origin in connections.all()}
    return Beside(names, published_flows(store) if store is not None else {})


def published_flows(store: Store) -> dict[str, Flow]:
    """The published flows by name. One that an older chatstep took and this one cannot read is left out. Blocks."""
    found = {}
    for each in store.flows.all():
        with suppress(InvalidInput):
            found[each.name] = read_flow(each.text)
    return found


def judged(draft: Draft, around: Beside) -> list[Problem]:
    """All that is wrong with a flow, in the order of its lines."""
    further = check(draft.flow, known_connections=around.connections, known_flows=around.flows, lines=draft.lines)
    return sorted([*draft.problems, *further], key=lambda problem: problem.line)


async def publish(
    source: str | Path, engine: Engine, connections: Connections, together: Mapping[str, Flow] | None = None
) -> tuple[Flow, bool]:
    """The flow of a file or text, published, and whether that was news; raises InvalidInput for one with problems.

    ``together`` are flows that are about to be published with it.
    """
    draft = await asyncio.to_thread(read_draft, source)
    around = await asyncio.to_thread(beside, connections, engine.store)
    problems = judged(draft, around._replace(flows={**around.flows, **(together or {})}))
    if problems:
        raise refusal(problems, source.name if isinstance(source, Path) else "flow")
    return draft.flow, await engine.publish(draft.flow)
