"""Every error that chatstep raises, as one tree.

ChatstepError
├── InputError               what was handed in cannot be used
│   ├── InvalidInput         a field has a wrong value
│   ├── UnknownName          no connection, conversation, preset ... of that name
│   ├── UnreadableFile       a file is missing, cut, in another encoding or of another kind
│   └── DoesNotFit           instructions and message alone exceed the budget
├── StoreError               the store cannot be opened or written
│   ├── SealError            the sealing key is missing, unsafe or does not open a stored key
│   └── StoreBusy            somebody else holds the database for too long
├── StepError                the step ran and gave no usable answer
│   ├── Refused              the same request would fail again
│   │   ├── CredentialsRefused   key, organisation, address or permission
│   │   ├── ModelUnavailable     retired, misspelt, no access, or not a chat model
│   │   ├── OutOfMoney           quota, credit or the provider's spend limit
│   │   │   └── SpendLimitReached    chatstep's own limit, checked before the call
│   │   ├── ContextTooLong       the prompt is longer than the model takes
│   │   └── RequestRefused       any other refusal, also a prompt that was filtered
│   ├── Busy                 the same request may succeed later
│   │   ├── RateLimited
│   │   ├── ProviderDown         5xx, overload
│   │   ├── Unreachable          no connection: name, address, TLS, reset
│   │   └── TimedOut
│   └── BadAnswer            an answer came, but not one to pass on; carries what there was of it
│       ├── EmptyAnswer          no text: Max Tokens was spent, on thinking or before a word
│       ├── AnswerRefused        the model declined
│       ├── AnswerFiltered       the provider's filter stopped it
│       ├── AnswerCut            the stream ended without its end
│       ├── AnswerUnreadable     HTML, broken JSON, no choices
│       ├── AnswerTooLarge
│       └── UnexpectedToolCall   a tool call where no tools were offered
└── Interrupted              stopped by the person who asked

One constructor shape serves all of them, so that an error survives pickle, a database and a JSON answer.
Nothing here ever holds a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

__all__ = [
    "AnswerCut",
    "AnswerFiltered",
    "AnswerRefused",
    "AnswerTooLarge",
    "AnswerUnreadable",
    "BadAnswer",
    "Busy",
    "ChatstepError",
    "ContextTooLong",
    "CredentialsRefused",
    "DoesNotFit",
    "EmptyAnswer",
    "InputError",
    "Interrupted",
    "InvalidInput",
    "ModelUnavailable",
    "OutOfMoney",
    "ProviderDown",
    "RateLimited",
    "Refused",
    "RequestRefused",
    "SealError",
    "SpendLimitReached",
    "StepError",
    "StoreBusy",
    "StoreError",
    "TimedOut",
    "UnexpectedToolCall",
    "UnknownName",
    "Unreachable",
    "UnreadableFile",
    "all_errors",
    "from_data",
]


class ChatstepError(Exception):
    """Base of all errors of chatstep.

    ``message`` is one sentence that says what is wrong. ``details`` holds plain data: ``place`` (which field, file or
    line), ``hint`` (what to do), and whatever the class adds, such as ``partial`` text or ``retry_after`` seconds.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = {key: value for key, value in details.items() if value is not None}

    @property
    def place(self) -> str | None:
        """Where it is wrong: a field's path, a file and line, or None."""
        return self.details.get("place")

    @property
    def hint(self) -> str | None:
        """What to do about it, or None."""
        return self.details.get("hint")

    def with_details(self, **details: Any) -> Self:
        """Add details that the raising place did not know; what is there already stays."""
        for key, value in details.items():
            if value is not None:
                self.details.setdefault(key, value)
        return self

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details)

    def to_data(self) -> dict[str, Any]:
        """The error as plain data: ``error`` (its code), ``message`` and the details. `from_data` reads it back."""
        return {**self.details, "error": self.code, "message": self.message}


def _rebuild(kind: type[ChatstepError], message: str, details: dict[str, Any]) -> ChatstepError:
    return kind(message, **details)


class InputError(ChatstepError):
    """What was handed in cannot be used."""

    code, exit_code, http_status = "input_error", 2, 400


class InvalidInput(InputError):
    """A field has a wrong value."""

    code = "invalid_input"


class UnknownName(InputError):
    """Nothing of that name is known; ``near`` lists names that are close."""

    code, exit_code, http_status = "unknown_name", 3, 404


class UnreadableFile(InputError):
    """A file is missing, cut in the middle, in another encoding, or of another kind."""

    code, exit_code = "unreadable_file", 4


