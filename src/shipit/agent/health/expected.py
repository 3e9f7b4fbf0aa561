"""Compare the answer to a health check with what its check expects. Pure."""

import json
from typing import Any, Dict

from ..host.answer import Answer
from ..protocol.manifest import Check


def judge(check: Check, answer: Answer) -> str:
    """Return what is wrong with an answer: expected and actual; "" for a good one."""
    if answer.error:
        return answer.error
    if not check.url and not check.command:
        return ""  # connecting was the whole check
    word, expected = ("exit status", 0) if check.command else ("status", check.status)
    if answer.status != expected:
        leads = f" (Location: {answer.location})" if answer.location else ""
        return f"expected {word} {expected}, got {answer.status}{leads}"
    text = answer.body.decode(errors="replace")
    if check.body and check.body not in text:
        return f"expected the text {check.body!r} in the answer"
    return _json_wrong(check.json, text) if check.json is not None else ""


def _json_wrong(expected: Dict[str, Any], text: str) -> str:
    try:
        return differs(expected, json.loads(text))
    except ValueError:
        return "expected JSON, got something else"
    except RecursionError:  # the gate must survive any answer
        return "expected JSON, got JSON that is nested too deeply"


def differs(expected: Any, got: Any, where: str = "") -> str:
    """Return where `got` lacks what is expected, "" for a match; `got` may have more."""
    if not isinstance(expected, dict):
        same = expected == got and isinstance(expected, bool) == isinstance(got, bool)
        return "" if same else f"expected {where or 'it'} to be {expected!r}, got {got!r}"
    if not isinstance(got, dict):
        return f"expected {where or 'an object'} to have fields, got {got!r}"
    for key, value in expected.items():
        path = f"{where}.{key}" if where else str(key)
        wrong = differs(value, got[key], path) if key in got else f"expected a field {path}"
        if wrong:
            return wrong
    return ""
