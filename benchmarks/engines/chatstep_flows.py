"""chatstep's flows. The two steps come as a plugin's would, and touch the outside as far as the engine knows.

The flow is written as a user would write it: its second step takes the first one's output by an expression, it checks
its inputs, and its records are kept.
"""

from __future__ import annotations

import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

FLOW = """
name: bench
steps:
  - id: ask
    uses: bench.ask
    with: {text: "${{ trigger.text }}"}
  - id: deliver
    uses: bench.deliver
    with: {text: "${{ steps.ask.message }}"}
outputs:
  length: ${{ steps.deliver.length }}
"""


STEPS = """
from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from benchmarks.engines import answer, receipt
from chatstep.step import Context, Module, step


class Text(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(title="Text", description="The text.")]


class Answer(Struct, frozen=True, kw_only=True):
    message: str


class Receipt(Struct, frozen=True, kw_only=True):
    delivered: bool
    length: int


@step("bench.ask", title="Ask", inputs=Text, output=Answer)
async def ask(inputs: Text, ctx: Context) -> Answer:
    return Answer(message=answer(inputs.text))


@step("bench.deliver", title="Deliver", inputs=Text, output=Receipt)
async def deliver(inputs: Text, ctx: Context) -> Receipt:
    return Receipt(**receipt(inputs.text))


module = Module("bench", "Benchmark", steps=(ask, deliver))
"""


def install(folder: Path) -> None:
    """Offer the steps as an installed package does: by an entry point, in a folder that is to be on the path."""
    (folder / "bench_steps.py").write_text(STEPS, encoding="utf-8")
    metadata = folder / "bench_steps-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-steps\nVersion: 1\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[chatstep.modules]\nbench = bench_steps:module\n", encoding="utf-8")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


class Running:
    def __init__(self, flows: object) -> None:
        self._flows = flows

    async def flow(self, text: str) -> int:
        from chatstep.flows.events import Event

        event = Event(type="manual", id=uuid.uuid4().hex, text=text)
        started = await self._flows.start("bench", event)  # type: ignore[attr-defined]
        record = await self._flows.wait(started.id)  # type: ignore[attr-defined]
        return record.outputs["length"]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Running]:
    with tempfile.TemporaryDirectory(prefix="bench-chatstep-") as folder:
        install(Path(folder))
        from chatstep import App
        from chatstep.flows.reading import read_flow
        from chatstep.settings import Settings

        store = url if url.startswith("postgres") else None
        settings = Settings(home=Path(folder) / "home", store=store)
        async with App.open(settings, {}) as app:
            await app.flows.publish(read_flow(FLOW))
            yield Running(app.flows)


async def cpu(running: Running, measure: Callable[[], float]) -> float:
    return measure()
