"""Gateways before the canned server, each as its users start it, and a hand-written one as the floor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.passes import environment

__all__ = ["GATEWAYS", "KEY", "OURS", "Gateway"]

OURS = "chatstep"
KEY = "sk-bench-of-the-gateway-0123456789"


class Gateway(NamedTuple):
    """How one is started (``port``, upstream's URL, a folder of its own), and what its clients send."""

    title: str
    command: Callable[[int, str, Path], list[str]]
    model: str = "gpt-4o-mini"
    headers: tuple[tuple[str, str], ...] = ()
    streams: bool = True
    key: str = KEY


def _ours(port: int, upstream: str, folder: Path) -> list[str]:
    """With a token, which is looked up, and to which each call is put down."""
    make = [sys.executable, "-m", "chatstep", "tokens", "make", "bench"]
    made = subprocess.run(make, env=environment(folder), capture_output=True, text=True, check=True)
    (folder / "key").write_text(made.stdout.strip(), encoding="utf-8")
    return [sys.executable, "-m", "chatstep", "serve", "--port", str(port)]


def _by_hand(port: int, upstream: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gateways.by_hand", str(port), upstream]


def _litellm(port: int, upstream: str, folder: Path) -> list[str]:
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n      model: openai/gpt-4o-mini\n"
        f"      api_base: {upstream}\n      api_key: sk-bench\ngeneral_settings: {{master_key: {KEY}}}\n",
        encoding="utf-8",
    )
    program = Path(sys.prefix) / "litellm" / "bin" / "litellm"
    return [str(program), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--telemetry", "False"]


def _portkey(port: int, upstream: str, folder: Path) -> list[str]:
    script = Path(sys.prefix) / "node" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    return ["node", str(script), f"--port={port}", "--headless"]


GATEWAYS = {
    "by_hand": Gateway("aiohttp on both sides, by hand", _by_hand),
    OURS: Gateway("chatstep, tokens, ledger and learning on", _ours, model="environment/gpt-4o-mini"),
    "portkey": Gateway(
        "Portkey's gateway",
        _portkey,
        headers=(("x-portkey-provider", "openai"), ("x-portkey-custom-host", "{}")),
        streams=False,  # its release 1.15.2 answers every stream with a 500 on Node 20
    ),
    "litellm": Gateway("LiteLLM's proxy", _litellm),
}
