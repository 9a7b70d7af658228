"""Makes docs/pictures/demo.svg: what `chatstep demo` shows on a terminal, drawn from its real output.

``python scripts/make_pictures.py`` runs the command on a terminal of its own and draws what comes; ``--check`` fails
when the picture shows something else. Only the time that the reply took may differ. No font is fetched.
"""

from __future__ import annotations

import fcntl
import html
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from itertools import accumulate
from pathlib import Path

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.style import Style
from rich.text import Text

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "demo.svg"
COLUMNS, ROWS = 96, 60

FORMAT = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="chatstep demo">
<!-- Made by scripts/make_pictures.py. -->
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> int:
    """Draw, or with ``--check`` compare; gives the exit code."""
    drawn = picture(shown())
    current = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    if words(drawn) == words(current) and current:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/pictures/demo.svg is stale; run `python scripts/make_pictures.py`", file=sys.stderr)
        return 1
    PICTURE.write_text(drawn, encoding="utf-8")
    print(f"wrote {PICTURE.name}")
    return 0


def shown() -> str:
    """What the command writes to a terminal, colours and all, with the line that was typed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    names = ("NO_COLOR", "COLUMNS", "LINES")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CHATSTEP_") and key not in names}
    with tempfile.TemporaryDirectory() as home:
        environ |= {"CHATSTEP_HOME": home, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
        command = [sys.executable, "-c", "from chatstep.cli import main; main()", "demo"]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ)  # noqa: S603 - our own command
        os.close(theirs)
        written = bytearray()
        try:
            while block := os.read(ours, 65_536):
                written += block
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(ours)
        if process.wait() != 0:
            raise SystemExit(f"chatstep demo failed:\n{written.decode(errors='replace')}")
    return "\x1b[1m$ chatstep demo\x1b[0m\n" + written.decode().replace("\r\n", "\n")


def picture(output: str) -> str:
    """The output as an SVG."""
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    for line in Text.from_ansi(output).split("\n"):
        # A run of characters is drawn at one width each, so a wide one begins and ends a run of its own.
        for at, char in enumerate(line.plain):
            if cell_len(char) > 1:
                line.stylize(Style(meta={"wide": True}), at, at + 1)
        parts = chop_cells(line.plain, COLUMNS)  # a terminal goes on in the next line, in the middle of a word
        for part in line.divide(list(accumulate(map(len, parts)))[:-1]) if parts else [line]:
            console.print(part, soft_wrap=True)
    return console.export_svg(title="chatstep", code_format=FORMAT, unique_id="demo")


def words(drawn: str) -> list[str]:
    """The texts of a picture, less the time."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    plain = "".join(html.unescape(text).replace("\xa0", " ") for text in texts)
    return re.sub(r"\d+\.\d+ s", "", plain).split()


if __name__ == "__main__":
    sys.exit(main())
