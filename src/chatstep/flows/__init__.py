"""Flows: steps in a row, started by an event, that survive crashes.

`definition` says what a flow is, `reading` reads one from YAML, `checking` finds what is wrong with it, `walk` runs it
and knows no engine, `engine` is the one folder that imports DBOS. Light until an engine is opened.
"""

from importlib.util import find_spec

from chatstep.errors import InvalidInput

__all__ = ["needs_flows"]


def needs_flows() -> None:
    """Raise InvalidInput where what flows need beside chatstep itself is not installed."""
    if not all(find_spec(name) for name in ("dbos", "jinja2", "cronsim")):
        raise InvalidInput("Flows need packages that are not installed.", hint="Run: pip install 'chatstep[flows]'")
