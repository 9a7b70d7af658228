"""What a server logs: a line for each request, in two forms, and never what was said nor a key."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import APIError, OpenAI

from chatstep.cli.logs import JsonFormatter, TextFormatter, announce, set_up
from chatstep.rehearsal import Rehearsal
from chatstep.server.visits import Visit
from command_line import KEY, Commands
from serving import running

Serve = Callable[..., Rehearsal]
SECRET = "my-neighbour-Zoltan-owes-me-money"
ANSWER = "then-ask-him-politely"
SCRIPT = f"""
- when: {{text: refuse}}
  fault: {{status: 400, message: "Not this: {SECRET}"}}
- when: {{text: break}}
  fault: {{garbage: {{}}}}
- reply: {ANSWER}
"""


@pytest.fixture
def quiet() -> Iterator[None]:
    """Loggers as they were."""
    loggers = [logging.getLogger(name) for name in ("", "chatstep", "chatstep.requests")]
    kept = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in kept:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def talked(chatstep: Commands, form: str) -> str:
    """All that a server writes to stderr while requests of many kinds come."""
    token = chatstep("tokens", "make", "shop").stdout.strip()
    chatstep.env["CHATSTEP_LOG"] = "debug"
    with running(chatstep, "--log-format", form) as (process, address, said):
        with OpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0) as client:
            for text in ("please", "refuse", "break"):
                for model in ("environment/gpt-4o-mini", "nowhere", f"environment/{KEY}"):
                    for stream in (False, True):
                        try:
                            messages: Any = [{"role": "user", "content": f"{text}: {SECRET}"}]
                            answer = client.chat.completions.create(model=model, messages=messages, stream=stream)
                            list(answer)  # type: ignore[call-overload]
                        except APIError:
                            pass
        with OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as stranger:
            with pytest.raises(APIError):
                stranger.get(f"/{SECRET}?key={KEY}", cast_to=object)
            with pytest.raises(APIError):
                stranger.models.list(extra_headers={"x-request-id": "trace-7"})
        process.terminate()
        written = said.read()
        assert process.wait(60) == 0
    assert token not in written
    assert KEY not in written
    assert SECRET not in written
    assert ANSWER not in written
    return written


def test_json_has_one_object_a_line_with_all_that_is_known(chatstep: Commands, serve: Serve) -> None:
    serve(SCRIPT)
    lines = [json.loads(line) for line in talked(chatstep, "json").splitlines()]
    requests = [line for line in lines if line["logger"] == "chatstep.requests"]
    assert len(requests) == 20
    first = requests[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first["time"])
    assert (first["level"], first["method"], first["path"], first["status"]) == (
        "info",
        "POST",
        "/v1/chat/completions",
        200,
    )
    assert (first["token"], first["connection"], first["model"]) == ("shop", "environment", "gpt-4o-mini")
    assert first["ms"] > 0
    assert first["bytes"] > 100
    assert first["request_id"].startswith("req_")
    assert {line["status"] for line in requests} >= {200, 400, 401, 404, 502}
    assert (requests[-1]["request_id"], requests[-1]["path"]) == ("trace-7", "/v1/models")
    assert requests[-2]["path"] == "other"
    assert any(line.get("model") == "***" for line in requests)


def test_text_is_for_people(chatstep: Commands, serve: Serve) -> None:
    serve(SCRIPT)
    written = talked(chatstep, "text")
    assert re.search(
        r"^\d\d:\d\d:\d\d info    POST /v1/chat/completions 200 [\d.]+ ms \d+ B request_id=\S+ token=shop"
        r" connection=environment model=gpt-4o-mini$",
        written,
        re.M,
    )
    assert "Any OpenAI client" in written


def test_without_a_form_nothing_is_said_of_requests(chatstep: Commands, serve: Serve) -> None:
    serve()
    with running(chatstep) as (process, address, said):
        with OpenAI(base_url=f"{address}/v1", api_key="any") as client:
            client.models.list()
        process.terminate()
        assert "/v1/models" not in said.read()


@pytest.mark.usefixtures("quiet")
def test_a_defect_is_told_by_its_places_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("json", "text"):
        set_up("warning", form)
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("chatstep.server").exception("A request failed: %s", "GET")
            logging.getLogger("aiohttp.server").exception("Error handling %s", SECRET)
        announce("  Serving.")
        written = capsys.readouterr().err
        assert SECRET not in written
        assert "test_server_logs.py" in written
        if form == "json":
            ours, theirs, told = map(json.loads, written.splitlines())
            assert ours["error"] == theirs["error"] == "ValueError"
            assert ours["message"] == "A request failed: GET"
            assert ours["traceback"][-1].endswith("in test_a_defect_is_told_by_its_places_alone")
            assert told["message"] == "Serving."


def test_what_clients_choose_cannot_make_lines_or_colours() -> None:
    visit = Visit("POST", model="x\n\x1b[31mred" + "y" * 1000, status=200)
    record = logging.LogRecord("chatstep.requests", logging.INFO, "", 0, "", None, None)
    record.fields = visit.fields(0.1)
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(record)
        assert "\n" not in line
        assert "\x1b" not in line
        assert len(line) < 500
