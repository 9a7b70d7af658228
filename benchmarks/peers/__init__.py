"""Who is measured: one row per peer, and one module per peer beside this file.

A peer's module may offer ``Client`` (open, complete, stream, settle, close) and ``TRIMMERS`` (with prepare, append,
turns); only the process that runs this very peer imports it.
"""

from __future__ import annotations

from typing import NamedTuple


class Peer(NamedTuple):
    """A peer: its title in tables, its module, how much to do per pass, its packages, its environment."""

    title: str
    module: str
    completions: int
    streams: int
    packages: tuple[str, ...]
    environment: str = ""


OURS = "ours"

PEERS: dict[str, Peer] = {
    "sockets": Peer("asyncio streams, by hand", "benchmarks.peers.sockets", 4000, 60, ()),
    "aiohttp": Peer("aiohttp + msgspec, bare", "benchmarks.peers.bare_aiohttp", 4000, 60, ("aiohttp", "msgspec")),
    "aiohttp_lines": Peer(
        "aiohttp + msgspec, line by line", "benchmarks.peers.aiohttp_lines", 4000, 40, ("aiohttp", "msgspec")
    ),
    OURS: Peer("chatstep", "benchmarks.ours", 4000, 60, ("chatstep",)),
    "httpx": Peer("httpx (+ httpx-sse)", "benchmarks.peers.bare_httpx", 400, 15, ("httpx", "httpx-sse")),
    "openai": Peer("openai SDK", "benchmarks.peers.openai_sdk", 300, 3, ("openai",)),
    "langchain": Peer("LangChain", "benchmarks.peers.langchain", 200, 2, ("langchain-openai", "langchain-core")),
    "litellm": Peer("LiteLLM", "benchmarks.peers.lite", 200, 1, ("litellm",), environment="litellm"),
    "pydantic_ai": Peer("pydantic-ai", "benchmarks.peers.pydantic", 100, 2, ("pydantic-ai-slim",)),
}
