"""What a host's ledger tells of the way back, and what of it passes for the lease's doing."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import TYPE_CHECKING, cast

import pytest

from shipit.rehearsal.histories import Attempt, newest, otherwise
from shipit.rehearsal.scenario import Fault

if TYPE_CHECKING:
    from shipit.rehearsal.providers.base import Machines as Port

BY_LEASE = Attempt("b", "reverted", "[lease-expired] nobody confirmed the release")
BY_GATE = Attempt("c", "reverted", "[check-failed] command /bin/false: expected exit status 0")
UNSWITCHED = Attempt("d", "failed", "[interrupted] the deploy was interrupted")


class Machines:
    """Stands in for a provider's: each prints one text."""

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
        ('{"txn": "b", "outcome": "reverted", "failure": "why"}', Attempt("b", "reverted", "why")),
    ],
)
def test_the_last_line_of_a_ledger_is_an_attempt(text: str, attempt: Attempt) -> None:
    assert newest(cast("Port", Machines(text)), "m1", "/srv/app") == attempt


@pytest.mark.parametrize("fault", [Fault.CONTROLLER, Fault.CABLE])
def test_who_was_brought_back_by_the_lease_has_nothing_wrong(fault: Fault) -> None:
    assert otherwise(fault, "web1", {"web1": BY_LEASE, "web2": BY_LEASE}) == ()


@pytest.mark.parametrize("fault", [Fault.CONTROLLER, Fault.CABLE])
def test_a_gate_that_failed_by_itself_does_not_pass_for_a_lease(fault: Fault) -> None:
    (said,) = otherwise(fault, "web1", {"web1": BY_GATE})
    assert said == f"web1: it was not its lease that brought it back: {BY_GATE.failure}"
    (said,) = otherwise(fault, "web1", {})
    assert said.endswith("brought it back: no word in its ledger")


def test_without_a_controller_every_host_that_was_switched_has_to_go_back_by_its_lease() -> None:
    attempts = {"web1": BY_LEASE, "web2": BY_GATE, "web3": UNSWITCHED}
    (said,) = otherwise(Fault.CONTROLLER, "web1", attempts)
    assert said.startswith("web2: ")
    assert otherwise(Fault.CABLE, "web1", attempts) == ()  # the others were called back


@pytest.mark.parametrize("fault", [Fault.AGENT, Fault.REBOOT, Fault.POWER])
def test_what_a_host_finds_out_itself_needs_no_lease(fault: Fault) -> None:
    assert otherwise(fault, "web1", {"web1": BY_GATE}) == ()
