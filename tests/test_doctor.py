"""What a host's account of itself gives rise to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shipit.agent import protocol
from shipit.doctor import Finding, of_facts, of_status
from test_plan import facts


def found(said: protocol.Facts, title: str) -> Finding:
    (finding,) = [it for it in of_facts("web1", said) if it.title == title]
    return finding


def test_a_stuck_host_is_told_with_what_a_person_has_to_do() -> None:
    stuck = found(replace(facts(), stuck="see systemctl status, then deploy again"), "stuck")
    assert not stuck.ok
    assert stuck.mend == "see systemctl status, then deploy again"


def test_a_live_lock_is_told_with_whose_it_is_and_how_to_follow_it() -> None:
    attempt = protocol.Attempt("t", "deploy", "ann@laptop", 42, "", "the fix")
    holder = protocol.Holder(attempt, 7, "check", 12.0)
    lock = found(replace(facts(), holder=holder), "lock")
    for word in ("ann@laptop", "pid 42", "the fix", "12 s", "check"):
        assert word in lock.detail
    assert "shipit attach" in lock.mend


def test_a_host_at_rest_is_neither_stuck_nor_locked() -> None:
    assert not {"stuck", "lock"} & {it.title for it in of_facts("web1", facts())}


def test_a_python_that_is_not_used_is_told_with_the_reason() -> None:
    why = "/opt/vendor/bin/python3 is not used: users other than root can change it"
    rejected = (protocol.Failure("interpreter-rejected", why, ""),)
    python = found(replace(facts(), rejected=rejected), "python")
    assert why in python.detail


@pytest.mark.parametrize(
    ("drift", "way_out"),
    [
        ("/opt/demo/releases/1/env/web.env was changed", "deploy the release again"),
        ("/opt/demo/releases/1/venv/lib/x.py was changed", "deploy it with any change"),
        ("/var/lib/shipit/demo/blobs/00 (x.whl) is missing or was changed", "put the wheel back"),
        ("/etc/x.conf changes demo-web.service: it is not part of the release", "remove that file"),
        ("a was changed on the disk since systemd read it (daemon-reload)", "systemctl daemon"),
    ],
)
def test_the_way_out_of_drift_is_one_that_works(drift: str, way_out: str) -> None:
    status = protocol.Status("1", "1", "", "", (), (drift,), None, "")
    (finding,) = of_status("web1", status)
    assert finding.mend.startswith(way_out) or way_out in finding.mend
