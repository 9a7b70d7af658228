"""Secret: a key that does not show itself.

Whoever needs the text asks for it by name, `reveal`, at the place where it leaves for the network or is sealed.
Printing, formatting, logging, pickling or encoding a Secret never gives the text.
"""

from __future__ import annotations

from typing import NoReturn

from chatstep.errors import ChatstepError

__all__ = ["Secret"]

_PLACEHOLDER = 6  # shorter ones, as servers of one's own are given, keep nothing and stand in ordinary words


class Secret:
    """Holds one key or password."""

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The text itself."""
        return self.__value

    def hidden(self, text: str) -> str:
        """The text without the secret, also where the text was cut in the middle of it."""
        value = self.__value
        start = value[:_PLACEHOLDER]
        if len(start) < _PLACEHOLDER or start not in text:
            return text
        text = text.replace(value, "***")
        at = text.rfind(start)
        return f"{text[:at]}***" if at >= 0 and value.startswith(text[at:]) else text

    def keep_out_of(self, error: ChatstepError) -> None:
        """Take the secret out of what an error holds: a server may repeat it in what it says."""
        for name, value in error.details.items():
            if isinstance(value, str):
                error.details[name] = self.hidden(value)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.__value

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Secret is never pickled.")
