"""Faults that answer with an error: every status, every code, and every shape that servers give them."""

from __future__ import annotations

import email.utils
import re
import time
from typing import Any

from chatstep.modules.openai.wire import encode
from chatstep.rehearsal.answers import Answer
from chatstep.rehearsal.fault_table import Params, fault, parameter
from chatstep.rehearsal.plan import Plan
from chatstep.rehearsal.refusal import CODES, Refusal, by_code, by_status

__all__ = ["WAIT", "wait_headers"]

WAIT = re.compile(r"(?P<ms>\d+)\s*ms|(?P<seconds>\d+(?:\.\d+)?)|date(?P<shift>[+-]\d+)?")
_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Gateway</title></head>\n"
    "<body><h1>The gateway has no answer</h1><p>Please come back later.</p></body></html>\n"
)
_WAIT = parameter("retry_after", "wait", None, "when to come back: 2 (seconds), 300ms, date, date+5")
_AGAIN = parameter("should_retry", "flag", None, "the header x-should-retry: true or false")
_PARAM = parameter("param", "text", None, "which field the error names")
_MESSAGE = parameter("message", "text", None, "the error's words")


def wait_headers(wait: str | float | None) -> dict[str, str]:
    """The header for a `retry_after` of a script: seconds, `300ms`, `date` (in 2 seconds) or `date+5`."""
    if wait is None:
        return {}
    match = WAIT.fullmatch(str(wait))
    if match is None:
        return {"retry-after": str(wait)}
    if match["ms"]:
        return {"retry-after-ms": match["ms"]}
    if match["seconds"]:
        return {"retry-after": match["seconds"]}
    return {"retry-after": email.utils.formatdate(time.time() + int(match["shift"] or 2), usegmt=True)}


def _send(plan: Plan, status: int, body: Any) -> None:
    plan.status = status
    plan.set_body(body if isinstance(body, bytes) else encode(body))


def _send_refusal(plan: Plan, refusal: Refusal, p: Params) -> None:
    _send(plan, refusal.status, refusal.encoded())
    plan.headers.update(wait_headers(p["retry_after"]))
    if p["should_retry"] is not None:
        plan.headers["x-should-retry"] = "true" if p["should_retry"] else "false"


@fault(
    "status",
    "An error with this HTTP status, in the protocol's envelope, with the code that usually comes with it.",
    parameter("status", "count", 500, "the HTTP status"),
    parameter("code", "text", None, "another code"),
    parameter("type", "text", None, "another type"),
    _PARAM,
    _MESSAGE,
    _WAIT,
    _AGAIN,
    example="fault: {status: 429, retry_after: 2}",
)
def _status(plan: Plan, answer: Answer, p: Params) -> None:
    refusal = by_code(p["code"], status=p["status"]) if p["code"] else by_status(p["status"])
    refusal.kind = p["type"] or refusal.kind
    refusal.param, refusal.message = p["param"], p["message"] or refusal.message
    _send_refusal(plan, refusal, p)


@fault(
    "code",
    f"An error with this code, and the status and type that belong to it. Known: {', '.join(CODES)}.",
    parameter("code", "text", "server_error", "the code"),
    parameter("status", "count", None, "another HTTP status"),
    _PARAM,
    _MESSAGE,
    _WAIT,
    _AGAIN,
    example="fault: {code: insufficient_quota}",
)
def _code(plan: Plan, answer: Answer, p: Params) -> None:
    refusal = by_code(p["code"], status=p["status"], param=p["param"], message=p["message"])
    if p["code"] == "content_filter":
        filtered = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True, "severity": "high"}}
        refusal.body = {
            "error": {
                "message": refusal.message,
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": refusal.status,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": filtered},
            }
        }
    _send_refusal(plan, refusal, p)


@fault(
    "html",
    "A web page instead of an answer, as gateways send it.",
    parameter("status", "count", 502, "the HTTP status; 200 is possible too"),
    example="fault: {html: 503}",
)
def _html(plan: Plan, answer: Answer, p: Params) -> None:
    plan.status = p["status"]
    plan.set_body(_PAGE.encode(), "text/html; charset=utf-8")


@fault(
    "flat_error",
    "An error without the envelope, as old vLLM wrote it: message and a number as code at the top.",
    parameter("status", "count", 400, "the HTTP status"),
)
def _flat_error(plan: Plan, answer: Answer, p: Params) -> None:
    _send(
        plan,
        p["status"],
        {
            "object": "error",
            "message": "The model cannot do this.",
            "type": "BadRequestError",
            "param": None,
            "code": p["status"],
        },
    )


@fault(
    "nested_error",
    "An error whose message is itself an object with FastAPI's list, as Mistral writes it.",
    parameter("field", "text", "max_completion_tokens", "the field that it complains of"),
    parameter("status", "count", 422, "the HTTP status"),
    example="fault: {nested_error: reasoning_effort}",
)
def _nested_error(plan: Plan, answer: Answer, p: Params) -> None:
    body = {"object": "error", "message": _complaints(p["field"]), "type": "invalid_request_error", "code": None}
    _send(plan, p["status"], {**body, "param": None})


@fault(
    "detail_error",
    "FastAPI's own error: a list under `detail`.",
    parameter("field", "text", "max_completion_tokens", "the field that it complains of"),
    parameter("status", "count", 422, "the HTTP status"),
)
def _detail_error(plan: Plan, answer: Answer, p: Params) -> None:
    _send(plan, p["status"], _complaints(p["field"]))


def _complaints(field: str) -> dict[str, Any]:
    loc = ["body", *field.split(".")]
    return {"detail": [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs are not permitted", "input": 1}]}


@fault(
    "text_error",
    "An error that is plain text under `error`.",
    parameter("status", "count", 500, "the HTTP status"),
)
def _text_error(plan: Plan, answer: Answer, p: Params) -> None:
    _send(plan, p["status"], {"error": "something went wrong"})


@fault(
    "numeric_error",
    "An error whose code is a number and which has metadata, as OpenRouter writes it.",
    parameter("code", "count", 402, "the number, which is the HTTP status too"),
    _WAIT,
)
def _numeric_error(plan: Plan, answer: Answer, p: Params) -> None:
    error = {"message": "Credits are used up.", "code": p["code"], "metadata": {"provider_name": "rehearsal"}}
    _send(plan, p["code"], {"error": error})
    plan.headers.update(wait_headers(p["retry_after"]))


@fault(
    "error_200",
    "HTTP 200 with an error in the body, also to a request for a stream.",
    parameter("code", "text", "server_error", "the error's code"),
    example="fault: {error_200: rate_limit_exceeded}",
)
def _error_200(plan: Plan, answer: Answer, p: Params) -> None:
    _send(plan, 200, by_code(p["code"]).encoded())


@fault(
    "empty_error",
    "An error status without any body.",
    parameter("status", "count", 500, "the HTTP status"),
    example="fault: {empty_error: 503}",
)
def _empty_error(plan: Plan, answer: Answer, p: Params) -> None:
    _send(plan, p["status"], b"")


@fault(
    "redirect",
    "A redirection; a client must not carry its key to another place.",
    parameter("location", "text", "http://127.0.0.1:9/elsewhere", "where it points"),
    parameter("status", "count", 307, "the HTTP status"),
)
def _redirect(plan: Plan, answer: Answer, p: Params) -> None:
    _send(plan, p["status"], b"")
    plan.headers["location"] = p["location"]
