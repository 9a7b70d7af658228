"""`chatstep connections test`: the very call that the step makes, and in plain words what is wrong."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from chatstep.cli.complete import summary
from chatstep.cli.completing import connection_names, models
from chatstep.cli.options import json_option
from chatstep.cli.screen import clipped, for_terminal, note, print_json, styled, warn
from chatstep.cli.session import open_app, run
from chatstep.cli.waiting import Waiting
from chatstep.errors import ChatstepError, SpendLimitReached

if TYPE_CHECKING:
    from chatstep.app import App
    from chatstep.connections import OpenConnection
    from chatstep.modules.openai.inputs import Completion

__all__ = ["test"]


@click.command(epilog="\b\nExample:\n  chatstep connections test work --model gpt-6-luna")
@click.argument("name", shell_complete=connection_names)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    shell_complete=models,
    help="The model to try. Default: CHATSTEP_MODEL, else gpt-4o-mini, or the first offered.",
)
@json_option("Give one JSON object.")
def test(name: str, model: str | None, as_json: bool) -> None:
    """Test the connection NAME with the call that the step makes. It may cost a fraction of a cent."""
    run(_test(name, model, as_json))


async def _test(name: str, model: str | None, as_json: bool) -> None:
    from chatstep.modules.openai.connection import endpoint_of
    from chatstep.modules.openai.offered import some_model

    async with open_app() as app:
        connection = await app.connections.get(name)
        address = endpoint_of(connection).base_url
        if not as_json:
            note(f"Asking {name} at {for_terminal(address)}")
        async with Waiting():
            model = model or app.settings.model or await some_model(app.context, connection)
        try:
            async with Waiting():
                done = await app.complete("Say hello.", connection=name, model=model, max_tokens=32)
        except ChatstepError as error:
            if not as_json:
                await _failed(error, connection, model)
            raise
        warnings = [*done.warnings, *await _end_of(app, connection, model, done.warnings)]
    if as_json:
        print_json({"connection": name, "ok": True, "asked_for": model, "warnings": warnings, "completion": done})
        return
    _succeeded(done, name)
    for warning in warnings:
        warn(warning)


async def _end_of(app: App, connection: OpenConnection, model: str, said: tuple[str, ...]) -> list[str]:
    """Ask the server until when the model lives, keep it, and warn unless that was said already."""
    from chatstep.modules.openai.models import facts, shutdown_warning
    from chatstep.modules.openai.offered import ask_about

    offered = await ask_about(app.context, connection, model)
    if offered is None or not offered.shutdown_date:
        return []
    today = datetime.now(UTC).date()
    warning = await asyncio.to_thread(shutdown_warning, model, today, offered.shutdown_date, facts(model).replacement)
    return [warning] if warning and warning not in said else []


def _succeeded(done: Completion, name: str) -> None:
    note(f"{styled('✓', 'green', bold=True)} It answered: {clipped(done.message)}")
    note(f"  {summary(done)}")
    note(f"  Use it: chatstep complete --connection {name} 'Hello'")


async def _failed(error: ChatstepError, connection: OpenConnection, model: str) -> None:
    """Say what the error means for this connection, before it is printed itself."""
    advice = _ADVICE.get(error.code)
    if isinstance(error, SpendLimitReached) and not await _has_price(connection, model):
        advice = _NO_PRICE
    note(f"{styled('✗', 'red', bold=True)} {connection.name} gave no answer with the model {for_terminal(model)}.")
    if advice:
        note(f"  {advice.format(name=connection.name)}")


async def _has_price(connection: OpenConnection, model: str) -> bool:
    from chatstep.modules.openai.prices import worst_case

    worst = await asyncio.to_thread(worst_case, 1, 1, model, base_url=connection.opened.priced_at)
    return worst is not None


_NO_PRICE = (
    "Nothing was sent: the price is not known here, so a spend limit cannot be kept. Remove the limit: chatstep "
    "connections limit {name} --daily none --monthly none. Or remove the connection and add it again with --set prices "
    "URL, the address of the provider whose prices hold."
)


_ADVICE = {
    "credentials_refused": "The address is right, the key was turned away. New key: chatstep connections rotate {name}",
    "model_unavailable": "Key and address work; this model is not there. Others: chatstep models --connection {name}",
    "out_of_money": "Key and address work; the account has no credit left.",
    "spend_limit_reached": "Nothing was sent, by chatstep's own limit. To change it: chatstep connections limit {name}",
    "rate_limited": "Key and address work; the account is asking too fast just now.",
    "unreachable": "Nobody answers at this address. Is the server running, and the address right?",
    "timed_out": "Somebody is there, but too slow.",
    "answer_unreadable": "Something answers at this address that does not speak the protocol. Is the base URL right?",
    "request_refused": "The server understood, and refused the request itself.",
    "provider_down": "The server is there, but failing. It is not your fault; try again later.",
    "empty_answer": "Key and address work; the model spent the short reply on thinking.",
    "seal_error": "The stored key cannot be opened on this machine.",
}
