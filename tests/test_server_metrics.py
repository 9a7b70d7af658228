"""/metrics: what Prometheus reads, with its own parsers, after requests of every outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from chatstep.flows.reading import read_flow
from chatstep.store import Entry, Token
from chatstep.telemetry.families import Family, Sample, histogram, merged, text
from chatstep.telemetry.meter import MOST_MODELS, MOST_SERIES, Meter
from flowing import eventually
from serving import Served
from stepping import Stage

Gateway = Callable[..., Awaitable[tuple[Served, Stage]]]
HELLO = {"messages": [{"role": "user", "content": "A secret garden"}]}
OPENAI = "https://api.openai.com/v1"
FLOW = """
name: shop
on: [chat]
steps: [{id: say, uses: text.split, with: {text: "${{ trigger.text }}", limit: 100}}]
outputs: {message: "${{ steps.say.parts[0] }}"}
"""

Read = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def metrics(served: Served, **headers: str) -> Read:
    """Every series and its value. Each format is read by its own parser, and both hold the same names."""
    url = f"{served.server.address}/metrics"
    async with served.client.get(url, headers={"Accept": "application/openmetrics-text", **headers}) as answer:
        assert answer.status == 200
        assert answer.content_type == "application/openmetrics-text"
        opened = {family.name for family in read_openmetrics(await answer.text())}
    async with served.client.get(url, headers=headers) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = list(read_plain(await answer.text()))
    assert opened == {family.name for family in families}
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value for each in families for sample in each.samples
    }


def value(found: Read, series: str, /, **labels: str) -> float | None:
    return found.get((series, frozenset(labels.items())))


async def test_requests_calls_tokens_and_money(gateway: Gateway) -> None:
    served, _ = await gateway("- when: {text: fail}\n  fault: {status: 400}\n- reply: Yes.", prices=OPENAI)
    for text_ in ("one", "two", "fail"):
        body = {"model": "p/gpt-4o-mini", "messages": [{"role": "user", "content": text_}]}
        await served.post(body)
    await served.post(None, path="/v1/chat/completions/garden-of-secrets")
    found = await metrics(served)
    door = {"method": "POST", "door": "/v1/chat/completions"}
    assert value(found, "chatstep_http_requests_total", **door, status="200") == 2
    assert value(found, "chatstep_http_requests_total", **door, status="400") == 1
    assert value(found, "chatstep_http_requests_total", method="POST", door="other", status="404") == 1
    assert value(found, "chatstep_http_request_duration_seconds_count", door=door["door"]) == 3
    assert value(found, "chatstep_http_request_duration_seconds_bucket", door=door["door"], le="+Inf") == 3
    model = {"connection": "p", "model": "gpt-4o-mini"}
    assert value(found, "chatstep_calls_total", **model, outcome="ok") == 2
    assert sum(
        number for (name, labels), number in found.items()
        if name == "chatstep_calls_total" and ("connection", "p") in labels
    ) == 3  # fmt: skip
    assert value(found, "chatstep_call_duration_seconds_count", **model) == 3
    assert (value(found, "chatstep_tokens_total", **model, kind="completion") or 0) > 0
    assert (value(found, "chatstep_cost_total", **model, currency="USD") or 0) > 0
    assert value(found, "chatstep_retries_total", **model) == 0
    assert value(found, "chatstep_streams_open") == 0
    assert value(found, "chatstep_http_requests_under_way") == 1  # this one
    assert not any("secret" in str(series) for series in found)


async def test_retries_are_counted(gateway: Gateway) -> None:
    served, _ = await gateway("- fault: {status: 503}\n  times: 1\n- reply: Yes.")
    status, _ = await served.post({"model": "p/gpt-4o-mini", **HELLO})
    assert status == 200
    assert value(await metrics(served), "chatstep_retries_total", connection="p", model="gpt-4o-mini") == 1


async def test_a_model_that_nobody_answered_to_is_other(gateway: Gateway) -> None:
    served, _ = await gateway("- fault: {code: model_not_found}")
    for name in ("sk-key-typed-in-the-wrong-place", "another"):
        await served.post({"model": f"p/{name}", **HELLO})
    found = await metrics(served)
    calls = [labels for name, labels in found if name == "chatstep_calls_total"]
    assert [dict(labels)["model"] for labels in calls] == ["other"]


async def test_spend_limits_that_were_hit(gateway: Gateway) -> None:
    served, _ = await gateway(daily_limit=1, prices=OPENAI)
    status, _ = await served.post({"model": "p/gpt-4o-mini", "max_tokens": 100, **HELLO})
    assert status == 429
    found = await metrics(served)
    assert value(found, "chatstep_spend_limits_hit_total", of="connection", name="p") == 1


async def test_an_open_stream_is_seen(gateway: Gateway) -> None:
    served, _ = await gateway("- reply: One two three four\n  delay: {first: 0, between: 1000}")
    body = {"model": "p/gpt-4o-mini", "stream": True, **HELLO}
    async with served.client.post(f"{served.v1}/chat/completions", json=body) as answer:
        await answer.content.readany()
        found = await metrics(served)
        assert value(found, "chatstep_streams_open") == 1
    await served.server.idle()
    found = await metrics(served)
    door = {"method": "POST", "door": "/v1/chat/completions"}
    assert value(found, "chatstep_http_requests_total", **door, status="499") == 1  # we left
    assert value(found, "chatstep_streams_open") == 0


async def test_runs_and_steps(served: Served) -> None:
    assert value(await metrics(served), "chatstep_runs_unfinished", state="queued") is None  # the engine rests
    await served.app.flows.publish(read_flow(FLOW))
    status, answer = await served.post({"model": "flow/shop", "messages": [{"role": "user", "content": "Hello"}]})
    assert (status, answer["choices"][0]["message"]["content"]) == (200, "Hello")

    async def counted() -> bool:
        return value(await metrics(served), "chatstep_runs_total", flow="shop", state="done") == 1

    await eventually(counted)
    found = await metrics(served)
    assert value(found, "chatstep_steps_total", uses="text.split", state="done") == 1
    assert [value(found, "chatstep_runs_unfinished", state=state) for state in ("queued", "waiting", "running")] == [
        0, 0, 0,
    ]  # fmt: skip
    assert value(found, "chatstep_runs_under_way") == 0


async def test_the_process_and_the_build(served: Served) -> None:
    found = await metrics(served)
    assert (value(found, "process_resident_memory_bytes") or 0) > 1e7
    assert (value(found, "process_cpu_seconds_total") or 0) > 0
    assert (value(found, "process_start_time_seconds") or 0) > 1e9
    assert any(name == "chatstep_build_info" and dict(labels)["version"] for name, labels in found)
    assert value(found, "chatstep_ledger_entries_waiting") == 0


async def test_where_there_are_tokens_an_admin_s_is_needed(served: Served) -> None:
    make = served.app.store.tokens.make
    _, client = await asyncio.to_thread(make, Token(name="shop"))
    _, admin = await asyncio.to_thread(make, Token(name="prometheus", admin=True))
    for headers, status in ({}, 401), ({"Authorization": f"Bearer {client.reveal()}"}, 403):
        async with served.client.get(f"{served.server.address}/metrics", headers=headers) as answer:
            assert answer.status == status
    found = await metrics(served, Authorization=f"Bearer {admin.reveal()}")
    assert value(found, "chatstep_http_requests_total", method="GET", door="/metrics", status="401") == 1


async def test_the_page_names_every_metric(served: Served) -> None:
    page = (Path(__file__).parent.parent / "docs" / "operating.md").read_text(encoding="utf-8")
    await served.app.flows.launch()
    async with served.client.get(f"{served.server.address}/metrics") as answer:
        families = list(read_plain(await answer.text()))
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in page
        for sample in family.samples:
            assert all(f"`{label}`" in page for label in sample.labels if label != "le"), sample.labels


def test_the_number_of_series_has_an_end() -> None:
    meter = Meter()
    for at in range(MOST_SERIES + 500):
        entry = Entry(time=0, connection=f"c{at}", model=f"m{at}", outcome="ok", attempts=1, duration_ms=1)
        meter.called(entry)
        meter.visited("GET", f"/door/{at}", 200, 0.001)
    for family in meter.families():
        models = {value for sample in family.samples for label, value in sample.labels if label == "model"}
        assert len(models) <= MOST_MODELS + 1
        series = {sample.labels for sample in family.samples if sample.suffix in ("", "_count")}
        assert len(series) <= 4 * (MOST_SERIES + 1), family.name
    (requests,) = [family for family in meter.families() if family.name == "chatstep_http_requests"]
    assert sum(sample.value for sample in requests.samples) == MOST_SERIES + 500


def test_labels_are_escaped_and_numbers_are_whole() -> None:
    odd = 'a"b\\c\nd'
    families = [
        Family("x", "counter", "Odd.", (Sample("", (("name", odd),), 3.0), Sample("", (("name", "b"),), 0.25))),
        Family("h", "histogram", "Held.", tuple(histogram((), [1] * 17, 2.5))),
    ]
    assert "x_total{" in text(families)
    for read, written in (read_plain, text(families)), (read_openmetrics, text(families, openmetrics=True)):
        one, _ = list(read(written))
        assert [(sample.labels["name"], sample.value) for sample in one.samples] == [(odd, 3), ("b", 0.25)]


def test_processes_stand_side_by_side() -> None:
    mine = Family("x", "counter", "Some.", (Sample("", (), 1.0),))
    all_alike = Family("build", "gauge", "One.", (Sample("", (), 1.0),), True)
    found = {each.name: each for each in merged([all_alike], [("0", [mine, all_alike]), ("1", [mine])])}
    assert found["build"] == all_alike
    assert [dict(sample.labels) for sample in found["x"].samples] == [{"worker": "0"}, {"worker": "1"}]


@pytest.mark.parametrize("seconds", [0, 0.005, 0.0051, 599.9, 601, 1e9])
def test_durations_fall_into_the_bucket_that_holds_them(seconds: float) -> None:
    meter = Meter()
    meter.visited("GET", "/", 200, seconds)
    (family,) = [family for family in meter.families() if family.name == "chatstep_http_request_duration_seconds"]
    buckets: list[Any] = [each for each in family.samples if each.suffix == "_bucket"]
    for each in buckets:
        assert each.value == (float(dict(each.labels)["le"]) >= seconds)
