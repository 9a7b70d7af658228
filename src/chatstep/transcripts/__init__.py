"""Transcripts: which reader a file wants, who wrote in it, a part of it, and writing it for others.

For the Python API and the command line. The formats are those of all installed modules; a file is recognised by its
content, never by its name.
"""

from __future__ import annotations

from chatstep.transcripts.authors import AuthorSummary, authors, match_assistant
from chatstep.transcripts.formats import find_format, formats, read_transcript
from chatstep.transcripts.selection import select
from chatstep.transcripts.writing import WRITTEN, write_transcript

__all__ = [
    "WRITTEN",
    "AuthorSummary",
    "authors",
    "find_format",
    "formats",
    "match_assistant",
    "read_transcript",
    "select",
    "write_transcript",
]
