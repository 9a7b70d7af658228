"""Writes the parts of the documentation that are made from code: tables, whole pages, and the picture of the demo.

``python scripts/make_docs.py`` writes them, ``--check`` only says which are stale and fails then. A table lies between
the lines ``<!-- generated: NAME -->`` and ``<!-- end of NAME -->`` of a page that people write.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Meta

from chatstep.errors import ChatstepError, all_errors
from chatstep.modules.openai.connection import PRESETS
from chatstep.registry import connection_kinds, steps
from chatstep.settings import SETTINGS
from chatstep.step import Step

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MADE = "<!-- This page is made by scripts/make_docs.py. Change the code it is made from. -->"

# What somebody who meets the error can do. The tree of errors says what it means, and a test holds the two together.
REMEDIES = {
    "error": "Read the sentence; classes below say more.",
    "input_error": "Correct what `place` names.",
    "invalid_input": "Correct the field that `place` names; the hint shows how it is written.",
    "unknown_name": "Take one of the names in the hint.",
    "unreadable_file": "Correct the file; nothing of it was used.",
    "does_not_fit": "Shorten instructions or message, lower Max Tokens, or take a model with a larger window.",
    "store_error": "See [the store](store.md#troubleshooting).",
    "seal_error": "Put the sealing key back, or run the `chmod` that the hint shows; see [the store](store.md).",
    "store_busy": "Run it again; end the program that holds the database.",
    "step_error": "See the classes below.",
    "refused": "Do not repeat the same request; see the classes below.",
    "credentials_refused": "`chatstep connections test NAME`; replace the key with `chatstep connections rotate NAME`.",
    "model_unavailable": "`chatstep models` lists what the connection offers; take another model.",
    "out_of_money": "Look at the provider's billing page. It is never retried.",
    "spend_limit_reached": "Wait for the day or month to end (UTC), raise the connection's limit, or lower Max Tokens.",
    "context_too_long": "Set History Tokens, or take a model with a larger window.",
    "request_refused": "Read what the provider said; correct the field it names.",
    "busy": "Try again later.",
    "rate_limited": "Wait; chatstep has waited and retried already. Ask the provider for a higher limit.",
    "provider_down": "Try again later; chatstep has retried already.",
    "unreachable": "Check the address, the network, the proxy. Is the local server running?",
    "timed_out": "Raise the connection's `timeout`, or lower Max Tokens; a total time-out is not retried.",
    "bad_answer": "See the classes below. `partial` holds what there was.",
    "empty_answer": "Set Reasoning Room or a lower Reasoning Effort, or raise Max Tokens.",
    "answer_refused": "Say it in other words; `refusal` holds what the model said.",
    "answer_filtered": "Look at the newest messages; the provider's filter decided.",
    "answer_cut": "Ask again.",
    "answer_unreadable": "Check the base URL: it ends in `/v1`, and speaks this protocol.",
    "answer_too_large": "Ask something else of the server; no reply of this protocol is so large.",
    "unexpected_tool_call": "Ask again, or take another model.",
    "interrupted": "Nothing; you stopped it.",
}


def main() -> int:
    """Write, or with ``--check`` compare; gives the exit code."""
    stale = []
    for path, text in pages().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if "--check" in sys.argv[1:]:
            stale.append(str(path.relative_to(ROOT)))
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    drawn: int = _loaded(ROOT / "scripts" / "make_pictures.py").main()
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale or drawn else 0


def pages() -> dict[Path, str]:
    """Every generated page as it should be."""
    made = {
        DOCS / "errors.md": errors_page(),
        DOCS / "settings.md": settings_page(),
        **{page: filled(page, step_tables(step)) for step in steps().values() if (page := page_of(step))},
        DOCS / "connections.md": filled(DOCS / "connections.md", CONNECTION_TABLES),
    }
    flows = _loaded(ROOT / "scripts" / "docs_flows.py")
    made[DOCS / "flows.md"] = filled(DOCS / "flows.md", flows.tables(table))
    made[DOCS / "flow.schema.json"] = flows.schema()
    made[DOCS / "api.md"] = filled(DOCS / "api.md", _loaded(ROOT / "scripts" / "docs_api.py").tables(table))
    commands = ROOT / "scripts" / "docs_commands.py"
    if commands.exists():
        made[DOCS / "commands.md"] = _loaded(commands).commands_page()
    return made


def _loaded(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled(path: Path, tables: dict[str, Callable[[], str]]) -> str:
    """The page with its tables made anew; every table must have its place."""
    text = path.read_text(encoding="utf-8")
    for name, make in tables.items():
        begin, end = f"<!-- generated: {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{path} has no place for the table {name!r}")
        text = f"{before}{begin}{make()}\n{end}{after}"
    return text


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sentences(doc: str | None) -> str:
    return " ".join((doc or "").replace("``", "`").split())


def errors_page() -> str:
    """The page of errors and exit codes."""
    rows = [
        (
            f"{'&nbsp;&nbsp;' * (len(kind.__mro__) - 4)}`{kind.__name__}`",
            f"`{kind.code}`",
            str(kind.exit_code),
            str(kind.http_status),
            _sentences(kind.__doc__) if kind is not ChatstepError else "The base of all errors.",
            REMEDIES[kind.code],
        )
        for kind in _by_tree(ChatstepError)
    ]
    return f"""{MADE}
