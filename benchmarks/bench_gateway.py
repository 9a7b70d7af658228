"""A request through a gateway: CPU of the gateway, and what it adds to the time of an answer."""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.canned import CHUNKS, TEXT, serving
from benchmarks.gateways import GATEWAYS, OURS, Gateway
from benchmarks.passes import ROOT, Measured, PeerFailed, environment, interleave
from benchmarks.report import Section, median_or_none, number, quotient
from benchmarks.worker import PROMPT, run_loop

REQUESTS = {"litellm": 300}
MOST = 2000
STREAMS = {"litellm": 2}
MOST_STREAMS = 10
IN_FLIGHT = 16
START_SECONDS = 90.0


def run() -> Section:
    """Measure everybody in turns; each is started once and lives as long as the benchmark."""
    section = Section(
        "gateway",
        f"a gateway before the canned server, {IN_FLIGHT} in flight",
        "CPU is that of the gateway's process and its children alone, user and system, per request and per chunk of a "
        f"stream of {CHUNKS:,}. Added: the median time of an answer, one at a time, less that of the canned server "
        "asked directly.",
        ("gateway", "CPU ms per request", "lowest - highest", "added ms", "CPU µs per chunk", "CPU to ours"),
    )
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder, serving() as port:
        upstream = f"http://127.0.0.1:{port}/v1"
        direct = run_loop(latency(upstream, Gateway("", lambda *_: [])))
        with started(GATEWAYS, upstream, Path(folder)) as running:
            runners = {name: running[name].measure for name in GATEWAYS}
            measured = interleave(runners, passes=3)
    for name, result in measured.items():
        add(section, GATEWAYS[name], result, (measured, direct))
    ours = median_or_none(measured[OURS], "cpu")
    section.target("CPU ms per request", None if ours is None else ours * 1e3, 0.30, " ms")
    section.target_ratio("LiteLLM's proxy to ours", quotient(median_or_none(measured["litellm"], "cpu"), ours), 30)
    section.target_ratio("Portkey's gateway to ours", quotient(median_or_none(measured["portkey"], "cpu"), ours), 4.5)
    return section


