"""Where a completion's CPU time goes: stages of the step added one by one, 16 in flight, before the canned server.

``python -m benchmarks.profile_complete`` prints the median and the lowest of 15 interleaved passes, in µs per call.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

CALLS, AT_ONCE, PASSES = 3_200, 16, 15
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}],"max_tokens":256}'


async def measure(base_url: str) -> dict[str, list[float]]:
    import aiohttp

    from chatstep.app import App
    from chatstep.http import Request
    from chatstep.modules.openai.call import Call
    from chatstep.modules.openai.make_chat_completion import make_chat_completion

    url, head = f"{base_url}/chat/completions", {"Content-Type": "application/json", "Authorization": "Bearer x"}
    connector = aiohttp.TCPConnector(limit=0)
    async with App.open() as app, aiohttp.ClientSession(connector=connector) as session:
        ctx, inputs = app.context, await app.inputs("Hello", {})
        await app.complete("Hello")

        class NoLedger:
            connection, send, stream = ctx.connection, ctx.send, ctx.stream

            def emit(self, event: Any) -> None: ...

        async def bare() -> None:
            async with session.post(url, data=BODY, headers=head) as reply:
                await reply.read()

        async def prepared() -> None:
            request = await Call(inputs, ctx).prepare(stream=False)
            await ctx.send(request, lambda reply: reply.body)

        quiet = NoLedger()
        stages: dict[str, Callable[[], Awaitable[Any]]] = {
            "aiohttp alone": bare,
            "+ http: deadlines, retries, sizes": lambda: ctx.send(Request("POST", url, head, BODY), lambda it: it.body),
            "+ prompt, request": prepared,
            "+ judging, cost, result": lambda: make_chat_completion.run(inputs, quiet),
            "+ ledger": lambda: make_chat_completion.run(inputs, ctx),
            "+ loose inputs: all of it": lambda: app.complete("Hello"),
        }
        times: dict[str, list[float]] = {name: [] for name in stages}
        for _ in range(PASSES):
            for name, stage in stages.items():
                began = time.process_time()
                await asyncio.gather(*[_some(stage) for _ in range(AT_ONCE)])
                times[name].append((time.process_time() - began) / CALLS * 1e6)
        return times


async def _some(stage: Callable[[], Awaitable[Any]]) -> None:
    for _ in range(CALLS // AT_ONCE):
        await stage()


def main() -> None:
    """Start the canned server and print the table."""
    import uvloop

    server = [sys.executable, "-m", "benchmarks.canned"]
    with (
        tempfile.TemporaryDirectory() as home,
        subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as canned,
    ):
        assert canned.stdout is not None
        assert canned.stdin is not None
        base_url = f"http://127.0.0.1:{canned.stdout.readline().split()[-1]}/v1"
        os.environ |= {"CHATSTEP_HOME": home, "OPENAI_API_KEY": "x", "OPENAI_BASE_URL": base_url}
        for name, passes in uvloop.run(measure(base_url)).items():
            print(f"{name:36} median {statistics.median(passes):5.0f}   lowest {min(passes):5.0f}")
        canned.stdin.close()


if __name__ == "__main__":
    main()
