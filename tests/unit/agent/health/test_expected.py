from __future__ import annotations

import pytest

from shipit.agent.health.expected import differs, judge
from shipit.agent.host.answer import Answer
from shipit.agent.protocol.manifest import Check

HTTP = Check.of("http", "http://127.0.0.1:8000/healthz", json={"version": "2"})
NO_TEXT = "expected the text 'ok' in the answer"
TOO_DEEP = "expected JSON, got JSON that is nested too deeply"


@pytest.mark.parametrize(
    ("check", "answer", "wrong"),
    [
        (Check.of("http", "u"), Answer(status=200), ""),
        (Check.of("http", "u"), Answer(error="connection refused"), "connection refused"),
        (Check.of("http", "u"), Answer(status=302), "expected status 200, got 302"),
        (
            Check.of("http", "u"),
            Answer(status=301, location="https://www.example.com/"),
            "expected status 200, got 301 (Location: https://www.example.com/)",
        ),
        (Check.of("http", "u", status=204), Answer(status=204), ""),
        (Check.of("http", "u", body="ok"), Answer(status=200, body=b"all ok"), ""),
        (
            Check.of("http", "u", body="ok"),
            Answer(status=200, body=b"no\xff"),
            "expected the text 'ok' in the answer",
        ),
        (HTTP, Answer(status=200, body=b'{"version": "2", "more": 1}'), ""),
        (HTTP, Answer(status=200, body=b'{"version": "1"}'), "expected version to be '2', got '1'"),
        (HTTP, Answer(status=200, body=b"{}"), "expected a field version"),
        (HTTP, Answer(status=200, body=b"<html>"), "expected JSON, got something else"),
        (
            HTTP,
            Answer(status=200, body=b"[" * 200_000),
            "expected JSON, got JSON that is nested too deeply",
        ),
        (Check.of("http", "u", body="ok"), Answer(status=200, body=b"\xff ok"), ""),
        (Check.of("tcp", "a:1"), Answer(), ""),
        (Check.of("unix", "/run/a"), Answer(), ""),
        (Check.of("unix", "/run/a:/healthz"), Answer(status=500), "expected status 200, got 500"),
        (Check.of("command", "check"), Answer(status=0), ""),
        (Check.of("command", "check"), Answer(status=3), "expected exit status 0, got 3"),
    ],
)
def test_an_answer_is_judged(check: Check, answer: Answer, wrong: str) -> None:
    assert judge(check, answer) == wrong


@pytest.mark.parametrize(
    ("expected", "got", "wrong"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, ""),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "expected a.b to be 1, got 2"),
        ({"a": {"b": 1}}, {"a": 1}, "expected a to have fields, got 1"),
        ({"a": True}, {"a": 1}, "expected a to be True, got 1"),
        ({"a": [1]}, {"a": [1, 2]}, "expected a to be [1], got [1, 2]"),
        (1, 1, ""),
        (1, 2, "expected it to be 1, got 2"),
        (1, True, "expected it to be 1, got True"),
        ({"a": 1, "b": 2}, {"a": 1}, "expected a field b"),
        ({}, [], "expected an object to have fields, got []"),
    ],
)
def test_json_fields_are_a_nested_subset(expected: object, got: object, wrong: str) -> None:
    assert differs(expected, got) == wrong
