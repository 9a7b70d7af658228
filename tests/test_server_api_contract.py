"""The API against its own document: whatever comes in, what goes out is in the document, and nothing fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from chatstep.app import App
from chatstep.flows.events import Event
from chatstep.flows.publishing import publish
from chatstep.message import Message
from chatstep.server.api.document import document
from serving import Threaded

# The server is a thread of this process and draws random numbers of its own, which hypothesis takes for the test's.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
THERE = {"connection": "rehearsal", "flow": "greet", "step": "flow.set", "module": "slack", "conversation": "chat"}
"""Names that lead somewhere; made-up ones seldom do."""
GREET = """
name: greet
steps: [{id: keep, uses: flow.set, with: {values: {said: "${{ trigger.text }}"}}}]
outputs: {said: "${{ steps.keep.values.said }}"}
"""

schema = schemathesis.openapi.from_dict(document())
# A stream of events has no end that a tool for requests would wait for; its tests are in test_server_api.py. From the
# first token on, every other case would be refused.
OPERATIONS = [
    f"{method.upper()} {path}"
    for path, methods in document()["paths"].items()
    for method in methods
    if not path.endswith("events") and (method, path) != ("post", "/api/tokens")
]


class Running(Threaded):
    """A server in a thread, and a run in it."""

    run = ""

    async def prepare(self, app: App) -> None:
        await publish(GREET, app.flows, app.connections)
        self.run = (await app.flows.start("greet", Event(type="manual", id="1", text="Hi"))).id
        await app.flows.wait(self.run)
        await asyncio.to_thread(app.store.conversations.create, "chat")
        await asyncio.to_thread(app.store.conversations.append, "chat", Message("Ana", "Hi"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with Running(tmp_path_factory.mktemp("api")) as running:
        yield running


def held_against_the_document(case: schemathesis.Case, running: Running) -> None:
    there = {**THERE, "run": running.run}
    for name, value in (case.path_parameters or {}).items():
        # Half of the cases ask for what is there; none takes it away from the others.
        if name in there and case.method not in ("DELETE", "PATCH") and len(str(value)) % 2:
            case.path_parameters[name] = there[name]
    case.call_and_validate(base_url=running.address, checks=CHECKS)


def check(operation: str, running: Running, examples: int) -> None:
    method, _, path = operation.partition(" ")

    @given(case=schema[path][method].as_strategy())
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    def whatever_comes_in(case: schemathesis.Case) -> None:
        held_against_the_document(case, running)

    whatever_comes_in()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_answers_are_in_the_document(operation: str, running: Running) -> None:
    check(operation, running, 10)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_many_answers_are_in_the_document(operation: str, running: Running) -> None:
    check(operation, running, 1000)
