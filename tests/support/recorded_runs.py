"""Recorded runs, for the tests of the outputs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from shipit.events import (
    BatchBegan,
    Event,
    HostEnded,
    HostFailed,
    HostResult,
    Noted,
    Outcome,
    Probed,
    Problem,
    RunBegan,
    RunEnded,
    Sent,
    StepBegan,
    StepEnded,
)
from shipit.output.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable

OLD, NEW = "1.3.9-0c5e7d21", "1.4.0-3f9a2c1b"
URL = "http://127.0.0.1:8000/healthz"
SECRET = "correct horse battery staple"


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def hide(text: str) -> str:
    return text.replace(SECRET, "***")


def redactor() -> Redactor:
    made = Redactor()
    made.learn(hide)
    return made


def problem(host: str = "web2", evidence: str = "") -> Problem:
    return Problem(
        host=host,
        code="health-failed",
        what=f"{URL}: expected 200, got 500 after 5.0 s",
        step="check",
        hint=f"shipit logs playbooks/prod.yaml -l {host}",
        evidence=evidence
        or f"demoapp-web.service: failed, exit status 3\nRuntimeError: no login with {SECRET}",
    )


WHY = "1 of 2 hosts failed, and max_failures allows 0"


def failed_run() -> list[Event]:
    """Two hosts, two batches; the second host fails its gate, and both are rolled back."""
    why = problem()
    return [
        RunBegan("deploy", "demoapp", ("web1", "web2")),
        StepBegan("web1", "send"),
        Sent("web1", 500_000, 36_000_000),
        Sent("web1", 36_000_000, 36_000_000),
        StepEnded("web1", "send", 1.2, ok=True),
        StepBegan("web1", "venv", "uv"),
        StepEnded("web1", "venv", 0.4, ok=True),
        BatchBegan(1, 2, ("web1",)),
        Probed("web1", URL, ok=False, detail="connection refused"),
        Probed("web1", URL, ok=True, detail="200"),
        StepEnded("web1", "check", 1.1, ok=True),
        BatchBegan(2, 2, ("web2",)),
        StepEnded("web2", "check", 5.0, ok=False),
        HostFailed(why),
        Noted(f"{WHY}: every host of this run is rolled back"),
        BatchBegan(1, 2, ("web1",), "roll_back"),
        HostEnded("web2", Outcome.ROLLED_BACK, OLD, 8.2),
        HostEnded("web1", Outcome.ROLLED_BACK, OLD, 9.2),
        ended(4, {"web1": Outcome.ROLLED_BACK, "web2": Outcome.ROLLED_BACK}, OLD, why=why),
    ]


def ended(
    status: int, outcomes: dict[str, Outcome], release: str = NEW, *, why: Problem | None = None
) -> RunEnded:
    hosts = {host: _result(host, outcome, release, why) for host, outcome in outcomes.items()}
    advice = "" if status == 0 else "fix it and run the command again"
    return RunEnded("deploy", "demoapp", status, hosts, 9.6, advice)


def _result(host: str, outcome: Outcome, release: str, why: Problem | None) -> HostResult:
    if why and why.host == host:
        return HostResult(outcome, release, why)
    return HostResult(outcome, release, because=WHY if why else "")


def good_run(hosts: Iterable[str]) -> list[Event]:
    names = tuple(hosts)
    return [
        RunBegan("deploy", "demoapp", names),
        *(StepBegan(host, "venv") for host in names),
        *(StepEnded(host, "venv", 0.4, ok=True) for host in names),
        *(HostEnded(host, Outcome.COMMITTED, NEW, 2.0) for host in names),
        ended(0, dict.fromkeys(names, Outcome.COMMITTED)),
    ]