# Errors and exit codes

Every error that chatstep raises is a `ChatstepError`, so one `except` catches them all. Catch a class further down to
treat one kind apart: `Refused` would fail again, `Busy` may succeed later, `BadAnswer` carries what there was of an
answer.

An error is one sentence, and plain data beside it:

| what | holds |
|---|---|
| `message` | what is wrong, in one sentence |
| `place` | the field, file or line, where there is one |
| `hint` | what to do, where something can be said |
| `details` | place, hint, and what the class adds: `partial`, `usage`, `attempts`, `retry_after`, `status`, `said` |
| `code`, `exit_code`, `http_status` | the columns of the table |

`str(error)` is place, message and hint on one line. `error.to_data()` gives plain data, `chatstep.errors.from_data`
reads it back; errors can be pickled. No error holds a key. What the provider said is in `said`, at most 300 characters
of it.

## The tree
`chatstep.errors` has every class. The exit code is that of the command line. The HTTP status is for programs that pass
the error on to callers of their own.

{table(("class", "code", "exit", "HTTP", "meaning", "what to do"), rows)}

## Other exit codes of the command line
| exit | when |
|---|---|
| 0 | it worked; a reply that Max Tokens cut is delivered, with a warning on stderr |
| 1 | a defect of chatstep, and with `CHATSTEP_LOG=debug` it says where; or the output could not be written |
| 2 | also: an option or command that does not exist |
| 130 | stopped by Ctrl-C |
| 141 | whoever read the output went away |
| 143 | stopped by SIGTERM |

With `--json` the error is one JSON object on stderr, as `to_data()` makes it.

## What is retried
`Busy` and what is under it, up to five requests in all, with random waits that grow up to 30 seconds, or as long as the
provider says in `retry-after-ms` or `retry-after`, and 300 seconds of waiting in sum at most. Not retried: a total
time-out (the answer may be on its way, and paid), a certificate that is not valid, and everything about money. The
provider's header `x-should-retry` decides where it is given, except for money. A stream that has begun is never asked
for again.
"""


def _by_tree(root: type[ChatstepError]) -> Iterator[type[ChatstepError]]:
    """The classes of the tree, children in the order in which they are written."""
    written = list(all_errors(root))
    order = {kind: inspect.getsourcelines(kind)[1] for kind in written}
    yield root
    for child in sorted(root.__subclasses__(), key=order.__getitem__):
        yield from _by_tree(child)


def settings_page() -> str:
    """The page of settings."""
    rows = [
        (
            f"`{setting.name}`",
            f"`{setting.variable}`",
            f"`{setting.default}`" if setting.default else "",
            setting.help,
        )
        for setting in SETTINGS
    ]
    return f"""{MADE}
# Settings

A setting is looked for in the environment first, then in the file `settings.toml` in the data folder; else its default
holds. Nothing is read when chatstep is imported.

{table(("setting", "environment", "default", "what it does"), rows)}

`settings.toml` has a line for each setting that you want to change, all of them text:

```toml
connection = "work"
log = "info"
```

