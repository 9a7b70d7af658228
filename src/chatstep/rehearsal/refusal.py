"""How the rehearsal provider says no: an error with its status, and its envelope with all four keys.

Raised by the checks of a request, made by faults; server.py turns it into an answer.
"""

from __future__ import annotations

from typing import Any

from chatstep.modules.openai.wire import ErrorBody, ErrorEnvelope, encode

__all__ = ["CODES", "STATUS_TYPES", "Refusal", "by_code", "by_status"]

INVALID = "invalid_request_error"

# code: status, type, what it means. The codes of money all come with the type insufficient_quota.
CODES: dict[str, tuple[int, str, str]] = {
    "invalid_api_key": (401, INVALID, "The API key is not right."),
    "invalid_organization": (401, INVALID, "The key does not belong to that organization."),
    "ip_not_authorized": (401, INVALID, "Requests from this address are not allowed for the project."),
    "unsupported_country_region_territory": (403, "request_forbidden", "The service is not offered in your country."),
    "model_not_found": (404, INVALID, "The model does not exist, or you have no access to it."),
    "context_length_exceeded": (400, INVALID, "The maximum context length is passed by this request."),
    "content_filter": (400, INVALID, "The prompt was stopped by the content policy."),
    "unsupported_parameter": (400, INVALID, "Unsupported parameter."),
    "unsupported_value": (400, INVALID, "Unsupported value."),
    "invalid_parameter_combination": (400, INVALID, "These parameters cannot be combined."),
    "invalid_value": (400, INVALID, "Invalid value."),
    "extra_forbidden": (422, INVALID, "Extra inputs are not permitted."),
    "payment_required": (402, INVALID, "The account has no credit for this request."),
    "request_timeout": (408, "timeout", "The request took too long to come in."),
    "conflict": (409, INVALID, "Another request is changing the same thing."),
    "request_too_large": (413, INVALID, "The request is too large."),
    "rate_limit_exceeded": (429, "requests", "Too many requests in a short time."),
    "tokens_limit_exceeded": (429, "tokens", "Too many tokens in a short time."),
    "slow_down": (429, "rate_limit_error", "The number of requests grew too fast. Slow down."),
    "insufficient_quota": (429, "insufficient_quota", "The quota is used up. Look at plan and billing."),
    "credit_balance_exhausted": (429, "insufficient_quota", "The credit balance is used up."),
    "organization_spend_limit_exceeded": (429, "insufficient_quota", "The organization reached its spend limit."),
    "project_spend_limit_exceeded": (429, "insufficient_quota", "The project reached its spend limit."),
    "organization_usage_limit_exceeded": (429, "insufficient_quota", "The organization reached its usage limit."),
    "server_error": (500, "server_error", "The server had an error with this request."),
    "bad_gateway": (502, "server_error", "The server behind the gateway gave no usable answer."),
    "server_is_overloaded": (503, "service_unavailable_error", "The servers are overloaded. Try again later."),
    "gateway_timeout": (504, "server_error", "The server behind the gateway did not answer in time."),
    "overloaded": (529, "overloaded_error", "The servers are overloaded."),
}
STATUS_TYPES = {
    400: "invalid_value",
    401: "invalid_api_key",
    402: "payment_required",
    403: "unsupported_country_region_territory",
    404: "model_not_found",
    408: "request_timeout",
    409: "conflict",
    413: "request_too_large",
    422: "extra_forbidden",
    429: "rate_limit_exceeded",
    500: "server_error",
    502: "bad_gateway",
    503: "server_is_overloaded",
    504: "gateway_timeout",
    529: "overloaded",
}


class Refusal(Exception):
    """An error answer: status, and the four keys of the envelope. ``body`` replaces the envelope where it is given."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID,
        param: str | None = None,
        code: str | int | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.param, self.code = message, status, kind, param, code
        self.body = body

    def envelope(self) -> ErrorEnvelope:
        """The error as the protocol writes it."""
        return ErrorEnvelope(ErrorBody(self.message, self.kind, self.param, self.code))

    def encoded(self) -> bytes:
        """The bytes of the answer's body."""
        return encode(self.envelope() if self.body is None else self.body)


def by_code(code: str, *, status: int | None = None, param: str | None = None, message: str | None = None) -> Refusal:
    """The error of that code; an unknown code is a 400 unless a status is given."""
    usual, kind, text = CODES.get(code, (400, INVALID, "The request was refused."))
    if param and not message:
        text = f"{text.removesuffix('.')}: '{param}'."
    return Refusal(message or text, status=status or usual, kind=kind, param=param, code=code)


def by_status(status: int) -> Refusal:
    """The error that a status usually comes with."""
    code = STATUS_TYPES.get(status) or ("server_error" if status >= 500 else "invalid_value")
    return by_code(code, status=status)