class Running:
    """One gateway as a process."""

    def __init__(self, name: str, gateway: Gateway, upstream: str, folder: Path) -> None:
        self.name, self.gateway, self.url = name, gateway, ""
        self._upstream, self._folder = upstream, folder
        self.process: subprocess.Popen[bytes] | None = None
        self.failure = ""

    def start(self, *, wait: bool = True) -> None:
        """Start it and wait until it answers, or only listens; what keeps it from that is told by `measure`."""
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        more = {"OPENAI_BASE_URL": self._upstream, "OPENAI_API_KEY": "sk-bench", "BENCH_UPSTREAM": self._upstream}
        try:
            command = self.gateway.command(port, self._upstream, self._folder)
            key = self._folder / "key"
            if key.exists():
                self.gateway = self.gateway._replace(key=key.read_text(encoding="utf-8"))
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(self._folder, **more),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            run_loop(self._answering(port, wait=wait))
        except (OSError, PeerFailed) as error:
            self.failure = str(error)

    async def _answering(self, port: int, *, wait: bool) -> None:
        until = time.monotonic() + START_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < until:
                if self.process is not None and self.process.poll() is not None:
                    raise PeerFailed("it ended while it was started; is it installed?")
                try:
                    if not wait:
                        socket.create_connection(("127.0.0.1", port)).close()
                        return
                    if await _ask(session, self.url, self.gateway, self._upstream):
                        return
                except (aiohttp.ClientError, OSError, ValueError, KeyError):
                    pass
                await asyncio.sleep(0.5)
        raise PeerFailed(f"no answer within {START_SECONDS:g} s")

    def measure(self, number: int) -> dict[str, Any]:
        """One pass."""
        if self.failure:
            raise PeerFailed(self.failure)
        return run_loop(self._measured())

    async def _measured(self) -> dict[str, Any]:
        count = REQUESTS.get(self.name, MOST)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            left = iter(range(count))

            async def lane() -> None:
                for _ in left:
                    if await _ask(session, self.url, self.gateway, self._upstream) != TEXT:
                        raise PeerFailed("the answer is not the one that was sent")

            before = self._cpu()
            await asyncio.gather(*(lane() for _ in range(IN_FLIGHT)))
            cpu = (self._cpu() - before) / count
            added = await latency(self.url, self.gateway, self._upstream)
            streams = STREAMS.get(self.name, MOST_STREAMS) if self.gateway.streams else 0
            before = self._cpu()
            for _ in range(streams):
                await _stream(session, self.url, self.gateway, self._upstream)
            chunk = (self._cpu() - before) / (streams * CHUNKS) if streams else 0.0
        return {"cpu": cpu, "latency": added, "chunk": chunk}

    def _cpu(self) -> float:
        """Seconds of this process and its living children."""
        assert self.process is not None
        return sum(_seconds(pid) for pid in _family(self.process.pid))

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            for pid in reversed(_family(self.process.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, 15)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


@contextmanager
def started(gateways: dict[str, Gateway], upstream: str, folder: Path) -> Iterator[dict[str, Running]]:
    """All of them, each as a process with a folder of its own."""
    running: dict[str, Running] = {}
    try:
        for name, gateway in gateways.items():
            own = folder / name
            own.mkdir()
            running[name] = Running(name, gateway, upstream, own)
            running[name].start()
        yield running
    finally:
        for one in running.values():
            one.stop()


async def _ask(session: aiohttp.ClientSession, url: str, gateway: Gateway, upstream: str = "") -> str:
    body = {"model": gateway.model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 256}
    async with session.post(f"{url}/chat/completions", json=body, headers=_headers(gateway, upstream)) as answer:
        value = await answer.json(content_type=None)
    return value["choices"][0]["message"]["content"]


async def _stream(session: aiohttp.ClientSession, url: str, gateway: Gateway, upstream: str) -> None:
    body = {"model": gateway.model, "messages": [{"role": "user", "content": PROMPT}], "stream": True}
    end = b""
    async with session.post(f"{url}/chat/completions", json=body, headers=_headers(gateway, upstream)) as answer:
        async for block in answer.content.iter_any():
            end = (end + block)[-400:]
    if b"[DONE]" not in end:
        raise PeerFailed("a stream had no end")


async def latency(url: str, gateway: Gateway, upstream: str = "") -> float:
    """The median of 50 answers, one at a time."""
    took = []
    async with aiohttp.ClientSession() as session:
        for _ in range(55):
            begun = time.perf_counter()
            await _ask(session, url, gateway, upstream)
            took.append(time.perf_counter() - begun)
    return statistics.median(took[5:])


def _headers(gateway: Gateway, upstream: str) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.key}"} | {
        name: value.format(upstream) for name, value in gateway.headers
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _family(int(child)))]


def _seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def add(section: Section, gateway: Gateway, result: Measured, others: tuple[dict[str, Measured], float]) -> None:
    """One row; with the CPU per chunk where the section has a column for it."""
    measured, direct = others
    chunks = "CPU µs per chunk" in section.columns
    if result.failure:
        section.rows.append((gateway.title, "failed", *("",) * (len(section.columns) - 2)))
        section.notes.append(f"{gateway.title}: {result.failure}")
        return
    low, high = result.spread("cpu")
    ratio = quotient(result.median("cpu"), median_or_none(measured[OURS], "cpu"))
    chunk = number(result.median("chunk") * 1e6) if gateway.streams else "-"
    section.rows.append(
        (
            gateway.title,
            number(result.median("cpu") * 1e3),
            f"{number(low * 1e3)} - {number(high * 1e3)}",
            number((result.median("latency") - direct) * 1e3),
            *((chunk,) if chunks else ()),
            f"{ratio:.2f} ×" if ratio else "-",
        )
    )
