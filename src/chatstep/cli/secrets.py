"""How a key comes in: typed hidden, piped, or from a variable of the environment; never as an argument."""

from __future__ import annotations

import os
import sys

import click

from chatstep.errors import InvalidInput
from chatstep.modules.openai.connection import checked_key
from chatstep.secret import Secret
from chatstep.step import Field

__all__ = ["read_secret"]

_LONGEST = 64 * 1024


def read_secret(field: Field, variable: str | None, *, required: bool) -> Secret | None:
    """The secret for this field, or None where an optional one was left empty; raises InvalidInput."""
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise InvalidInput(f"The variable {variable[:80]!r} is not set.", place="--from-env")
    elif sys.stdin.isatty():
        asked = f"{field.title}{'' if required else ' (Enter for none)'}"
        text = click.prompt(asked, hide_input=True, default="", show_default=False, err=True)
    else:
        # Bytes, so that a key in another encoding is refused by the check instead of by an error that shows it.
        text = sys.stdin.buffer.read(_LONGEST).decode(errors="replace")
    if not text.strip() and not required:
        return None
    return checked_key(text, variable or field.name)
