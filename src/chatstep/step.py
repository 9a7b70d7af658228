"""What a step is, and all that it may ask for.

A Step declares its Inputs and Output as Structs; validation, JSON Schema, forms, command line and docs read that one
declaration. While it runs, a step sees the world through its Context alone: a connection, a request, a stream of bytes,
an event for whoever listens. Modules gather the steps and connection kinds of one outside service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from chatstep.errors import InvalidInput
from chatstep.secret import Secret

if TYPE_CHECKING:
    from chatstep.transcript import TranscriptFormat

__all__ = [
    "PER_MINUTE",
    "Connection",
    "ConnectionKind",
    "Context",
    "Effect",
    "Field",
    "Listener",
    "Module",
    "Run",
    "Step",
    "per_minute",
    "step",
]

Effect = Literal["none", "outside", "run"]
"""What a step touches, which decides how its result is kept over a crash.

``none``: nothing; its result follows from its inputs, so it is run again rather than stored. ``outside``: money or the
world; its result is stored when it is there, and never asked for again. ``run``: the run itself (a wait, another flow),
through what `Run` offers, which is durable by itself.
"""


class Connection(Protocol):
    """A named connection while a step uses it."""

    name: str
    kind: str

    @property
    def opened(self) -> Any:
        """What the connection kind made of the stored settings: an address, headers, habits of the server."""

    def traits(self, model: str) -> dict[str, Any]:
        """What was learnt about this model on this connection."""

    async def learn(self, model: str, traits: dict[str, Any]) -> None:
        """Remember more about this model on this connection, also after a restart."""

    @property
    def limited(self) -> bool:
        """Whether a spend limit is set."""

    @property
    def turn(self) -> Callable[[], Awaitable[None]] | None:
        """What a request waits for before it is sent, where the connection may send only so many a minute."""

    async def reserve(self, worst_case: int, instead_of: int | None = None) -> int | None:
        """Set aside the worst-case cost (nanodollars) under the spend limits; raises SpendLimitReached.

        ``instead_of`` is an earlier reservation of the same call, which is given back first.
        """


class Run(Protocol):
    """The run of a flow in which a step executes."""

    id: str
    flow: str
    key: str
    """Names this execution of this step; the same at every attempt, also after a crash. For idempotency headers."""
    conversation: str | None
    """The id of the conversation that the run belongs to."""

    async def sleep(self, seconds: float) -> None:
        """Wait; a crash does not begin the wait anew."""

    async def call(self, flow: str, inputs: Mapping[str, Any]) -> Any:
        """Run another flow to its end and give its outputs; after a crash it is not begun a second time."""


class Listener:
    """Somebody who hears a step's text while it is written; ``take`` gets each piece and returns at once.

    What was heard cannot be taken back, so a step that was heard is not tried again.
    """

    def __init__(self, take: Callable[[str], object]) -> None:
        self._take = take
        self.heard = False
        """Whether anything was."""

    def __call__(self, piece: str) -> None:
        """Let a piece be heard."""
        self.heard = True
        self._take(piece)


class Context(Protocol):
    """All that a step may ask for."""

    @property
    def run(self) -> Run | None:
        """The run of a flow, or None where the step is called by itself."""

    @property
    def conversations(self) -> Any:
        """The kept conversations (see `chatstep.store.Conversations`). They block: call them in a thread."""

    @property
    def connection(self) -> Callable[[str], Awaitable[Connection]]:
        """``await ctx.connection(name)``: the connection of that name, open; raises UnknownName."""

    @property
    def send(self) -> Callable[..., Awaitable[Any]]:
        """``await ctx.send(request, read, ...)``: what ``read`` makes of the reply (see `chatstep.http.Http.send`)."""

    @property
    def stream(self) -> Callable[..., AbstractAsyncContextManager[Any]]:
        """``async with ctx.stream(request, read, ...) as body``: bytes as they arrive (see `Http.stream`)."""

    @property
    def listener(self) -> Listener | None:
        """Who hears the field ``spoken`` of the step's output while it is written; None: nobody does."""

    def emit(self, event: Any) -> None:
        """Tell whoever listens, such as the ledger; never waits, never fails."""


class Field(Struct, frozen=True):
    """One setting of a connection kind, as forms and the command line show it. ``path``: it names a file."""

    name: str
    title: str
    help: str
    secret: bool = False
    required: bool = False
    default: str | None = None
    path: bool = False


PER_MINUTE = Field(
    "per_minute",
    "Per Minute",
    "The most requests in a minute, by all processes and machines together. Further ones wait. Empty: no limit.",
)
"""A field that any connection kind may offer; `per_minute` reads it."""


def per_minute(settings: Mapping[str, Any]) -> int | None:
    """How many requests a minute a connection may send; raises InvalidInput unless it is a number of 1 or more."""
    given = settings.get("per_minute")
    if given in (None, ""):
        return None
    if not str(given).isascii() or not str(given).isdecimal() or not 0 < int(given) <= 100_000:
        raise InvalidInput(
            "Expected a whole number of requests, 1 to 100,000.", place="per_minute", hint="Write one such as 60."
        )
    return int(given)


class ConnectionKind(Struct, frozen=True):
    """A way to reach a service: the fields to fill in, and how they become an open connection.

    ``serves`` is the word by which a step's input asks for such connections (``format: connection:WORD`` in its
    schema). Several kinds may serve one word; empty, it is the kind's own name.
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    open: Callable[[Mapping[str, Any], Mapping[str, Secret]], Any]
    serves: str = ""


class Step(Struct, frozen=True):
    """A unit of work with declared Inputs and Output."""

    name: str
    title: str
    doc: str
    inputs: type[Struct]
    output: type[Struct]
    run: Callable[[Any, Context], Awaitable[Any]]
    effect: Effect = "outside"
    read: Callable[[Mapping[str, Any]], Any] | None = None
    """How Inputs are read from plain values, as a flow gives them. None: as msgspec converts them."""
    spoken: str | None = None
    """The field of the output whose text the step gives to `Context.listener` piece by piece, if it does."""


class Module(Struct, frozen=True):
    """One outside service and what chatstep offers for it."""

    name: str
    title: str
    steps: tuple[Step, ...] = ()
    connection_kinds: tuple[ConnectionKind, ...] = ()
    transcript_formats: tuple[TranscriptFormat, ...] = ()


def step(
    name: str,
    *,
    title: str,
    inputs: type[Struct],
    output: type[Struct],
    effect: Effect = "outside",
    read: Callable[[Mapping[str, Any]], Any] | None = None,
    spoken: str | None = None,
) -> Callable[[Callable[[Any, Context], Awaitable[Any]]], Step]:
    """Declare an async function ``(inputs, ctx) -> output`` as the step ``module.name``."""

    def declare(run: Callable[[Any, Context], Awaitable[Any]]) -> Step:
        return Step(name, title, (run.__doc__ or "").strip(), inputs, output, run, effect, read, spoken)

    return declare
