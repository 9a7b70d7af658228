"""The formats of all installed modules, which of them a file is, and reading it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chatstep.errors import InvalidInput, UnreadableFile
from chatstep.registry import modules, unknown
from chatstep.sketch import Sketch, sketch
from chatstep.source import Source
from chatstep.transcript import Transcript, TranscriptFormat

__all__ = ["find_format", "formats", "read_transcript"]


def formats() -> dict[str, TranscriptFormat]:
    """All formats that the installed modules read, by name; raises InvalidInput when two claim one name."""
    found: dict[str, TranscriptFormat] = {}
    for module in modules():
        for each in module.transcript_formats:
            if each.name in found:
                raise InvalidInput(f"There are two transcript formats {each.name!r}.", place=f"module {module.name}")
            found[each.name] = each
    return found


def find_format(source: Source) -> TranscriptFormat:
    """The one format that recognises the file; raises UnreadableFile when none does, or several do."""
    known = formats()
    found = [each for each in known.values() if each.recognise(source)]
    if len(found) == 1:
        return found[0]
    place = str(source.path)
    if found:
        names = ", ".join(each.name for each in found)
        raise UnreadableFile(
            f"The file may be any of these: {names}.",
            place=place,
            hint="If it is a folder or zip of several exports, name the one that is meant; "
            "from Python, `format` says which it is.",
        )
    seen = sketch(source.head()) if source.kind == "file" else None
    if seen is not None and seen.kind == "empty":
        raise UnreadableFile("The file is empty.", place=place, hint="Export or download the chat again.")
    is_html = seen.kind == "html" if seen is not None else any(name.endswith(".html") for name in source.names())
    raise UnreadableFile(
        f"The file is no transcript that is known; it {_beginning(source, seen)}.",
        place=place,
        hint="Export the chat again as JSON: pages of HTML cannot be read."
        if is_html
        else f"Formats: {', '.join(known)}. A simple one is CSV with the columns author and text.",
    )


def _beginning(source: Source, seen: Sketch | None) -> str:
    """What the file begins with, in words that quote none of its texts."""
    if seen is not None:
        return f"begins with {seen}"
    kinds = Counter(Path(name).suffix.lower()[:12] or "no suffix" for name in source.names())
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(6))
    return f"is a {source.kind} with {f'these files: {listed}' if kinds else 'no files'}"


def read_transcript(path: Path | str | Source, channel: str | None = None, format: str | None = None) -> Transcript:
    """Read a file, folder or zip of any known format; ``channel`` names one of several chats in it.

    Raises UnreadableFile for a file that is damaged or of no known format, UnknownName listing the chats when there
    are several and none is named, and for an unknown ``format``.
    """
    known = formats()
    if format is not None and format not in known:
        raise unknown("transcript format", format, known)
    with path if isinstance(path, Source) else Source(Path(path)) as source:
        chosen = find_format(source) if format is None else known[format]
        transcript = chosen.read(source, channel)
        if not transcript.messages:
            raise UnreadableFile("The file holds no messages.", place=str(source.path))
        return transcript
