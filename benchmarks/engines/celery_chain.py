"""Celery on Redis: a chain of two tasks, acknowledged late, with one worker process beside the client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from celery import Celery, chain

from benchmarks.engines import answer, receipt

app = Celery("bench", broker=os.environ.get("BENCH_REDIS"), backend=os.environ.get("BENCH_REDIS"))
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, worker_prefetch_multiplier=1)
app.conf.update(broker_connection_retry_on_startup=True)


@app.task(name="ask")
def ask(text: str) -> str:
    return answer(text)


@app.task(name="deliver")
def deliver(text: str) -> dict[str, object]:
    return receipt(text)


class Running:
    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self.worker = worker

    async def flow(self, text: str) -> int:
        result = await asyncio.to_thread(lambda: chain(ask.s(text), deliver.s()).apply_async().get(timeout=60))
        return result["length"]


def _worker(url: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.engines.celery_chain", "worker", "--pool", "threads"]
    return subprocess.Popen(
        [*command, "--concurrency", "8", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"],
        env={**os.environ, "BENCH_REDIS": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Running]:
    app.conf.update(broker_url=url, result_backend=url)
    worker = _worker(url)
    try:
        yield Running(worker)
    finally:
        worker.terminate()
        worker.wait(30)


async def cpu(running: Running, measure: Callable[[], float]) -> float:
    """The worker's time as well as the client's; it still runs, so it is asked of the system."""
    return measure() + _seconds(running.worker.pid)
