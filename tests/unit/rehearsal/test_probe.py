"""Whether an answer passes a health check that is asked from outside."""

import json

import pytest

from shipit.playbook.health import Check
from shipit.rehearsal.probe import misfit

URL = "http://127.0.0.1:8000/healthz"
BODY = json.dumps({"status": "ok", "build": {"version": "1.0.0", "at": 7}})


def check(**wanted: object) -> Check:
    return Check.model_validate({"http": URL, **wanted})


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"body": "ok"},
        {"json": {"status": "ok"}},
        {"json": {"build": {"version": "1.0.0"}}},
    ],
)
def test_a_good_answer_passes(wanted: dict[str, object]) -> None:
    assert misfit(check(**wanted), {"status": 200, "body": BODY}) == ""


@pytest.mark.parametrize(
    ("wanted", "answer", "why"),
    [
        ({}, {"error": "refused"}, "refused"),
        ({}, {"status": 500, "body": ""}, "expected status 200, got 500"),
        ({"status": 204}, {"status": 200, "body": ""}, "expected status 204, got 200"),
        ({"body": "ready"}, {"status": 200, "body": BODY}, "expected 'ready'"),
        ({"json": {"status": "no"}}, {"status": 200, "body": BODY}, "expected the fields"),
        ({"json": {"gone": None}}, {"status": 200, "body": BODY}, "expected the fields"),
        ({"json": {"build": {"at": 8}}}, {"status": 200, "body": BODY}, "expected the fields"),
        ({"json": {"status": {"a": 1}}}, {"status": 200, "body": BODY}, "expected the fields"),
        ({"json": {"a": 1}}, {"status": 200, "body": "<html>"}, "got <html>"),
    ],
)
def test_a_bad_answer_is_explained(
    wanted: dict[str, object], answer: dict[str, object], why: str
) -> None:
    assert why in misfit(check(**wanted), answer)
