"""A saved run of a chat flow over the endpoint: CPU of the server, and what it adds to the time of an answer."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.bench_gateway import IN_FLIGHT, add, latency, started
from benchmarks.canned import serving
from benchmarks.gateways import GATEWAYS, OURS, Gateway
from benchmarks.passes import environment, interleave
from benchmarks.report import Section, median_or_none
from benchmarks.worker import run_loop

FLOW = """
name: shop
durable: {durable}
on: [chat]
steps:
  - id: reply
    uses: openai.make_chat_completion
    with: {{connection: environment, message: "${{{{ trigger.text }}}}"}}
  - id: keep
    uses: flow.set
    with: {{values: {{text: "${{{{ steps.reply.message }}}}"}}}}
outputs: {{message: "${{{{ steps.keep.values.text }}}}"}}
"""


def run() -> Section:
    """Measure everybody in turns; each is started once and lives as long as the benchmark."""
    section = Section(
        "saved",
        f"a saved run of a chat flow over HTTP, {IN_FLIGHT} in flight",
        "The flow asks the canned server and sets a value; its run is stored with all that its steps got and gave "
        "before the answer is sent. CPU is that of the server's process alone, user and system, per request. By hand: "
        "the same with aiohttp on both sides and a row of SQLite per run, committed together. Added: the median time "
        "of an answer, one at a time, less that of the canned server asked directly.",
        ("server", "CPU ms per request", "lowest - highest", "added ms", "CPU to ours"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-saved-") as folder, serving() as port:
        upstream = f"http://127.0.0.1:{port}/v1"
        direct = run_loop(latency(upstream, Gateway("", lambda *_: [])))
        with started(SERVERS, upstream, Path(folder)) as running:
            measured = interleave({name: one.measure for name, one in running.items()}, passes=3)
    for name, result in measured.items():
        add(section, SERVERS[name], result, (measured, direct))
    ours = median_or_none(measured[OURS], "cpu")
    section.target("CPU ms per request", None if ours is None else ours * 1e3, 0.7, " ms")
    return section


def _by_hand(port: int, upstream: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gateways.saved_by_hand", str(port), upstream, str(folder / "runs.db")]


def _ours(durable: str, port: int, upstream: str, folder: Path) -> list[str]:
    file = folder / "shop.yaml"
    file.write_text(FLOW.format(durable=durable), encoding="utf-8")
    publish = [sys.executable, "-m", "chatstep", "flow", "publish", str(file)]
    more = {"OPENAI_BASE_URL": upstream, "OPENAI_API_KEY": "sk-bench"}
    subprocess.run(publish, env=environment(folder, **more), capture_output=True, check=True)
    return GATEWAYS[OURS].command(port, upstream, folder)


SERVERS = {
    "by_hand": Gateway("aiohttp on both sides and SQLite, by hand", _by_hand, streams=False),
    OURS: Gateway("chatstep, durable: false", partial(_ours, "false"), model="flow/shop", streams=False),
    "durable": Gateway("chatstep, durable", partial(_ours, "true"), model="flow/shop", streams=False),
}
