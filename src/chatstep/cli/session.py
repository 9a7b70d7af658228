"""One run of a command: settings read, logging set up, the App opened, and signals that end it cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chatstep.cli.failures import TERMINATED
from chatstep.cli.logs import set_up

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.settings import Settings
    from chatstep.store import Store

__all__ = ["log_option", "open_app", "open_store", "run", "settings"]

T = TypeVar("T")


def settings(log_format: str | None = None) -> Settings:
    """The settings in force; logging begins here, in this format where one is named."""
    from chatstep.settings import Settings

    found = Settings.load()
    set_up(found.log, log_format or found.log_format)
    return found


def open_app(log_format: str | None = None) -> App:
    """An App to enter."""
    from chatstep.app import App

    return App.open(settings(log_format))


log_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Log in this form, and a line for each request. Default: the setting log_format.",
)


def open_store() -> Store:
    """The store alone, for commands that send nothing."""
    from chatstep.store import Store

    found = settings()
    return Store.open(found.home, found.store, found.seal_key)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. SIGTERM and Ctrl-C cancel the work, so that sockets and the store are closed properly."""
    terminated = False

    async def guarded() -> T | None:
        nonlocal terminated
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread, or no such signal here
            loop.add_signal_handler(signal.SIGTERM, stop)
        try:
            return await work
        except asyncio.CancelledError:
            if not terminated:
                raise
            return None

    result = asyncio.run(guarded())
    if terminated:
        raise click.exceptions.Exit(TERMINATED)
    return result  # type: ignore[return-value]  # None only where terminated