`home` cannot stand in the file, since it says where the file is. A name that is no setting is an error.
A Python program may hand settings over itself: see [Python](python.md#settings-in-code).

Other variables that are read: `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`, which make
the [connection `environment`](connections.md#from-the-environment); `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`; and
`NO_COLOR`, which the command line obeys.
"""


def page_of(step: Step) -> Path:
    """Where a step is described."""
    return DOCS / "steps" / f"{step.name}.md"


def step_tables(step: Step) -> dict[str, Callable[[], str]]:
    """The tables of a step's page."""
    return {"inputs": lambda: inputs_table(step), "outputs": lambda: outputs_table(step)}


def inputs_table(step: Step) -> str:
    """The inputs of a step, those of a history among them."""
    rows = []
    for field in _fields(step.inputs):
        rows.append(field)
        if field[0] == "`history`":
            from chatstep.message import History

            rows += [(f"`history.{name.strip('`')}`", *rest) for name, *rest in _fields(History)]
    return table(("field", "title", "type", "default", "what it is"), rows)


def outputs_table(step: Step) -> str:
    """The outputs of a step."""
    return table(
        ("output", "title", "type", "what it is"),
        [(name, title, kind, help) for name, title, kind, _, help in _fields(step.output)],
    )


def _fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str, str, str]]:
    """Name, title, type, default and help of each field."""
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        annotated = hints[field.name]
        meta = next((meta for meta in getattr(annotated, "__metadata__", ()) if isinstance(meta, Meta)), Meta())
        default = "required" if field.required else _default(field.default)
        yield f"`{field.name}`", meta.title or "", _type(annotated, meta), default, meta.description or ""


def _default(value: object) -> str:
    if value is None:
        return "not sent"
    return "empty" if value in ("", (), msgspec.NODEFAULT) else f"`{value}`"


def _type(kind: Any, meta: Meta) -> str:
    words = " or ".join(dict.fromkeys(_words(kind)))
    if meta.ge is not None and meta.le is not None:
        return f"{words}, {meta.ge} to {meta.le}"
    if meta.gt is not None and meta.le is not None:
        return f"{words}, above {meta.gt}, at most {meta.le}"
    return f"{words}, {meta.ge} or more" if meta.ge is not None else words


_PLAIN = {str: "text", int: "whole number", float: "number", bool: "yes or no", dict: "object", tuple: "list"}


def _words(kind: Any) -> Iterator[str]:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        yield from _words(typing.get_args(kind)[0])
    elif origin is typing.Union or isinstance(kind, types.UnionType):
        for part in typing.get_args(kind):
            if part is not types.NoneType:
                yield from _words(part)
    elif kind is Any:
        yield "anything"
    elif origin is Literal:
        yield from (f"`{value}`" for value in typing.get_args(kind))
    elif origin is not None and origin is not dict:
        yield f"list of {' or '.join(_words(typing.get_args(kind)[0]))}"
    else:
        yield _PLAIN.get(origin or kind) or f"`{kind.__name__}`"


def kinds_tables() -> str:
    """A section with its fields for each kind of connection."""
    parts = []
    for name, (_, kind) in connection_kinds().items():
        rows = [
            (
                f"`{field.name}`",
                field.title,
                "required" if field.required else f"`{field.default}`" if field.default else "",
                "sealed" if field.secret else "",
                field.help,
            )
            for field in kind.fields
        ]
        head = ("field", "title", "default", "kept", "what it is")
        parts.append(f"### `{name}`: {kind.title}\n\n{table(head, rows)}")
    return "\n\n".join(parts)


def presets_table() -> str:
    """The known compatible servers."""
    rows = [
        (
            f"`{name}`",
            preset.title,
            f"`{preset.base_url}`",
            "needed" if preset.needs_key else "",
            f"`{preset.dialect.limit_field}`",
            "merged" if preset.dialect.alternate else "",
        )
        for name, preset in PRESETS.items()
    ]
    return table(("preset", "server", "address", "key", "Max Tokens travels as", "neighbours of one role"), rows)


CONNECTION_TABLES = {"kinds": kinds_tables, "presets": presets_table}

if __name__ == "__main__":
    sys.exit(main())