class DoesNotFit(InputError):
    """Instructions and message alone are longer than the budget; ``tokens`` and ``budget`` say by how much."""

    code, exit_code, http_status = "does_not_fit", 5, 413


class StoreError(ChatstepError):
    """The store cannot be opened, read or written."""

    code, exit_code, http_status = "store_error", 6, 500


class SealError(StoreError):
    """The sealing key is missing, readable by others, or does not open a stored key."""

    code, exit_code = "seal_error", 7


class StoreBusy(StoreError):
    """Another process holds the database for longer than we wait."""

    code, exit_code, http_status = "store_busy", 8, 503


class StepError(ChatstepError):
    """The step ran and gave no usable answer; ``attempts`` says how many requests were sent."""

    code, exit_code, http_status = "step_error", 10, 502


class Refused(StepError):
    """The provider refused, and would refuse the same request again."""

    code, exit_code = "refused", 10


class CredentialsRefused(Refused):
    """The key, the organisation, the address or the permission was not accepted."""

    code, exit_code = "credentials_refused", 11


class ModelUnavailable(Refused):
    """The model is retired, misspelt, not open to this key, or does not chat."""

    code, exit_code, http_status = "model_unavailable", 12, 404


class OutOfMoney(Refused):
    """Quota, credit or a spend limit of the provider is used up. Never retried."""

    code, exit_code, http_status = "out_of_money", 13, 402


class SpendLimitReached(OutOfMoney):
    """The connection's own daily or monthly limit would be passed; nothing was sent."""

    code, exit_code = "spend_limit_reached", 14


class ContextTooLong(Refused):
    """The prompt, or prompt and reply together, exceed what the model takes; ``limit`` is its window where given."""

    code, exit_code, http_status = "context_too_long", 15, 413


class RequestRefused(Refused):
    """Any other refusal, a filtered prompt among them."""

    code, exit_code, http_status = "request_refused", 16, 400


class Busy(StepError):
    """The same request may succeed later; ``retry_after`` gives seconds where the provider named them."""

    code, exit_code, http_status = "busy", 20, 503


class RateLimited(Busy):
    """Too many requests or tokens in a short time."""

    code, exit_code, http_status = "rate_limited", 21, 429


class ProviderDown(Busy):
    """The provider failed or is overloaded."""

    code, exit_code, http_status = "provider_down", 22, 502


class Unreachable(Busy):
    """No connection: name, address, TLS, or one that broke before the answer was whole; see AnswerCut for streams."""

    code, exit_code, http_status = "unreachable", 23, 502


class TimedOut(Busy):
    """Time ran out; ``phase`` says in which part (connect, first byte, between bytes, total)."""

    code, exit_code, http_status = "timed_out", 24, 504


class BadAnswer(StepError):
    """An answer came, but not one to pass on. ``partial`` is its text so far, ``usage`` what it took."""

    code, exit_code = "bad_answer", 30


class EmptyAnswer(BadAnswer):
    """No text: Max Tokens was spent before the first word, mostly on thinking."""

    code, exit_code = "empty_answer", 31


class AnswerRefused(BadAnswer):
    """The model declined; ``refusal`` is what it said."""

    code, exit_code = "answer_refused", 32


class AnswerFiltered(BadAnswer):
    """The provider's content filter stopped the answer."""

    code, exit_code = "answer_filtered", 33


class AnswerCut(BadAnswer):
    """The stream ended without its end."""

    code, exit_code = "answer_cut", 34


class AnswerUnreadable(BadAnswer):
    """Not an answer of this protocol: HTML, broken JSON, no choices. ``body`` is its beginning."""

    code, exit_code = "answer_unreadable", 35


class AnswerTooLarge(BadAnswer):
    """The answer, unpacked, is larger than allowed."""

    code, exit_code = "answer_too_large", 36


class UnexpectedToolCall(BadAnswer):
    """The model called a tool although none was offered."""

    code, exit_code = "unexpected_tool_call", 37


class Interrupted(ChatstepError):
    """Stopped by the person who asked (Ctrl-C)."""

    code, exit_code, http_status = "interrupted", 130, 499


def all_errors(root: type[ChatstepError] = ChatstepError) -> Iterator[type[ChatstepError]]:
    """The classes of the tree, parents before children."""
    yield root
    for child in root.__subclasses__():
        yield from all_errors(child)


def from_data(data: dict[str, Any]) -> ChatstepError:
    """Read back what `ChatstepError.to_data` wrote; an unknown code (from a newer version) gives the base class."""
    details = dict(data)
    code, message = details.pop("error", ""), details.pop("message", "")
    kind = next((kind for kind in all_errors() if kind.code == code), ChatstepError)
    return kind(str(message), **details)
