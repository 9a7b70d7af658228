"""Reads scripts from YAML and checks them down to the line.

A script is a list of rules, or a mapping of settings with `rules`. The tables at the end say which keys there are and
how each is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chatstep.places import Node, read_yaml
from chatstep.rehearsal.fault_errors import WAIT
from chatstep.rehearsal.faults import FAULTS, Parameter
from chatstep.rehearsal.habits import Habits
from chatstep.rehearsal.models import Model
from chatstep.rehearsal.script import Rule, Script, When

__all__ = ["SETTINGS", "TABLES", "load_script"]


def load_script(script: str | Path) -> Script:
    """Read a script from a file (a Path, or a name ending in .yaml or .yml) or from YAML text.

    Raises InvalidInput with the line for an unknown key, a wrong type or a bad pattern; UnreadableFile for a file.
    """
    root = read_yaml(script)
    if root.value is None:
        return Script()
    if isinstance(root.value, list):
        return Script(
            rules=[_rule(node) for node in Node(root.value, root.source, "rules").elements()], otherwise="fail"
        )
    entries = root.mapping(SETTINGS)
    given: dict[str, Any] = {name: read(entries[name]) for name, read in _HABITS.items() if name in entries}
    rules = [_rule(node) for node in entries["rules"].elements()] if "rules" in entries else []
    otherwise = entries["otherwise"].choice("fail", "converse") if "otherwise" in entries else None
    return Script(
        rules=rules,
        otherwise=otherwise or ("fail" if rules else "converse"),  # type: ignore[arg-type]
        habits=Habits(**given),
        key=entries["key"].text() if "key" in entries else None,
        models=[_model(node) for node in entries["models"].elements()] if "models" in entries else None,
    )


def _rule(node: Node) -> Rule:
    entries = node.mapping(("when", "fault", *_RULE))
    given: dict[str, Any] = {name: read(entries[name]) for name, read in _RULE.items() if name in entries}
    if "delay" in given:
        given["delay"], given["between"] = given["delay"]
    for name in ("reply", "refusal"):
        if "fault" in entries and name in entries and not _keeps_answer(entries["fault"]):
            entries[name].fail(f"`{name}` is never sent beside this fault.", "Leave one of the two out.")
    return Rule(
        line=node.line,
        when=_when(entries["when"]) if "when" in entries else When(),
        fault=_fault(entries["fault"]) if "fault" in entries else None,
        **given,
    )


def _keeps_answer(node: Node) -> bool:
    return _fault(node)[0] not in ("status", "code", "html", "hang", "garbage", "empty_body", "tool_call")


def _when(node: Node) -> When:
    if isinstance(node.value, str):
        return When(text=node.pattern())
    entries = node.mapping(_WHEN)
    return When(**{name: read(entries[name]) for name, read in _WHEN.items() if name in entries})


def _fault(node: Node) -> tuple[str, dict[str, Any]]:
    """`html`, `{html: 503}`, `{cut_at: 10, how: reset}` or `{dribble: {bytes: 1, every: 0.2}}`."""
    if isinstance(node.value, str):
        Node({node.value: None}, node.source, node.path, node.line).mapping(FAULTS)
        return node.value, {}
    entries = node.entries()
    if not entries:
        node.fail("A fault needs a name.", "`chatstep rehearse --list-faults` shows all of them.")
    name, first = next(iter(entries.items()))
    Node({name: None}, node.source, node.path, first.line).mapping(FAULTS)
    known = {parameter.name: parameter for parameter in FAULTS[name].parameters}
    params: dict[str, Any] = {}
    if isinstance(first.value, Mapping):
        inner = first.mapping(known)
        params.update({key: _parameter(known[key], value) for key, value in inner.items()})
    elif first.value is not None and first.value is not True:
        if not known:
            first.fail(f"`{name}` takes no parameter.", f"Write `fault: {name}`.")
        main = next(iter(known.values()))
        params[main.name] = _parameter(main, first)
    rest = {key: value for key, value in entries.items() if key != name}
    near = Node({key: value.value for key, value in rest.items()}, node.source, node.path, first.line)
    near.mapping(known)
    params.update({key: _parameter(known[key], value) for key, value in rest.items()})
    return name, params


def _parameter(parameter: Parameter, node: Node) -> Any:
    if parameter.kind == "word":
        return node.choice(*parameter.choices)
    return _KINDS[parameter.kind](node)


def _wait(node: Node) -> str | float:
    if isinstance(node.value, str) and not WAIT.fullmatch(node.value):
        node.fail("Not a time to wait.", "Write 2 (seconds), 300ms, date or date+5.")
    if isinstance(node.value, str):
        return node.value
    seconds = node.seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _header_patterns(node: Node) -> dict[str, re.Pattern[str]]:
    return {name.lower(): value.pattern() for name, value in node.entries().items()}


def _header_values(node: Node) -> dict[str, str]:
    values = {name.lower(): value for name, value in node.entries().items()}
    for name, value in values.items():
        if re.search(r"[\r\n\0]", value.text()) or not re.fullmatch(r"[a-z0-9_-]+", name):
            value.fail("Not a header.", "Names are letters, digits and hyphens; values have one line.")
    return {name: value.text() for name, value in values.items()}


def _delay(node: Node) -> tuple[float, float]:
    if not isinstance(node.value, Mapping):
        return node.seconds(), 0.0
    entries = node.mapping(("first", "between"))
    return tuple(entries[name].seconds() if name in entries else 0.0 for name in ("first", "between"))  # type: ignore[return-value]


def _chunks(node: Node) -> list[str] | int:
    return [item.text() for item in node.elements()] if isinstance(node.value, list) else node.whole(1)


def _usage(node: Node) -> dict[str, Any] | None:
    if node.value is None or node.value is False:
        return None
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    details = ("prompt_tokens_details", "completion_tokens_details")
    entries = node.mapping((*counts, *details))
    usage: dict[str, Any] = {name: entries[name].whole() for name in counts if name in entries}
    for name in details:
        if name in entries:
            usage[name] = {key: value.whole() for key, value in entries[name].entries().items()}
    return usage


def _filter(node: Node) -> str | None:
    if isinstance(node.value, bool):
        return "reply" if node.value else None
    return node.choice("reply", "prompt")


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(item.text() for item in node.elements())


def _refused_values(node: Node) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(item.plain() for item in value.elements()) for name, value in node.entries().items()}


def _model(node: Node) -> Model:
    if isinstance(node.value, str):
        return Model(id=node.text())
    entries = node.mapping(_MODEL)
    if "id" not in entries:
        node.fail("A model needs an `id`.")
    return Model(**{name: read(entries[name]) for name, read in _MODEL.items() if name in entries})


_Read = Callable[[Node], Any]
_KINDS: dict[str, _Read] = {
    "count": Node.whole,
    "seconds": Node.seconds,
    "size": Node.size,
    "text": Node.text,
    "flag": Node.flag,
    "wait": _wait,
}
_WHEN: dict[str, _Read] = {
    "text": Node.pattern,
    "model": Node.pattern,
    "stream": Node.flag,
    "header": _header_patterns,
    "nth": lambda node: node.whole(1),
    "path": Node.pattern,
}
_RULE: dict[str, _Read] = {
    "times": lambda node: node.whole(1),
    "reply": Node.text,
    "finish_reason": Node.text,
    "refusal": Node.text,
    "filter": _filter,
    "reasoning": Node.whole,
    "chunks": _chunks,
    "delay": _delay,
    "usage": _usage,
    "model": Node.text,
    "headers": _header_values,
}
_HABITS: dict[str, _Read] = {
    "window": lambda node: node.whole(1),
    "strict_names": Node.flag,
    "strict_roles": Node.flag,
    "refuse_fields": _texts,
    "refuse_values": _refused_values,
    "refuse_as": lambda node: node.choice("openai", "mistral"),
    "ignore_fields": _texts,
    "limit_field": lambda node: node.choice("max_tokens", "max_completion_tokens", "both"),
    "families": Node.flag,
}
_MODEL: dict[str, _Read] = {
    "id": Node.text,
    "snapshot": Node.text,
    "created": Node.whole,
    "owned_by": Node.text,
    "shutdown_date": Node.date,
}
SETTINGS = (*_HABITS, "rules", "otherwise", "key", "models")
TABLES = (("when", "fault", *_RULE), tuple(_WHEN), tuple(_MODEL))
