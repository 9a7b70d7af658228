"""OpenTelemetry: what a real receiver gets from real processes, and that nothing is loaded where nobody listens."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chatstep.flows.reading import read_flow
from chatstep.rehearsal import Rehearsal
from chatstep.secret import Secret
from chatstep.store import Store, StoredConnection
from command_line import Commands
from serving import running

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "the roses of the garden"
FLOW = """
name: shop
on: [chat]
steps:
  - {id: reply, uses: openai.make_chat_completion, with: {connection: p, message: "${{ trigger.text }}"}}
outputs: {message: "${{ steps.reply.message }}"}
"""


class Receiver:
    """A collector of OpenTelemetry."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def spans(self) -> list[Any]:
        found = []
        for path, body in self.bodies:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    def metrics(self) -> set[str]:
        found = set()
        for path, body in self.bodies:
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    found |= {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


def attributes(span: Any) -> dict[str, Any]:
    found = {}
    for each in span.attributes:
        kind = each.value.WhichOneof("value")
        value = getattr(each.value, kind)
        found[each.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def test_a_request_a_run_a_step_and_its_call_are_one_trace(chatstep: Commands, receiver: Receiver) -> None:
    chatstep.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "OTEL_SERVICE_NAME": "shop"}
    with Rehearsal.in_thread() as provider:
        with Store.open(chatstep.folder / "home") as store:
            stored = StoredConnection("p", "openai", "openai", {"base_url": provider.base_url})
            store.connections.add(stored, {"api_key": Secret("sk-marker-otel")})
            flow = read_flow(FLOW)
            store.flows.publish(flow.name, flow.version, flow.source)
        with running(chatstep) as (process, address, _):
            body = {"model": "flow/shop", "messages": [{"role": "user", "content": SECRET}]}
            request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode())
            request.add_header("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")
            urllib.request.urlopen(request).close()
            process.terminate()
            assert process.wait(30) == 0
        (sent,) = provider.requests
    spans = {span.name: span for span in receiver.spans()}
    assert {"POST /v1/chat/completions", "run shop", "step reply", "chat gpt-4o-mini"} <= set(spans)
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    parents = {name: spans[name].parent_span_id for name in spans}
    assert parents["POST /v1/chat/completions"].hex() == "b7ad6b7169203331"
    assert parents["run shop"] == spans["POST /v1/chat/completions"].span_id
    assert parents["step reply"] == spans["run shop"].span_id
    assert parents["chat gpt-4o-mini"] == spans["step reply"].span_id
    assert sent.headers["traceparent"].split("-")[1] == TRACE
    call = attributes(spans["chat gpt-4o-mini"])
    assert (call["gen_ai.operation.name"], call["gen_ai.request.model"]) == ("chat", "gpt-4o-mini")
    assert call["gen_ai.usage.input_tokens"] > 0
    assert call["gen_ai.usage.output_tokens"] > 0
    assert attributes(spans["POST /v1/chat/completions"])["http.response.status_code"] == 200
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= receiver.metrics()
    everything = b"".join(body for _, body in receiver.bodies)
    assert SECRET.encode() not in everything
    assert b"sk-marker-otel" not in everything


def test_a_failed_call_says_what_failed(chatstep: Commands, receiver: Receiver) -> None:
    chatstep.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address}
    with Rehearsal.in_thread("[{fault: {code: insufficient_quota}}]") as provider:
        chatstep.env |= {"OPENAI_API_KEY": "sk-marker-otel", "OPENAI_BASE_URL": provider.base_url}
        assert chatstep.process("complete", SECRET).returncode == 13
    (span,) = receiver.spans()
    assert attributes(span)["error.type"] == "out_of_money"
    assert span.status.code == 2


def test_nothing_is_loaded_where_nobody_listens() -> None:
    code = (
        "import asyncio, sys\nfrom chatstep.app import App\n"
        "async def main():\n async with App.open() as app: await app.complete('Hello', connection='rehearsal')\n"
        "asyncio.run(main())\nprint(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_collector_that_is_away_harms_nobody(chatstep: Commands) -> None:
    chatstep.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    done = chatstep.process("complete", "Hello", "--connection", "rehearsal")
    assert done.returncode == 0
    assert done.stdout.strip()
