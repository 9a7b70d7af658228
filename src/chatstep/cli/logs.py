"""Logging to stderr, as the settings `log` and `log_format` say. No text of a conversation and no key ever passes it.

chatstep's own rooms log neither. Other libraries make no such promise, so of their records only the source is shown,
and of an exception its type and where it happened.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from chatstep.cli.screen import for_terminal, note

__all__ = ["JsonFormatter", "TextFormatter", "announce", "set_up"]

REQUESTS = "chatstep.requests"
_KEY = re.compile(r"(?i)(?:\b(?:sk-|gsk_|cs_|bearer\s+)|api-key[:=]\s*)[\w.~+/=-]{6,}")
_UNITS = {"ms": " ms", "bytes": " B"}
_NAMELESS = ("method", "path", "status", *_UNITS)


class TextFormatter(logging.Formatter):
    """One line per record, to be read by people."""

    def format(self, record: logging.LogRecord) -> str:
        """The time, level, source and, for chatstep's own records, the message or what is known of a request."""
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7}"
        if (fields := getattr(record, "fields", None)) is not None:
            plain = [f"{fields[name]}{_UNITS.get(name, '')}" for name in _NAMELESS if name in fields]
            named = [f"{name}={_clean(value)}" for name, value in fields.items() if name not in _NAMELESS]
            return for_terminal(" ".join([line, *plain, *named]).replace("\n", " "))
        line += f" {record.name}: {_message(record)}"
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            line += f" [{type(record.exc_info[1]).__name__}{where}]"
        return line.replace("\n", " ")


class JsonFormatter(logging.Formatter):
    """One JSON object per record and line, to be read by programs."""

    def format(self, record: logging.LogRecord) -> str:
        """``time``, ``level``, ``logger``, ``pid``, then what is known of a request, or ``message`` and ``error``."""
        import msgspec

        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": os.getpid(),
        }
        if (fields := getattr(record, "fields", None)) is not None:
            said |= {name: _clean(value) for name, value in fields.items()}
        else:
            said["message"] = _message(record)
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            said["error"] = type(record.exc_info[1]).__name__
            said["traceback"] = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        return msgspec.json.encode(said).decode()


def set_up(level: str, format: str | None = None) -> None:
    """Log to stderr from this level on. A ``format`` that was chosen also brings a line for each request."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in _handlers():
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("chatstep").setLevel(level.upper())
    logging.getLogger(REQUESTS).setLevel(logging.NOTSET if format is None else logging.INFO)


def announce(text: str) -> None:
    """Tell how a command that serves is doing: a line on stderr, in the form that programs read if they read it."""
    for handler in _handlers():
        if isinstance(handler.formatter, JsonFormatter):
            handler.handle(logging.LogRecord("chatstep", logging.INFO, __file__, 0, text.strip(), None, None))
            return
    note(text)


def _handlers() -> list[logging.Handler]:
    ours = (TextFormatter, JsonFormatter)
    return [each for each in logging.getLogger().handlers if isinstance(each.formatter, ours)]


def _message(record: logging.LogRecord) -> str:
    own = record.name == "chatstep" or record.name.startswith("chatstep.")
    return _KEY.sub("***", record.getMessage()) if own else f"(from {record.module}:{record.lineno}, not shown)"


def _clean(value: Any) -> Any:
    """A value that may hold what a client sent, such as a model's name, without what looks like a key."""
    return _KEY.sub("***", value) if isinstance(value, str) else value
