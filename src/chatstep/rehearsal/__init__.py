"""The rehearsal provider: an offline server that speaks the chat-completions protocol, by script or by itself.

For tests, demos, and for trying flows without a key and without a bill. What is listed here is public; the parts with
a web server in them are loaded when they are first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatstep.rehearsal.faults import FAULTS, Fault, Parameter
    from chatstep.rehearsal.provider import Rehearsal, serve_forever
    from chatstep.rehearsal.received import Received
    from chatstep.rehearsal.recorder import Recorder, Replay
    from chatstep.rehearsal.script import Script
    from chatstep.rehearsal.script_reader import load_script

__all__ = [
    "FAULTS",
    "Fault",
    "Parameter",
    "Received",
    "Recorder",
    "Rehearsal",
    "Replay",
    "Script",
    "load_script",
    "serve_forever",
]

_HOMES = {
    "FAULTS": "faults",
    "Fault": "faults",
    "Parameter": "faults",
    "Received": "received",
    "Recorder": "recorder",
    "Rehearsal": "provider",
    "Replay": "recorder",
    "Script": "script",
    "load_script": "script_reader",
    "serve_forever": "provider",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
