"""Tracing: spans and metrics for OpenTelemetry, where its SDK is installed and somebody wants them.

Somebody wants them where the environment names a place to send them (``OTEL_EXPORTER_OTLP_ENDPOINT``), or where the
program that uses chatstep has set up OpenTelemetry itself. Everywhere else nothing is imported and nothing is done.
Names are those of the semantic conventions for generative AI. No text of a user, no reply and no key is in a span.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, Protocol

__all__ = ["begin", "called", "flush", "outgoing", "span"]

Kind = Literal["internal", "server"]

_log = logging.getLogger("chatstep")
_WANTED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
# As the conventions recommend them.
_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [1.0, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
_ANSWERED = frozenset({"ok", "truncated"})
_MOST_MODELS = 200
_NOTHING: AbstractContextManager[Any] = nullcontext()


class Entry(Protocol):
    """What is read of an entry of the ledger (see `chatstep.store.Entry`)."""

    connection: str
    model: str
    answered: str
    outcome: str
    prompt: int | None
    cached: int | None
    completion: int | None
    duration_ms: int
    request_id: str


class _Tracing:
    """OpenTelemetry, in use."""

    def __init__(self) -> None:
        from opentelemetry import metrics, propagate, trace

        self.api, self.propagate = trace, propagate
        self.tracer = trace.get_tracer("chatstep")
        meter = metrics.get_meter("chatstep")
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "How long calls took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of calls.", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self.models: set[str] = set()
        self.ours: list[Any] = []
        """The providers that were set up here."""


_tracing: _Tracing | None = None


def begin(environ: Mapping[str, str]) -> None:
    """Use OpenTelemetry from now on, if anybody wants it. Once in a process. Blocks for as long as the imports take."""
    global _tracing  # noqa: PLW0603 - OpenTelemetry itself is one for the whole process
    if _tracing is not None or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    wanted = any(environ.get(name) for name in _WANTED)
    if not wanted and "opentelemetry.sdk" not in sys.modules:
        return
    try:
        ours = _set_up(environ) if wanted else []
        _tracing = _Tracing()
        _tracing.ours = ours
    except ImportError:
        _log.warning("Traces are wanted, but OpenTelemetry is not installed. Run: pip install 'chatstep[otel]'")


def _set_up(environ: Mapping[str, str]) -> list[Any]:
    """Providers that send what they get, unless the program has some already."""
    from opentelemetry import metrics, trace
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": environ.get("OTEL_SERVICE_NAME") or "chatstep"})
    made: list[Any] = []
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracers)
        made.append(tracers)
    if not isinstance(metrics.get_meter_provider(), MeterProvider):
        meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
        metrics.set_meter_provider(meters)
        made.append(meters)
    return made


def flush() -> None:
    """Send what was gathered. Blocks for up to two seconds where nobody takes it."""
    for provider in _tracing.ours if _tracing is not None else ():
        provider.force_flush(2000)


def span(
    name: str, attributes: Mapping[str, Any], *, kind: Kind = "internal", headers: Mapping[str, str] | None = None
) -> AbstractContextManager[Any]:
    """A span around what is done inside; in the trace that ``headers`` name, if they do. None where nobody wants it."""
    if _tracing is None:
        return _NOTHING
    return _tracing.tracer.start_as_current_span(
        name,
        context=_tracing.propagate.extract({key.lower(): value for key, value in headers.items()}) if headers else None,
        kind=_tracing.api.SpanKind.SERVER if kind == "server" else _tracing.api.SpanKind.INTERNAL,
        attributes={key: value for key, value in attributes.items() if value is not None},
        record_exception=False,  # its text may quote what a user wrote
        set_status_on_exception=False,
    )


def outgoing() -> dict[str, str]:
    """The headers that tell another service in which trace it works; none where nobody wants it."""
    found: dict[str, str] = {}
    if _tracing is not None:
        _tracing.propagate.inject(found)
    return found


def called(entry: Entry) -> None:
    """A call to a model has ended: its span, inside the one that is open, and its metrics."""
    if _tracing is None:
        return
    about: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",  # whose protocol it is
        "gen_ai.request.model": entry.model,
    }
    if entry.answered:
        about["gen_ai.response.model"] = entry.answered
    failed = entry.outcome not in _ANSWERED
    if failed:
        about["error.type"] = entry.outcome
    more = {
        "chatstep.connection": entry.connection,
        "gen_ai.usage.input_tokens": entry.prompt,
        "gen_ai.usage.cache_read.input_tokens": entry.cached,
        "gen_ai.usage.output_tokens": entry.completion,
        "gen_ai.response.finish_reasons": ("length",) if entry.outcome == "truncated" else None,
        "chatstep.request_id": entry.request_id or None,
    }
    ended = time.time_ns()
    made = _tracing.tracer.start_span(
        f"chat {entry.model}",
        kind=_tracing.api.SpanKind.CLIENT,
        attributes={**about, **{key: value for key, value in more.items() if value is not None}},
        start_time=ended - entry.duration_ms * 1_000_000,
    )
    if failed:
        made.set_status(_tracing.api.StatusCode.ERROR, entry.outcome)
    made.end(ended)
    if entry.model not in _tracing.models:
        if len(_tracing.models) < _MOST_MODELS:
            _tracing.models.add(entry.model)
        else:  # clients name what they like, and series have no end otherwise
            about = {**about, "gen_ai.request.model": "other", "gen_ai.response.model": "other"}
    _tracing.duration.record(entry.duration_ms / 1000, about)
    for kind, count in (("input", entry.prompt), ("output", entry.completion)):
        if count is not None:
            _tracing.tokens.record(count, {**about, "gen_ai.token.type": kind})
