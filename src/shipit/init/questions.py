"""Ask for what no file says: which app, its port, the hosts. Each guess is the default answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.init.decisions import Answers

if TYPE_CHECKING:
    from shipit.init.detect import Findings

_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[\d+:\d+\][A-Za-z0-9._-]*)?|[0-9a-fA-F:]+")
_PORTS = range(1, 65536)


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        text: one line, or several with a list of choices.
        check: returns what is wrong with an answer; "" for a good one.
    """

    text: str
    default: str
    check: Callable[[str], str]


Ask = Callable[[Question], str]


def answers(found: Findings, ask: Ask, *, has_inventory: bool) -> Answers:
    """Return what the user answers; hosts are asked for if there is no inventory yet."""
    serve, port = "", 0
    if len(found.web_apps) > 1:
        serve = _which_app(found, ask)
    if found.web_apps:
        chosen = next((app for app in found.web_apps if app.serve == serve), found.web_apps[0])
        port = int(ask(Question("Port of the web service", chosen.port.value, _port)))
    text = "" if has_inventory else ask(Question("Hosts (names, with spaces between)", "", _hosts))
    return Answers(serve, port, tuple(text.replace(",", " ").split()))


def _which_app(found: Findings, ask: Ask) -> str:
    lines = [
        f"  {number}  {app.serve} ({app.found.place})"
        for number, app in enumerate(found.web_apps, 1)
    ]
    text = "\n".join(["Several apps were found:", *lines, "Which one is the web service?"])
    numbers = {str(number): app.serve for number, app in enumerate(found.web_apps, 1)}

    def check(answer: str) -> str:
        return "" if answer in numbers else f"write a number from 1 to {len(numbers)}"

    return numbers[ask(Question(text, "1", check))]


def _port(answer: str) -> str:
    is_port = answer.isascii() and answer.isdecimal() and int(answer[:6]) in _PORTS
    return "" if is_port else f"write a number from 1 to {_PORTS[-1]}"


def _hosts(answer: str) -> str:
    bad = [name for name in answer.replace(",", " ").split() if not _HOST.fullmatch(name)]
    return f"{bad[0]!r} is no name or address of a host" if bad else ""
