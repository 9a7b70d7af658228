"""Tables of figures: printed as plain text, and written to RESULTS.md by section, keeping the other sections."""

from __future__ import annotations

import datetime
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.passes import ROOT, Measured, python_of
from benchmarks.peers import OURS, PEERS

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
INTRODUCTION = """# Results

Written by `make bench` (or `python -m benchmarks [NAME...]` in its environment); do not edit. CPU is process time, user
and system, of the client's process. Every process is measured in turns with the others (A B C A B C ...) after one
warm-up pass; figures are medians over the passes, with the lowest and highest beside them. The server is canned, in a
process of its own on loopback, the same for all; all clients run on the same event loop (uvloop where it installs).
Ratios are the peer's figure divided by ours: above 1 the peer costs more.
"""


@dataclass
class Section:
    """One benchmark's outcome."""

    name: str
    title: str
    how: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[tuple[str, float | None, str, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def target(self, what: str, value: float | None, at_most: float, unit: str = "") -> None:
        """Record a number to reach that must not be exceeded; None: it was not measured."""
        reached = value is not None and value <= at_most
        self.targets.append((f"{what} ≤ {at_most:g}{unit}", value, unit, reached))

    def target_ratio(self, what: str, value: float | None, at_least: float) -> None:
        """Record a ratio that must not be fallen short of; None: it was not measured."""
        self.targets.append((f"{what} ≥ {at_least:g} ×", value, " ×", value is not None and value >= at_least))


def add_figures(section: Section, measured: dict[str, Measured], figure: str, scale: float) -> None:
    """One row per peer: the median, its spread, and the ratio to ours; or why there is none."""
    ours = median_or_none(measured.get(OURS), figure)
    for peer, result in measured.items():
        title = PEERS[peer].title
        if result.failure:
            section.rows.append((title, "failed", "", ""))
            section.notes.append(f"{title}: {result.failure}")
            continue
        low, high = result.spread(figure)
        median = result.median(figure)
        ratio = f"{median / ours:.2f} ×" if ours else "-"
        section.rows.append((title, number(median * scale), f"{number(low * scale)} - {number(high * scale)}", ratio))


def median_or_none(measured: Measured | None, figure: str) -> float | None:
    """The median of a runner, or None when it failed or was not there."""
    return None if measured is None or not measured.passes else measured.median(figure)


def quotient(above: float | None, below: float | None) -> float | None:
    """Their ratio, or None when one was not measured."""
    return None if above is None or not below else above / below


def number(value: float) -> str:
    """Three digits that matter, thousands with commas."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def _reached(target: tuple[str, float | None, str, bool]) -> tuple[str, str, str]:
    what, value, unit, reached = target
    return what, "not measured" if value is None else f"{number(value)}{unit}", "yes" if reached else "NO"


def as_text(section: Section) -> str:
    """The section for a terminal."""
    parts = [f"== {section.title}", _grid([section.columns, *section.rows])]
    if section.targets:
        parts.append(_grid([("to reach", "measured", "reached"), *map(_reached, section.targets)]))
    parts += [f"note: {note}" for note in section.notes]
    return "\n".join(parts) + "\n"


def _grid(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *rest = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  " + "  ".join((first, *rest)).rstrip())
    return "\n".join(lines)


def as_markdown(section: Section) -> str:
    """The section for RESULTS.md."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    parts = [
        f"## {section.name}: {section.title}",
        f"{section.how} Measured {today}.",
        _pipes([section.columns, *section.rows]),
    ]
    if section.targets:
        parts.append(_pipes([("to reach", "measured", "reached"), *map(_reached, section.targets)]))
    if section.notes:
        parts.append("\n".join(f"- {note}" for note in section.notes))
    return "\n\n".join(parts) + "\n"


def _pipes(rows: list[tuple[str, ...]]) -> str:
    head, *body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    rule = "|" + "---|" + "---:|" * (len(rows[0]) - 1)
    return "\n".join((head, rule, *body))


def write(sections: Iterable[Section], order: Iterable[str], path: Path = RESULTS) -> None:
    """Rewrite the file: new sections replace the old ones of their name, the others stay as they were."""
    kept: dict[str, str] = {}
    if path.exists():
        for part in re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            kept[part[3:].split(":", 1)[0].strip()] = part.rstrip() + "\n"
    kept |= {section.name: as_markdown(section) for section in sections}
    wanted = [name for name in order if name in kept]
    path.write_text("\n".join((INTRODUCTION, machine(), *(kept[name] for name in wanted))), encoding="utf-8")


def machine() -> str:
    """The machine and the versions, as a section."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    models = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)
    processor = f"{models[0]}, {len(models)} cores" if models else platform.processor() or "unknown"
    rows = [
        ("Processor", processor),
        ("System", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("Date of the last run", datetime.datetime.now(datetime.UTC).date().isoformat()),
        *versions().items(),
    ]
    return "## machine: where, and with what\n\n" + _pipes([("what", "which"), *rows]) + "\n"


def versions() -> dict[str, str]:
    """The installed version of every measured package."""
    found: dict[str, str] = {}
    for name, peer in PEERS.items():
        packages = [package for package in peer.packages if package not in found]
        if packages:
            found |= _versions(name, packages)
    return found | _versions(OURS, ["llm", "uvloop", "splintr-rs"])


def _versions(peer: str, packages: list[str]) -> dict[str, str]:
    code = (
        "import sys; from importlib import metadata\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(metadata.version(name))\n"
        "    except metadata.PackageNotFoundError: print('not installed')\n"
    )
    python = python_of(peer)
    if not python.exists():
        return dict.fromkeys(packages, "not installed")
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return dict(zip(packages, done.stdout.split("\n"), strict=False))
