"""``python -m benchmarks [NAME...]``: run all benchmarks or the named ones, print them, rewrite RESULTS.md."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from benchmarks.report import RESULTS, as_text, write

NAMES = (
    "complete",
    "stream",
    "prompt",
    "trim",
    "window",
    "transcripts",
    "start",
    "in_flight",
    "gateway",
    "saved",
    "streams",
    "flows",
    "workers",
    "memory",
)


def main() -> int:
    """Run; the exit code is 1 when something of ours could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(NAMES)}; all when left out"
    )
    names = parser.parse_args().names or list(NAMES)
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}. Known: {', '.join(NAMES)}")
    sections = []
    for name in names:
        started = time.monotonic()
        print(f"-- {name} ...", file=sys.stderr, flush=True)
        section = importlib.import_module(f"benchmarks.bench_{name}").run()
        print(f"-- {name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        print(as_text(section), flush=True)
        sections.append(section)
        write(sections[-1:], NAMES)
    print(f"Written to {RESULTS.relative_to(RESULTS.parent.parent)}.")
    return int(any(value is None for section in sections for _, value, _, _ in section.targets))


if __name__ == "__main__":
    sys.exit(main())
