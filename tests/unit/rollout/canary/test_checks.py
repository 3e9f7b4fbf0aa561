"""The checks of a canary: commands, queries, and those that hang."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from http_server import answer, serving
from patience import until
from shipit.playbook.canary.models import CanaryCheck
from shipit.rollout.canary import checks
from shipit.rollout.canary.checks import NOT_ASKED, Asking, Held, load, pattern
from shipit.rollout.canary.decision import CheckOutcome, CheckResult
from shipit.secrets import Mask
from unit.rollout.controller.test_prometheus import handler, vector

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

HELD = Held(("web1",), ("web2", "web3"))
SHOWS_ALL = Mask([])


def found(tmp_path: Path, held: Held = HELD, **written: object) -> CheckResult:
    check = CanaryCheck.model_validate(written)
    (made,) = load([check], {}, tmp_path, {"PATH": os.environ["PATH"]})
    return made.ask(held, lambda: False)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0, CheckOutcome.PASS),
        (1, CheckOutcome.FAIL),
        (2, CheckOutcome.FAIL),
        (3, CheckOutcome.INCONCLUSIVE),
        (4, CheckOutcome.ERROR),
        (127, CheckOutcome.ERROR),
    ],
)
def test_the_exit_status_of_a_command_is_its_outcome(
    tmp_path: Path, status: int, outcome: CheckOutcome
) -> None:
    assert found(tmp_path, command=f"sh -c 'exit {status}'").outcome is outcome


def test_a_command_gets_the_hosts_and_its_last_line_is_shown(tmp_path: Path) -> None:
    script = "sh -c 'echo first; echo $SHIPIT_CANARY beside $SHIPIT_OTHERS; echo; exit 1'"
    assert found(tmp_path, command=script) == CheckResult(
        CheckOutcome.FAIL, "web1 beside web2 web3"
    )


def test_a_command_that_is_missing_killed_or_too_slow_is_an_error(tmp_path: Path) -> None:
    missing = found(tmp_path, command="./none.sh")
    assert missing == CheckResult(
        CheckOutcome.ERROR, "could not be started: No such file or directory"
    )
    killed = found(tmp_path, command="sh -c 'kill -9 $$'")
    assert killed == CheckResult(CheckOutcome.ERROR, "was killed by signal 9")
    slow = found(tmp_path, command="sleep 60", timeout="200ms")
    assert slow == CheckResult(CheckOutcome.ERROR, "did not end within 0.2 s")


def test_a_query_is_asked_for_the_canaries_and_compared_with_the_others(tmp_path: Path) -> None:
    queries: list[str] = []

    def respond(to: BaseHTTPRequestHandler) -> None:
        queries.extend(to.form["query"])  # type: ignore[attr-defined] # of the handler
        value = "4" if "web1" in queries[-1] else "2"
        answer(to, 200, json.dumps(vector(value)).encode())

    with serving(handler(respond)) as url:
        query: dict[str, Any] = {"prometheus": url, "query": 'sum(x{h=~"$hosts"})'}
        passed = found(tmp_path, **query, at_most_times=2)
        failed = found(tmp_path, **query, at_most_times=1.5)
        alone = found(tmp_path, Held(("web1",)), **query, at_most_times=2)
        plain = found(tmp_path, **query, max=4)
    assert [it.outcome for it in (passed, failed, alone, plain)] == [
        CheckOutcome.PASS,
        CheckOutcome.FAIL,
        CheckOutcome.INCONCLUSIVE,
        CheckOutcome.PASS,
    ]
    mine, others = 'sum(x{h=~"web1"})', 'sum(x{h=~"web2|web3"})'
    assert queries == [mine, others, mine, others, mine, mine]


def test_a_server_that_is_down_is_an_error(tmp_path: Path) -> None:
    down = found(tmp_path, prometheus="http://127.0.0.1:9", query="up", max=1)
    assert down.outcome is CheckOutcome.ERROR
    assert "http://127.0.0.1:9: it cannot be reached" in down.detail


@pytest.mark.parametrize("hosts", [["web1"], ["web1.example.com", "db-2"], ['a"b\\c', "::1"]])
def test_hosts_are_a_regular_expression_that_needs_no_escape(hosts: list[str]) -> None:
    made = pattern(hosts)
    assert all(re.fullmatch(made, host) for host in hosts)
    assert not set(made) & set("\"'`\\{}")
    assert not re.fullmatch(pattern(["web1.example.com"]), "web1xexample.com")


def test_checks_of_one_name_get_numbers(tmp_path: Path) -> None:
    written = [CanaryCheck.model_validate({"command": f"./look.sh {it}"}) for it in "ab"]
    assert [it.name for it in load(written, {}, tmp_path, {})] == ["look.sh (1)", "look.sh (2)"]


@dataclass
class Scripted:
    """A check that gives these findings, one after another, and then the last one."""

    findings: list[CheckResult]
    name: str = "errors"
    interval: float = 0.01
    longest: float = 20.0
    asked: list[Held] = field(default_factory=list)
    before: Callable[[], object] = lambda: None

    def ask(self, held: Held, _is_stopped: Callable[[], bool]) -> CheckResult:
        self.asked.append(held)
        self.before()
        return self.findings.pop(0) if len(self.findings) > 1 else self.findings[0]


def test_each_check_is_asked_until_its_end(tmp_path: Path) -> None:
    fails = CheckResult(CheckOutcome.FAIL)
    one, other = (
        Scripted([CheckResult(CheckOutcome.PASS), fails]),
        Scripted([fails], "slow", 3600.0),
    )
    with Asking([one, other], HELD, SHOWS_ALL) as asking:
        until(lambda: len(one.asked) > 3, lambda: one.asked, 20)
        until(lambda: asking.results()["slow"] == fails, asking.results, 20)
        assert asking.results()["errors"] == fails
    names = {"check errors", "check slow"}
    until(lambda: not names & {it.name for it in threading.enumerate()}, threading.enumerate, 20)
    assert len(other.asked) == 1


def test_a_check_that_hangs_is_an_error_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "GRACE", 0.0)
    over, passed = threading.Event(), CheckResult(CheckOutcome.PASS)
    hangs = Scripted([passed], longest=0.05, before=lambda: over.wait(20))
    with Asking([hangs, Scripted([passed], "other")], HELD, SHOWS_ALL) as asking:
        late = CheckResult(CheckOutcome.ERROR, "it has not answered in time")
        until(lambda: asking.results() == {"errors": late, "other": passed}, asking.results, 20)
        over.set()
        until(lambda: asking.results()["errors"] == passed, asking.results, 20)


def test_checks_that_hang_are_left_after_one_time_for_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, over = [0.0], threading.Event()
    joined: list[float] = []

    def join(_: threading.Thread, timeout: float) -> None:
        joined.append(timeout)
        now[0] += timeout

    hang = [Scripted([NOT_ASKED], name, before=lambda: over.wait(20)) for name in "abcd"]
    with Asking(hang, HELD, SHOWS_ALL):
        until(lambda: all(each.asked for each in hang), lambda: hang, 20)
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        monkeypatch.setattr(threading.Thread, "join", join)
    monkeypatch.undo()
    over.set()
    assert joined == [checks.LEAVING, 0, 0, 0]


def test_what_a_check_says_is_masked_and_one_short_line() -> None:
    said = f"token\n=hunter2\r\n[web1] {'x' * 64_000}"
    check = Scripted([CheckResult(CheckOutcome.FAIL, said)])
    with Asking([check], HELD, Mask(["hunter2"])) as asking:
        until(lambda: asking.results()["errors"] != NOT_ASKED, asking.results, 20)
        found = asking.results()["errors"]
    assert found.detail == f"token =*** [web1] {'x' * 64_000}"[:300]


def test_hosts_that_are_too_many_for_a_variable_are_left_out(tmp_path: Path) -> None:
    many = Held(("web1",), tuple(f"host-{number:08}" for number in range(20_000)))
    script = "sh -c 'echo $SHIPIT_CANARY, ${SHIPIT_OTHERS-too many}'"
    assert found(tmp_path, many, command=script) == CheckResult(CheckOutcome.PASS, "web1, too many")


def test_no_command_loads_tls_before_a_server_is_asked() -> None:
    line = "import sys, shipit.rollout.connections; print('ssl' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_check_that_was_not_asked_yet_does_not_pass() -> None:
    assert NOT_ASKED.outcome is CheckOutcome.INCONCLUSIVE
    assert Asking([Scripted([CheckResult(CheckOutcome.PASS)])], HELD, SHOWS_ALL).results() == {
        "errors": NOT_ASKED
    }


def test_a_bug_in_a_check_is_an_error() -> None:
    def fail() -> None:
        raise RuntimeError("?")

    with Asking(
        [Scripted([CheckResult(CheckOutcome.PASS)], before=fail)], HELD, SHOWS_ALL
    ) as asking:
        until(lambda: asking.results()["errors"].outcome is CheckOutcome.ERROR, asking.results, 20)
