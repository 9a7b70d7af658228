"""Faults of the connection: late, slow, cut, silent, or flooded."""

from __future__ import annotations

import itertools

from chatstep.rehearsal.answers import Answer
from chatstep.rehearsal.fault_table import Params, fault, parameter
from chatstep.rehearsal.plan import Plan

__all__: list[str] = []


@fault(
    "slow_first_byte",
    "Nothing comes for this long, then the answer.",
    parameter("seconds", "seconds", 5.0, "how long"),
    example="fault: {slow_first_byte: 2.5}",
)
def _slow_first_byte(plan: Plan, answer: Answer, p: Params) -> None:
    plan.first_delay += p["seconds"]


@fault(
    "dribble",
    "The body comes a byte at a time: fast, or so slowly that no time-out between two bytes ever ends it.",
    parameter("bytes", "size", 1, "how many bytes at a time"),
    parameter("every", "seconds", 0.0, "pause between two"),
    example="fault: {dribble: {bytes: 1, every: 0.2}}",
)
def _dribble(plan: Plan, answer: Answer, p: Params) -> None:
    plan.drop = (max(p["bytes"], 1), p["every"])


@fault(
    "stall",
    "After some bytes of the body nothing more comes, and the connection stays open.",
    parameter("after", "size", 40, "how many bytes come first"),
    example="fault: {stall: 100}",
)
def _stall(plan: Plan, answer: Answer, p: Params) -> None:
    body = plan.whole_body()
    plan.blocks, plan.end = [body[: p["after"]]], "hang"


@fault("hang", "The request is taken, and nothing is ever answered.")
def _hang(plan: Plan, answer: Answer, p: Params) -> None:
    plan.first_delay = 10.0**8


@fault(
    "cut_at",
    "The connection ends after this many bytes.",
    parameter("bytes", "size", 0, "how many bytes come"),
    parameter("how", "word", "fin", "an orderly end or a reset", "fin", "reset"),
    parameter("of", "word", "body", "count the body alone, or the whole response", "body", "response"),
    example="fault: {cut_at: 120, how: reset}",
)
def _cut_at(plan: Plan, answer: Answer, p: Params) -> None:
    plan.cut_at, plan.cut_of = p["bytes"], p["of"]
    plan.cut_how = p["how"]


@fault(
    "early_hints",
    "A flood of `103 Early Hints` before the answer.",
    parameter("count", "count", 10_000, "how many"),
    example="fault: {early_hints: 10000}",
)
def _early_hints(plan: Plan, answer: Answer, p: Params) -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
    plan.before = itertools.repeat(hint, p["count"])


@fault(
    "header_flood",
    "The answer has this many headers.",
    parameter("count", "count", 10_000, "how many"),
    example="fault: {header_flood: 100000}",
)
def _header_flood(plan: Plan, answer: Answer, p: Params) -> None:
    plan.extra_head = (b"x-flood-%d: water\r\n" % at for at in range(p["count"]))


@fault(
    "long_header",
    "The answer has one header of this size.",
    parameter("size", "size", 1_000_000, "how many bytes"),
    example="fault: {long_header: 1MB}",
)
def _long_header(plan: Plan, answer: Answer, p: Params) -> None:
    plan.extra_head = [b"x-long: ", b"a" * p["size"], b"\r\n"]


@fault(
    "wrong_length",
    "The header promises more bytes than come.",
    parameter("more", "size", 100, "how many bytes are missing"),
    applies="plain",
)
def _wrong_length(plan: Plan, answer: Answer, p: Params) -> None:
    body = plan.whole_body()
    plan.blocks, plan.length, plan.end = [body], len(body) + p["more"], "fin"
