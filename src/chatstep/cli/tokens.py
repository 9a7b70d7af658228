"""`chatstep tokens`: who may use the server, what for, until when, and for how much."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from chatstep.cli.lazy import LazyGroup, Place
from chatstep.cli.options import json_option
from chatstep.cli.screen import console, note, print_json, table
from chatstep.cli.session import open_store
from chatstep.errors import InvalidInput

if TYPE_CHECKING:
    from chatstep.store import Token

__all__ = ["COMMANDS", "list_tokens", "make", "revoke", "tokens"]

COMMANDS = {
    "make": Place("chatstep.cli.tokens:make", "Make a token, and show it this once."),
    "list": Place("chatstep.cli.tokens:list_tokens", "List the tokens, without their text."),
    "revoke": Place("chatstep.cli.tokens:revoke", "Revoke a token."),
}
_DAY = 86_400_000


@click.group(cls=LazyGroup, places=COMMANDS, epilog="\b\nExample:\n  chatstep tokens make shop --model 'work/*'")
def tokens() -> None:
    """Tokens for the server's clients. As long as there is none, a server on loopback asks for none."""


@click.command(
    "make",
    epilog="\b\nExamples:\n  chatstep tokens make admin --admin\n"
    "  chatstep tokens make shop --model 'work/*' --daily-limit 2 --days 90",
)
@click.argument("name")
@click.option("--admin", is_flag=True, help="It may use the API as well, and changes what the server does.")
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Only this model; `work/*` is all of work's.")
@click.option("--days", type=click.IntRange(1, 36_500), metavar="DAYS", help="It expires after so many days.")
@click.option("--daily-limit", metavar="USD", help="The most to spend in a day (UTC), such as 5 or 0.50.")
@click.option("--monthly-limit", metavar="USD", help="The most to spend in a month (UTC).")
def make(name: str, admin: bool, models: tuple[str, ...], days: int | None, **limits: Any) -> None:
    """Make the token NAME. Its text is shown this once: only a digest of it is kept."""
    from chatstep.connections import nanodollars_of
    from chatstep.store import Token

    token = Token(
        name=name,
        admin=admin,
        models=models,
        daily_limit=nanodollars_of(limits["daily_limit"], "--daily-limit"),
        monthly_limit=nanodollars_of(limits["monthly_limit"], "--monthly-limit"),
        expires=None if days is None else time.time_ns() // 1_000_000 + days * _DAY,
    )
    with open_store() as store:
        _, text = store.tokens.make(token)
    click.echo(text.reveal())
    note(f"Made {name}. This is shown once; put it where the client finds its API key.")


@click.command("list", epilog="\b\nExample:\n  chatstep tokens list --json")
@json_option("Give a JSON list.")
def list_tokens(as_json: bool) -> None:
    """List the tokens."""
    with open_store() as store:
        found = store.tokens.all()
    if as_json:
        print_json(found)
    elif not found:
        note("There is no token. Make one: chatstep tokens make NAME")
    else:
        _draw(found)


@click.command("revoke", epilog="\b\nExample:\n  chatstep tokens revoke shop")
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token NAME; a running server refuses it within seconds."""
    with open_store() as store:
        store.tokens.revoke(name)
    note(f"Revoked {name}.")


def _draw(found: list[Token]) -> None:
    from chatstep.store import dollars

    made = table("Token", "May use", "Day", "Month", "Expires", "Last use (UTC)", right=("Day", "Month"))
    for token in found:
        made.add_row(
            token.name,
            "everything, API" if token.admin and not token.models else ", ".join(token.models) or "every model",
            dollars(token.daily_limit) if token.daily_limit is not None else "–",
            dollars(token.monthly_limit) if token.monthly_limit is not None else "–",
            _date(token.expires, "never"),
            _date(token.used, "never"),
        )
    console().print(made)


def _date(ms: int | None, none: str) -> str:
    if ms is None:
        return none
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        raise InvalidInput("A stored time is no time.", place="tokens") from None
