"""Which modules there are: found by the entry points ``chatstep.modules``, ours and everybody's alike.

A clash of names is an error, never settled silently; an unknown name comes with those that are near.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from chatstep.errors import InvalidInput, UnknownName
from chatstep.step import ConnectionKind, Module, Step

__all__ = ["connection_kind", "connection_kinds", "modules", "near", "step_named", "steps", "unknown"]


@cache
def modules() -> tuple[Module, ...]:
    """All installed modules, by name; raises InvalidInput when two claim one name."""
    from importlib.metadata import entry_points  # 5 ms, which a completion on the environment's connection goes without

    found: dict[str, Module] = {}
    for entry in sorted(entry_points(group="chatstep.modules"), key=lambda entry: (entry.name, entry.value)):
        try:
            module = entry.load()
        except Exception as error:  # a plugin's code may raise anything
            raise InvalidInput(
                f"The module {entry.name!r} cannot be loaded: {type(error).__name__}: {error}.",
                place=entry.value,
                hint="Reinstall the package that offers it, or uninstall it.",
            ) from error
        if not isinstance(module, Module):
            raise InvalidInput(f"The entry point {entry.value!r} is no chatstep Module.", place=f"module {entry.name}")
        if module.name in found:
            raise InvalidInput(
                f"Two installed packages offer a module {module.name!r}.",
                place=entry.value,
                hint="Uninstall one of them.",
            )
        found[module.name] = module
    return tuple(found.values())


def steps() -> dict[str, Step]:
    """All steps by name; raises InvalidInput when two claim one name."""
    found: dict[str, Step] = {}
    for module in modules():
        for step in module.steps:
            if step.name in found:
                raise InvalidInput(f"There are two steps {step.name!r}.", place=f"module {module.name}")
            found[step.name] = step
    return found


def connection_kinds() -> dict[str, tuple[Module, ConnectionKind]]:
    """All connection kinds by name, each with its module; raises InvalidInput when two modules claim one name."""
    found: dict[str, tuple[Module, ConnectionKind]] = {}
    for module in modules():
        for kind in module.connection_kinds:
            if kind.name in found:
                raise InvalidInput(
                    f"Two modules offer the connection kind {kind.name!r}.", place=f"module {module.name}"
                )
            found[kind.name] = (module, kind)
    return found


def step_named(name: str) -> Step:
    """The step of that name; raises UnknownName."""
    found = steps()
    if name not in found:
        raise unknown("step", name, found)
    return found[name]


def connection_kind(name: str) -> ConnectionKind:
    """The connection kind of that name; raises UnknownName."""
    found = connection_kinds()
    if name not in found:
        raise unknown("connection kind", name, found)
    return found[name][1]


def near(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known names close to this one."""
    from difflib import get_close_matches

    by_fold = {other.casefold(): other for other in known}
    return [by_fold[fold] for fold in get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.6)]


def unknown(what: str, name: str, known: Iterable[str], place: str | None = None) -> UnknownName:
    """The error for a name that nothing has, with near ones first."""
    known = sorted(known)
    close = near(name, known)
    hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
    if known and not close:
        hint = f"Known: {', '.join(known[:20])}{' ...' if len(known) > 20 else ''}."
    return UnknownName(f"There is no {what} {name!r}.", place=place, hint=hint or None, near=close)
