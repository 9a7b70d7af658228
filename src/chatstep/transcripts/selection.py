"""A part of a transcript: the last messages, or those between two times."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from msgspec.structs import replace

from chatstep.errors import InvalidInput
from chatstep.message import Message
from chatstep.transcript import LeftOut, Transcript

__all__ = ["select"]


def select(
    transcript: Transcript,
    last: int | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
) -> Transcript:
    """The messages from ``since`` to ``until``, both included, and of these the ``last`` so many.

    Times are ISO 8601 or dates (a date as ``until`` means its whole day). A bound without zone is compared to the
    time as it is written in each message, one with a zone to the moment (a message without zone counts as UTC).
    Messages without a time are left out where a bound is given. Raises InvalidInput for what is no time or number.
    """
    if last is not None and last < 1:
        raise InvalidInput(f"{last} is no number of messages.", place="last", hint="Use 1 or more.")
    messages = transcript.messages
    left: list[LeftOut] = []
    if since is not None or until is not None:
        low, high = _bound(since, "since", time.min), _bound(until, "until", time.max)
        timed = [(message, moment) for message in messages if (moment := _moment(message)) is not None]
        kept = [message for message, moment in timed if _within(moment, low, high)]
        left.append(LeftOut("no time to compare", len(messages) - len(timed)))
        left.append(LeftOut("outside the chosen time", len(timed) - len(kept)))
        messages = kept
    if last is not None:
        left.append(LeftOut("before the last that were asked for", max(len(messages) - last, 0)))
        messages = messages[-last:]
    return replace(transcript, messages=messages, left_out=(*transcript.left_out, *(row for row in left if row.count)))


def _bound(value: str | date | None, place: str, whole_day: time) -> datetime | None:
    if isinstance(value, str):
        try:
            text = value.strip()
            value = date.fromisoformat(text) if len(text) <= 10 else datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput(
                f"{text[:40]!r} is no date or time.", place=place, hint="Write 2026-03-31 or 2026-03-31T18:00."
            ) from None
    if value is None or isinstance(value, datetime):
        return value
    return datetime.combine(value, whole_day)


def _moment(message: Message) -> datetime | None:
    try:
        return datetime.fromisoformat(message.time) if message.time else None
    except ValueError:
        return None


def _within(moment: datetime, low: datetime | None, high: datetime | None) -> bool:
    return (low is None or _alike(moment, low) >= low) and (high is None or _alike(moment, high) <= high)


def _alike(moment: datetime, bound: datetime) -> datetime:
    """The moment with or without zone, as the bound is."""
    if bound.tzinfo is None:
        return moment.replace(tzinfo=None)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
