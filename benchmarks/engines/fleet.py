"""``python -m benchmarks.engines.fleet URL WORKERS FLOWS``: so many workers do so many runs on one Postgres database.

The events are stored before the first worker starts, so that only the runs are timed; the figure is runs per second
between the first begin and the last end, as their records tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.engines.chatstep_flows import FLOW, install
from benchmarks.passes import ROOT


async def main(url: str, workers: int, flows: int) -> float:
    """Runs per second."""
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as folder:
        install(Path(folder))
        home = Path(folder) / "home"
        await _store(url, home, flows)
        path = os.pathsep.join([folder, str(ROOT)])
        env = {**os.environ, "CHATSTEP_HOME": str(home), "CHATSTEP_STORE": url, "PYTHONPATH": path}
        command = [sys.executable, "-m", "chatstep", "worker"]
        quiet = asyncio.subprocess.DEVNULL
        fleet = [
            await asyncio.create_subprocess_exec(*command, env=env, stdout=quiet, stderr=quiet) for _ in range(workers)
        ]
        try:
            return await _rate(url, home, flows)
        finally:
            for process in fleet:
                process.terminate()
            await asyncio.gather(*(process.wait() for process in fleet))


async def _store(url: str, home: Path, flows: int) -> None:
    """Store the events; this process must not do the runs, so it stops taking them before they are there."""
    from chatstep import App
    from chatstep.flows.events import Event
    from chatstep.flows.reading import read_flow
    from chatstep.settings import Settings

    text = FLOW.replace("steps:", 'conversation: {id: "${{ trigger.conversation }}", debounce: 4}\nsteps:', 1)
    async with App.open(Settings(home=home, store=url), {}) as app:
        await app.flows.publish(read_flow(text))
        for at in range(flows):
            event = Event(type="webhook", id=f"e{at}", text=f"message {at}", conversation=f"c{at}")
            await app.flows.start("bench", event)


async def _rate(url: str, home: Path, flows: int) -> float:
    from chatstep import App
    from chatstep.settings import Settings

    async with App.open(Settings(home=home, store=url), {}) as app:
        while True:
            runs = await app.flows.runs(state="done", limit=flows + 1)
            if len(runs) >= flows:
                break
            await asyncio.sleep(0.5)
    begun = min(step.began for run in runs for step in run.steps)
    return flows / (max(run.ended or 0 for run in runs) - begun)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as channel, contextlib.redirect_stdout(sys.stderr):
        rate = asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
        print(json.dumps({"rate": rate}), file=channel, flush=True)
