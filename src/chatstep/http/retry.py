"""Whether a failed request is sent again, and after how long.

Sent again: `chatstep.errors.Busy`, which includes failures of the transport. Never: money, everything else, a total
deadline (the server may be writing an answer that is already paid for), a certificate (it will not become valid).
An answer that broke off is asked for once more and not again, since it was written, and charged, each time.
The header ``x-should-retry`` outranks the class of the error, except for money.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from chatstep.errors import Busy, ChatstepError, OutOfMoney, TimedOut, Unreachable
from chatstep.http.values import Patience

__all__ = ["Retry", "server_delay"]

_NOTHING: Mapping[str, str] = {}
_BEGUN = ("answer", "between bytes")  # phases in which an answer was on its way


class Retry:
    """Counts the waiting of one call."""

    def __init__(self, patience: Patience, random: Callable[[], float]) -> None:
        self._patience = patience
        self._random = random
        self._waited = 0.0
        self._broken = 0

    def delay(self, error: ChatstepError, headers: Mapping[str, str] | None, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, or None when ``error`` ends the call.

        A delay that the server named is added to the error as ``retry_after``.
        """
        headers = _NOTHING if headers is None else headers
        asked = server_delay(headers)
        error.with_details(retry_after=asked)
        if not _worth_it(error, headers) or attempt >= self._patience.tries:
            return None
        if not self._patience.resend and _fate_unknown(error):
            return None
        if error.details.get("phase") in _BEGUN:
            self._broken += 1
            if self._broken > 1:
                return None
        asked = error.details.get("retry_after") if asked is None else asked
        delay = self._jitter(attempt) if asked is None else float(asked)
        if self._waited + delay > self._patience.wait:
            return None
        self._waited += delay
        return delay

    def _jitter(self, attempt: int) -> float:
        # The exponent is bounded because 2.0 ** 1024 overflows.
        return self._random() * min(self._patience.cap, self._patience.base * 2.0 ** min(attempt - 1, 60))


def _worth_it(error: ChatstepError, headers: Mapping[str, str]) -> bool:
    details = error.details
    if isinstance(error, OutOfMoney) or details.get("phase") == "total" or details.get("reason") == "certificate":
        return False
    wish = headers.get("x-should-retry", "").strip().lower()
    if wish in ("true", "false"):
        return wish == "true"
    return isinstance(error, Busy)


def _fate_unknown(error: ChatstepError) -> bool:
    return isinstance(error, (Unreachable, TimedOut)) and error.details.get("phase") not in ("connect", "provider")


def server_delay(headers: Mapping[str, str]) -> float | None:
    """Seconds named by ``retry-after-ms`` or ``retry-after`` (a number, fractions too, or an HTTP date)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
    return _until(text) if seconds is None else seconds


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _until(date: str) -> float | None:
    try:
        delay = parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    # A date that is over says nothing, as clocks differ; our own back-off is then the better guess.
    return delay if delay > 0 else None
