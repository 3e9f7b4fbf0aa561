"""Read the history of a host, and decide whether its lease caused the rollback."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import TYPE_CHECKING, cast

import pytest

from shipit.rehearsal.histories import Attempt, newest, not_by_lease
from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    from shipit.rehearsal.providers.base import Machines as Port

BY_LEASE = Attempt("b", "rolled_back", "[lease-expired] nobody confirmed the release")
BY_GATE = Attempt("c", "rolled_back", "[check-failed] command /bin/false: expected exit status 0")
UNSWITCHED = Attempt("d", "discarded", "[interrupted] the deploy was interrupted")


class Machines:
    """Machines that print one text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def run(self, machine: str, *argv: str) -> CompletedProcess[str]:
        assert (machine, argv) == ("m1", ("tail", "-n", "1", "/srv/app/ledger.jsonl"))
        return CompletedProcess(argv, 0, self.text, "")


@pytest.mark.parametrize(
    ("text", "attempt"),
    [
        ("", Attempt()),
        ('{"txn": "c", "outcome": "committed", "who": "me"}\n', Attempt("c", "committed")),
        (
            '{"txn": "b", "outcome": "rolled_back", "failure": "why"}',
            Attempt("b", "rolled_back", "why"),
        ),
    ],
)
def test_the_last_line_of_the_history_is_read_as_an_attempt(text: str, attempt: Attempt) -> None:
    assert newest(cast("Port", Machines(text)), "m1", "/srv/app") == attempt


@pytest.mark.parametrize("fault", [Fault.CONTROLLER, Fault.CABLE])
def test_a_rollback_by_the_lease_is_as_expected(fault: Fault) -> None:
    assert not_by_lease(fault, "web1", {"web1": BY_LEASE, "web2": BY_LEASE}) == ()


@pytest.mark.parametrize("fault", [Fault.CONTROLLER, Fault.CABLE])
def test_a_failed_gate_does_not_count_as_a_rollback_by_the_lease(fault: Fault) -> None:
    (message,) = not_by_lease(fault, "web1", {"web1": BY_GATE})
    assert message == f"web1: rolled back, but not because its lease expired: {BY_GATE.failure}"
    (message,) = not_by_lease(fault, "web1", {})
    assert message.endswith("lease expired: nothing in its history")


def test_after_a_killed_controller_every_switched_host_must_roll_back_by_its_lease() -> None:
    attempts = {"web1": BY_LEASE, "web2": BY_GATE, "web3": UNSWITCHED}
    (message,) = not_by_lease(Fault.CONTROLLER, "web1", attempts)
    assert message.startswith("web2: ")
    assert (
        not_by_lease(Fault.CABLE, "web1", attempts) == ()
    )  # the controller rolled the others back


@pytest.mark.parametrize("fault", [Fault.AGENT, Fault.REBOOT, Fault.POWER])
def test_faults_that_a_host_detects_itself_need_no_lease(fault: Fault) -> None:
    assert not_by_lease(fault, "web1", {"web1": BY_GATE}) == ()
