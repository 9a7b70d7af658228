"""`chatstep completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click

__all__ = ["completion"]


@click.command(epilog='\b\nExample:\n  eval "$(chatstep completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    Put the line of the example into ~/.bashrc or ~/.zshrc. For fish:
    chatstep completion fish > ~/.config/fish/completions/chatstep.fish
    """
    from click.shell_completion import get_completion_class

    from chatstep.cli.root import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"click knows no completion for {shell}.")
    click.echo(found(cli, {}, "chatstep", "_CHATSTEP_COMPLETE").source())
