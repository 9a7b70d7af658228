"""`chatstep backup`: a copy of the data folder's databases, while everything goes on."""

from __future__ import annotations

from pathlib import Path

import click

from chatstep.cli.screen import for_terminal, note
from chatstep.cli.session import settings

__all__ = ["backup"]


@click.command(epilog="\b\nExample:\n  chatstep backup backups/2026-11-25")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def backup(folder: Path) -> None:
    """Copy the databases into FOLDER, which is made, while servers and workers go on.

    To restore, let CHATSTEP_HOME name a folder with these files and seal.key. The sealing key is not copied: keep it
    elsewhere, since whoever has both has the keys of all connections. A Postgres database is backed up with pg_dump.
    """
    from chatstep.store.backup import back_up

    set_here = settings()
    for file in back_up(set_here.home, set_here.store, folder):
        click.echo(for_terminal(str(file)))
    if not set_here.seal_key and (set_here.home / "seal.key").exists():
        note(f"Keep {for_terminal(str(set_here.home / 'seal.key'))} elsewhere: without it no stored key opens.")
