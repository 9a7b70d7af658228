"""The command line: reads arguments and files, calls the rooms below, prints. It decides nothing itself.

Only this folder imports click and rich. Each command is a module that is imported when it runs, so that
``chatstep --help`` is quick; rich is imported when a table is drawn. Text goes to stdout, all else to stderr.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line; what `chatstep` and `python -m chatstep` start."""
    from chatstep.cli.root import cli

    cli(prog_name="chatstep")
