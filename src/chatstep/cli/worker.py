"""`chatstep worker`: a process that does runs until it is told to stop.

SIGTERM and Ctrl-C let every run finish the step it is in; what is left is given to other workers, or to the next one.
A second signal stops at once; the runs are then taken up as after a crash.
"""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from chatstep.cli.flow_lines import run_line
from chatstep.cli.logs import announce
from chatstep.cli.screen import for_terminal
from chatstep.cli.session import log_option, open_app, run
from chatstep.cli.stopping import Stop, grace_option
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.flows.records import RunRecord, StepRecord

__all__ = ["worker"]

_LOOK = 0.5  # seconds


@click.command(epilog="\b\nExample:\n  CHATSTEP_STORE=postgresql://db/chatstep chatstep worker")
@grace_option
@log_option
def worker(grace: float, log_format: str | None) -> None:
    """Do the runs of flows, and begin those of schedules, until SIGTERM or Ctrl-C.

    Any number of workers, on any number of machines, may share a Postgres database. They take over from each other what
    a dead one left within 15 seconds. On stopping, each run finishes the step it is in.
    """
    needs_flows()
    run(_work(grace, log_format))


async def _work(grace: float, log_format: str | None) -> None:
    from chatstep.flows.clock import Clock

    async with open_app(log_format) as app:
        app.flows.listeners.append(_tell)
        await app.flows.launch()
        flows = await asyncio.to_thread(app.store.flows.all)
        count = f"{len(flows)} flow{'' if len(flows) == 1 else 's'} published"
        announce(f"{_now()} Worker {os.getpid()} on {for_terminal(app.store.place)}: {count}. Ctrl-C stops it.")
        async with Clock(app.flows, app.store):
            stop = Stop(grace)
            await _until_told(app, stop)
        app.flows.process.grace = stop.left
        under_way = app.flows.under_way
        if under_way == 1:
            announce(f"{_now()} Stopping: 1 run finishes the step it is in.")
        elif under_way:
            announce(f"{_now()} Stopping: {under_way} runs finish the steps they are in.")
    announce(f"{_now()} Stopped.")


async def _until_told(app: App, stop: Stop) -> None:
    told = asyncio.create_task(stop.asked())
    taken = 0
    while not told.done():
        now = app.flows.process.taken_over
        if now > taken:
            announce(f"{_now()} Took over {now - taken} run{'' if now - taken == 1 else 's'} of a process that died.")
            taken = now
        await asyncio.wait([told], timeout=_LOOK)


def _tell(id: str, record: StepRecord | RunRecord) -> None:
    from chatstep.flows.records import RunRecord

    if isinstance(record, RunRecord):
        announce(f"{_now()} {run_line(record)}")


def _now() -> str:
    return f"{datetime.now(UTC):%H:%M:%S}"
