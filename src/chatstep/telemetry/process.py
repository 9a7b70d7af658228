"""What a process takes of its machine, under the names that Prometheus' own clients use."""

from __future__ import annotations

import os
import resource
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

from chatstep.telemetry.families import Family, Sample

__all__ = ["of_build", "of_process"]

_BEGAN = time.time()
_SELF = Path("/proc/self")


def of_process() -> list[Family]:
    """CPU, memory, open files, and since when. Reads /proc where there is one."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = [
        _one("process_cpu_seconds", "counter", "User and system CPU seconds.", used.ru_utime + used.ru_stime),
        _one("process_resident_memory_bytes", "gauge", "Memory that is resident.", _resident(used.ru_maxrss)),
        _one("process_start_time_seconds", "gauge", "When the process began, in unix seconds.", _BEGAN),
    ]
    if _SELF.is_dir():
        found.append(_one("process_open_fds", "gauge", "Open files and sockets.", len(os.listdir(_SELF / "fd"))))
    return found


@cache
def of_build() -> Family:
    """Which release of chatstep on which Python."""
    labels = (("version", version("chatstep")), ("python", ".".join(map(str, sys.version_info[:3]))))
    return Family("chatstep_build_info", "gauge", "Which release this is.", (Sample("", labels, 1),), shared=True)


def _one(name: str, kind: str, help: str, value: float) -> Family:
    return Family(name, kind, help, (Sample("", (), value),))  # type: ignore[arg-type]


def _resident(most: int) -> int:
    try:
        pages = int((_SELF / "statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return most if sys.platform == "darwin" else most * 1024  # the most that it was; macOS counts in bytes
    return pages * os.sysconf("SC_PAGE_SIZE")
