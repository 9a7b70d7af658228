"""Logging to stderr, as the setting `log` says. No text of a conversation and no key ever passes it.

chatstep's own rooms log neither. Other libraries make no such promise, so of their records only the source is shown,
and of an exception its type and where it happened.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback

__all__ = ["Formatter", "set_up"]

_KEY = re.compile(r"(?i)\b(?:sk-|gsk_|bearer\s+|api-key[:=]\s*)[\w.~+/=-]{6,}")


class Formatter(logging.Formatter):
    """One line per record."""

    def format(self, record: logging.LogRecord) -> str:
        """The time, level, source and, for chatstep's own records, the message."""
        own = record.name == "chatstep" or record.name.startswith("chatstep.")
        text = _KEY.sub("***", record.getMessage()) if own else f"(from {record.module}:{record.lineno}, not shown)"
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.name}: {text}"
        if record.exc_info and record.exc_info[1] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
            line += f" [{type(record.exc_info[1]).__name__}{where}]"
        return line.replace("\n", " ")


def set_up(level: str) -> None:
    """Log to stderr from this level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each.formatter, Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("chatstep").setLevel(level.upper())
