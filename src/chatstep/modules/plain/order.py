"""Order of the messages of plain files: kept as it is, unless the file begins with the newest."""

from __future__ import annotations

from chatstep.reading import seconds_of
from chatstep.transcript import Transcript

__all__ = ["oldest_first"]


def oldest_first(transcript: Transcript) -> Transcript:
    """The transcript turned round, with a note, where its times run backwards from the first row to the last."""
    messages = transcript.messages
    first, last = _time(messages[0].time), _time(messages[-1].time)
    if first is None or last is None or first <= last:
        return transcript
    times = [time for message in messages if (time := _time(message.time)) is not None]
    if len(times) < len(messages) or times != sorted(times, reverse=True):
        transcript.notes = (*transcript.notes, "The messages are not in order of time; the file's order was kept.")
        return transcript
    messages.reverse()
    transcript.notes = (*transcript.notes, "The file begins with the newest message; the order was turned round.")
    return transcript


def _time(time: str | None) -> float | None:
    return seconds_of(time) if time else None
