"""`chatstep flow check` and `schema`: what is wrong with a file, and what an editor needs to know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatstep.cli.completing import files
from chatstep.cli.failures import without_keys
from chatstep.cli.options import json_option
from chatstep.cli.screen import for_terminal, has_colour, print_json
from chatstep.cli.session import settings
from chatstep.errors import ChatstepError, InvalidInput
from chatstep.flows import needs_flows

if TYPE_CHECKING:
    from chatstep.flows.definition import Flow
    from chatstep.flows.problems import Problem
    from chatstep.flows.publishing import Beside

__all__ = ["check", "schema"]


@click.command(epilog="\b\nExamples:\n  chatstep flow check shop.yaml\n  chatstep flow check flows/*.yaml --json")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, shell_complete=files)
@click.option("--any-connection", is_flag=True, help="Do not look whether the connections exist on this machine.")
@json_option("Give a JSON list: file, name, ok and problems of each.")
def check(files: tuple[str, ...], any_connection: bool, as_json: bool) -> None:
    """Say everything that is wrong with each FILE: line, place and what to do.

    A flow that calls others is checked beside those that are published and those of the other FILEs. Nothing is run and
    nothing is stored. Exit code 2 where anything is wrong.
    """
    needs_flows()
    around = _around()
    found = _checked(files, around._replace(connections=None) if any_connection else around)
    if as_json:
        print_json([{"file": name, "name": flow and flow.name, "ok": not problems, "problems": problems}
                    for name, flow, problems in found])  # fmt: skip
    else:
        for name, flow, problems in found:
            _show(name, flow, problems)
    wrong = [problems for _, _, problems in found if problems]
    if wrong:
        count = sum(map(len, wrong))
        raise InvalidInput(
            f"{count} problem{'' if count == 1 else 's'} in {len(wrong)} of {len(found)} "
            f"file{'' if len(found) == 1 else 's'}."
        )


@click.command(epilog="\b\nExample:\n  chatstep flow schema > flow.schema.json")
def schema() -> None:
    """Print the JSON Schema of flows, with the steps that are installed here.

    An editor that knows YAML schemas completes and checks a flow with it. In many a first line will do:

    \b
    # yaml-language-server: $schema=flow.schema.json
    """
    import msgspec

    from chatstep.flows.schema import flow_schema

    click.echo(msgspec.json.format(msgspec.json.encode(flow_schema()), indent=2))


Checked = tuple[str, "Flow | None", "list[Problem]"]


def _checked(names: tuple[str, ...], around: Beside) -> list[Checked]:
    from chatstep.flows.problems import Problem
    from chatstep.flows.publishing import judged
    from chatstep.flows.reading import Draft, read_draft

    drafts: dict[str, Draft] = {}
    unread: dict[str, list[Problem]] = {}
    for name in names:
        try:
            drafts[name] = read_draft(Path(name))
        except ChatstepError as error:
            line = (error.place or "").rpartition(" line ")[2]
            at = int(line) if line.isdigit() else 0
            unread[name] = [Problem(line=at, message=error.message, hint=error.hint)]
    read = {draft.flow.name: draft.flow for draft in reversed(drafts.values()) if draft.flow.name}
    around = around._replace(flows={**around.flows, **read})
    found: list[Checked] = []
    files = {draft.flow.name: name for name, draft in reversed(drafts.items())}
    for name in dict.fromkeys(names):
        if name in unread:
            found.append((name, None, unread[name]))
            continue
        draft = drafts[name]
        told = judged(draft, around)
        if draft.flow.name and files[draft.flow.name] != name:
            said = f"There is a flow `{draft.flow.name}` already, in {files[draft.flow.name]}."
            told.append(Problem(line=draft.lines["name"], place="name", message=said, hint="Call it otherwise."))
        found.append((name, draft.flow, [_without_keys(problem) for problem in sorted(told, key=lambda one: one.line)]))
    return found


def _without_keys(problem: Problem) -> Problem:
    """The problem, without what looks like a key: somebody may have put one where a connection's name belongs."""
    from msgspec.structs import replace

    hint = problem.hint and without_keys(problem.hint)
    return replace(problem, place=without_keys(problem.place), message=without_keys(problem.message), hint=hint)


def _around() -> Beside:
    """What there is beside a flow here. No store is made for this."""
    from chatstep.connections import Connections
    from chatstep.flows.publishing import beside
    from chatstep.modules.openai.environment import from_environment
    from chatstep.store import Store

    def found(store: Store | None) -> Beside:
        return beside(Connections(lambda: store, lambda: from_environment(os.environ)), store)

    set_here = settings()
    if not Store.exists(set_here.home, set_here.store):
        return found(None)
    with Store.open(set_here.home, set_here.store, set_here.seal_key) as store:
        return found(store)


def _show(name: str, flow: Flow | None, problems: list[Problem]) -> None:
    import sys

    colour = has_colour(sys.stdout)
    shown = for_terminal(name)
    if not problems and flow is not None:
        count = len(flow.steps)
        started = ", ".join(dict.fromkeys(trigger.type for trigger in flow.on))
        mark = click.style("✓", fg="green") if colour else "✓"
        click.echo(f"{mark} {shown}: flow {flow.name}, {count} step{'' if count == 1 else 's'}, started by {started}")
        return
    mark = click.style("✗", fg="red") if colour else "✗"
    click.echo(f"{mark} {shown}: {len(problems)} problem{'' if len(problems) == 1 else 's'}")
    for problem in problems:
        at = ", ".join(filter(None, (f"line {problem.line}" if problem.line else "", problem.place)))
        click.echo(for_terminal(f"  {at}{': ' if at else ''}{problem.message}"))
        if problem.hint:
            click.echo(for_terminal(f"      {problem.hint}"))
