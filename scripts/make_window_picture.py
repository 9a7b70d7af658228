"""Makes docs/pictures/windows.svg and the table of docs/windows.md from the simulation of the benchmark `window`.

``python scripts/make_window_picture.py`` writes them; ``--check`` fails when the simulation says something else. The
picture shows the prompts of one chat, turn by turn, under `newest` and under `steady`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the simulation is not part of the package

from benchmarks.bench_window import USUAL, chats, compare  # noqa: E402
from benchmarks.window_chats import SHAPES, Rule, Sent, chat, play  # noqa: E402
from benchmarks.window_rules import newest, steady  # noqa: E402

PAGE = ROOT / "docs" / "windows.md"
PICTURE = ROOT / "docs" / "pictures" / "windows.svg"
TABLE = re.compile(r"(?<=<!-- figures of the simulation -->\n).*?(?=<!-- end of the figures -->)", re.DOTALL)

SHAPE, FIRST, TURNS = "help desk", 40, 80
WIDTH, LEFT, RIGHT, PANEL, GAP, TOP = 860, 64, 16, 150, 74, 62
FULL, READ, INK, FAINT = "#c2410c", "#93c5fd", "#1f2937", "#6b7280"
MOST = 4_500


def main() -> int:
    """Write, or with ``--check`` compare; gives the exit code."""
    page = PAGE.read_text(encoding="utf-8")
    made = {PAGE: TABLE.sub(table().replace("\\", r"\\"), page), PICTURE: picture()}
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" not in sys.argv[1:]:
            path.write_text(made[path], encoding="utf-8")
        print(f"{'stale' if '--check' in sys.argv[1:] else 'wrote'}: {path.relative_to(ROOT)}")
    return int(bool(stale) and "--check" in sys.argv[1:])


def table() -> str:
    """Bills and context of `steady` for every shape of chat, and their means."""
    lines = [
        "| chat | bill at 50 % off | at 75 % off | at 90 % off | 90 % off, writes 1.25 | context kept |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, shapes in [*((shape, [shape]) for shape in SHAPES), ("**mean**", list(SHAPES))]:
        found = compare(steady, chats(shapes=shapes))
        cells = [*(f"{bill:.2f}" for bill in found.bills), f"{found.context:.0%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture() -> str:
    """Both windows, one above the other, a bar for each turn's prompt."""
    height = TOP + 2 * PANEL + GAP + 52
    share = compare(steady, chats(shapes=[SHAPE])).bills[1]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="Prompts of {TURNS} turns under newest and under steady" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<!-- Made by scripts/make_window_picture.py. -->",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *legend(),
        *panel("newest: nearly every prompt starts at another message, and is paid in full", newest, TOP),
        *panel(
            f"steady: the same start for many turns; at 75 % off its bill is {share:.2f} of the one above",
            steady,
            TOP + PANEL + GAP,
        ),
        text(LEFT, height - 12, f"turns {FIRST} to {FIRST + TURNS} of a simulated help desk; 4,000 tokens for history"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def legend() -> list[str]:
    """What the colours mean."""
    entries = ((LEFT, FULL, "paid in full"), (LEFT + 130, READ, "read from the provider's cache"))
    return [
        line
        for x, colour, name in entries
        for line in (f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/>', text(x + 18, 22.5, name, INK))
    ]


def panel(title: str, rule: Rule, top: int) -> list[str]:
    """The axis and the bars of one window."""
    sent = play(chat(SHAPE, FIRST + TURNS, 0), rule, USUAL)[FIRST:]
    parts = [text(LEFT, top - 10, title, INK, 'font-weight="600"')]
    for tokens in (0, 2_000, 4_000):
        y = top + PANEL - scaled(tokens)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        parts.append(text(LEFT - 8, y + 4, f"{tokens:,}", FAINT, 'text-anchor="end"'))
    return parts + [bar for at, one in enumerate(sent) for bar in bars(at, one, top + PANEL)]


def bars(at: int, sent: Sent, floor: int) -> list[str]:
    """One prompt: what the cache gave below, what was paid in full above."""
    step = (WIDTH - LEFT - RIGHT) / TURNS
    x, cached, whole = LEFT + at * step, scaled(sent.cached), scaled(sent.prompt)
    pieces = ((floor - cached, cached, READ), (floor - whole, whole - cached, FULL))
    return [
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{high:.1f}" fill="{colour}"/>'
        for y, high, colour in pieces
        if high
    ]


def scaled(tokens: int) -> float:
    """Pixels of so many tokens."""
    return tokens * PANEL / MOST


def text(x: float, y: float, words: str, colour: str = FAINT, more: str = "") -> str:
    """A line of text."""
    return f'<text x="{x}" y="{y:.1f}" fill="{colour}" {more}>{words}</text>'.replace(" >", ">")


if __name__ == "__main__":
    sys.exit(main())
