"""What a shell completes after Tab, beside commands and options: names, ids and files.

Each function is a click ``shell_complete``. They look into the store where there is one, and never make one; what
cannot be read completes nothing. No connection is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "Completing",
    "connection_names",
    "conversation_ids",
    "files",
    "inputs",
    "models",
    "pages",
    "presets",
    "words",
]

Completing = Callable[[click.Context, click.Parameter, str], list[str]]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def words(*known: str) -> Completing:
    """One of these."""
    return lambda ctx, param, incomplete: _beginning(known, incomplete)


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A file; the shell looks for it."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A model that the table knows."""
    from chatstep.modules.openai.models import known_models

    return _beginning(known_models(), incomplete)


def pages(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A page of the documentation."""
    from chatstep.documentation.pages import library

    return _beginning(library().pages, incomplete)


def presets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A known compatible server."""
    from chatstep.modules.openai.connection import PRESETS

    return _beginning(PRESETS, incomplete)


def inputs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The KEY of `-o KEY VALUE`."""
    from chatstep.cli.options import OTHER_INPUTS

    return _beginning([*OTHER_INPUTS, "extra."], incomplete)


def connection_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """A connection: stored, the environment's, or the built-in one."""
    from chatstep.connections import Connections
    from chatstep.errors import ChatstepError
    from chatstep.modules.openai.environment import from_environment
    from chatstep.settings import Settings
    from chatstep.store import Store

    try:
        found = Settings.load()
        if not Store.exists(found.home, found.store):
            return _beginning(("environment", "rehearsal"), incomplete)
        with Store.open(found.home, found.store, found.seal_key) as store:
            known = Connections(lambda: store, lambda: from_environment(os.environ)).all()
    except ChatstepError:
        return []
    return _beginning((origin.stored.name for origin in known), incomplete)


def conversation_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A kept conversation; zsh and fish show its title beside it."""
    from click.shell_completion import CompletionItem

    from chatstep.errors import ChatstepError
    from chatstep.settings import Settings
    from chatstep.store import Store

    try:
        found = Settings.load()
        if not Store.exists(found.home, found.store):
            return []
        with Store.open(found.home, found.store, found.seal_key) as store:
            kept = store.conversations.list()
    except ChatstepError:
        return []
    return [CompletionItem(each.id, help=each.title or None) for each in kept if each.id.startswith(incomplete)]
