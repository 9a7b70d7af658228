"""The tree of errors: what each carries, and that it survives pickle, a database and JSON."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import pytest

from chatstep import errors
from chatstep.errors import ChatstepError, InvalidInput, RateLimited, all_errors, from_data

KINDS = list(all_errors())
LEAVES = [kind for kind in KINDS if not kind.__subclasses__()]
DETAILS = {"place": "message", "hint": "Write one.", "partial": "Hel", "attempts": 2, "retry_after": 0.5, "near": ["a"]}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_survives(kind: type[ChatstepError]) -> None:
    error = kind("It is wrong.", **DETAILS)
    through_json = from_data(json.loads(json.dumps(error.to_data())))
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error), through_json):
        assert type(again) is kind
        assert (again.message, again.details, str(again)) == (error.message, error.details, str(error))
    assert copy.deepcopy(error).details is not error.details


def test_codes_are_unique_and_words() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


def test_every_error_that_can_happen_has_an_exit_code_of_its_own() -> None:
    exits = [kind.exit_code for kind in LEAVES]
    assert len(set(exits)) == len(exits)
    assert all(1 <= code <= 125 or code == 130 for code in exits)
    for kind in KINDS:  # a class in between shares a code with nobody but its own children
        same = [other for other in KINDS if other.exit_code == kind.exit_code]
        assert all(issubclass(one, other) or issubclass(other, one) for one in same for other in same)


@pytest.mark.parametrize("kind", KINDS)
def test_http_status_fits_the_kind(kind: type[ChatstepError]) -> None:
    assert 400 <= kind.http_status <= 599
    if issubclass(kind, errors.InputError):
        assert kind.http_status < 500
    if issubclass(kind, (errors.StoreError, errors.BadAnswer)):
        assert kind.http_status >= 500


def test_every_class_is_exported_drawn_and_described() -> None:
    assert errors.__doc__ is not None
    for kind in KINDS:
        assert kind.__name__ in errors.__all__
        assert re.search(rf"\b{kind.__name__}\b", errors.__doc__)
        assert inspect.getdoc(kind)
    drawn = re.findall(r"[─ ] ?([A-Z]\w+)", errors.__doc__.partition("One constructor")[0])
    assert {name for name in drawn if hasattr(errors, name)} | {"ChatstepError"} == {kind.__name__ for kind in KINDS}


def test_the_sentence_shows_place_and_hint() -> None:
    assert str(InvalidInput("It is wrong.")) == "It is wrong."
    error = InvalidInput("It is wrong.", place="message", hint="Write one.", partial=None)
    assert str(error) == "message: It is wrong. Write one."
    assert error.details == {"place": "message", "hint": "Write one."}
    assert (InvalidInput("x").place, InvalidInput("x").hint) == (None, None)


def test_details_are_added_but_never_replaced() -> None:
    error = RateLimited("Wait.", retry_after=3)
    assert error.with_details(retry_after=9, attempts=2, status=None) is error
    assert error.details == {"retry_after": 3, "attempts": 2}


def test_what_a_newer_version_wrote_is_read() -> None:
    error = from_data({"error": "a_new_kind", "message": "Something.", "self": 1, "place": "x"})
    assert type(error) is ChatstepError
    assert (error.message, error.place, error.details["self"]) == ("Something.", "x", 1)
    assert type(from_data({})) is ChatstepError


def test_details_cannot_hide_the_code() -> None:
    assert RateLimited("Wait.", error="fine").to_data()["error"] == "rate_limited"


def test_errors_are_caught_by_their_families() -> None:
    for child, parent in (
        (errors.SpendLimitReached, errors.OutOfMoney),
        (errors.OutOfMoney, errors.Refused),
        (errors.TimedOut, errors.Busy),
        (errors.AnswerCut, errors.BadAnswer),
        (errors.BadAnswer, errors.StepError),
        (errors.DoesNotFit, errors.InputError),
        (errors.SealError, errors.StoreError),
    ):
        assert issubclass(child, parent)
