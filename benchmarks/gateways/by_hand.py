"""The least that a gateway does: aiohttp takes the request, aiohttp passes it on. ``by_hand PORT UPSTREAM``."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
from aiohttp import web

from benchmarks.worker import run_loop


async def main(port: int, upstream: str) -> None:
    """Serve until killed."""
    headers = {"authorization": "Bearer sk-bench", "content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.read()
            async with session.post(f"{upstream}/chat/completions", data=body) as answer:
                if answer.content_type == "application/json":
                    return web.Response(body=await answer.read(), content_type="application/json")
                response = web.StreamResponse(headers={"content-type": "text/event-stream"})
                await response.prepare(request)
                async for block in answer.content.iter_any():
                    await response.write(block)
                await response.write_eof()
                return response

        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    run_loop(main(int(sys.argv[1]), sys.argv[2]))
