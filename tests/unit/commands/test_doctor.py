"""What a host's account of itself gives rise to."""

from __future__ import annotations

from dataclasses import replace

from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Drift
from shipit.commands.doctor import Finding, of_facts, of_status
from shipit.release import repairs
from unit.release.test_plan import facts


def found(said: messages.Facts, title: str) -> Finding:
    (finding,) = [it for it in of_facts("web1", said) if it.title == title]
    return finding


def test_a_stuck_host_is_reported_with_what_the_operator_must_do() -> None:
    stuck = found(replace(facts(), stuck="see systemctl status, then deploy again"), "stuck")
    assert not stuck.ok
    assert stuck.mend == "see systemctl status, then deploy again"


def test_a_live_lock_is_reported_with_whose_it_is_and_how_to_follow_it() -> None:
    attempt = messages.Attempt("t", "deploy", "ann@laptop", 42, "", "the fix")
    holder = messages.Holder(attempt, 7, "check", 12.0)
    lock = found(replace(facts(), holder=holder), "lock")
    for word in ("ann@laptop", "pid 42", "the fix", "12 s", "check"):
        assert word in lock.detail
    assert "shipit attach" in lock.mend


def test_a_host_at_rest_is_neither_stuck_nor_locked() -> None:
    assert not {"stuck", "lock"} & {it.title for it in of_facts("web1", facts())}


def test_a_python_that_is_not_used_is_reported_with_the_reason() -> None:
    why = "/opt/vendor/bin/python3 is not used: users other than root can change it"
    rejected = (messages.Failure("interpreter-rejected", why, ""),)
    python = found(replace(facts(), rejected=rejected), "python")
    assert why in python.detail


def test_a_host_without_a_python_is_ready_if_one_comes_with_the_release() -> None:
    none = replace(facts(), interpreters=())
    (python,) = (it for it in of_facts("web1", none, has_own=True) if it.title == "python")
    assert python.ok
    own = found(none, "python")
    assert (own.ok, "source: bundle" in own.mend) == (False, True)


def test_drift_is_a_finding_with_its_fix() -> None:
    drift = Drift("file-changed", "/opt/demo/x.py", "/opt/demo/x.py was changed")
    status = messages.Status("1", "1", "", "", (), (drift,), None, "")
    (finding,) = of_status("web1", status)
    assert (finding.title, finding.ok, finding.detail) == ("drift", False, drift.what)
    assert finding.mend == repairs.fix_for(drift)


def test_a_host_that_asks_for_signatures_is_named() -> None:
    signers = found(replace(facts(), signed_only=True), "signers")
    assert (signers.ok, "/etc/shipit/allowed_signers" in signers.detail) == (True, True)
    assert "signers" not in {it.title for it in of_facts("web1", facts())}
