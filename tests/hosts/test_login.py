"""Hosts that let nobody in, answer a login late, or run no program: each is reported so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hosts.links import at, output, refusal, talking
from hosts.workspace import Workspace
from shipit.transport.ssh import auth

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab
    from shipit.transport.ssh.client import Network

LATE = 6  # seconds, twice the time that a connection may take below
PAM = "/etc/pam.d/sshd"


def waits(lab: Lab, kind: str, seconds: int = LATE) -> None:
    """Make PAM wait in its account or session phase, as it does for a name service or logind."""
    rule = f"{kind} required pam_exec.so /bin/sleep {seconds}"
    lab.run("web1", "sed", "-i", f"1i {rule}", PAM)


def test_a_host_that_lets_nobody_log_in_is_reported_as_that(
    fresh_web1: Lab, network: Network
) -> None:
    fresh_web1.run("web1", "sh", "-c", "echo 'closed for the winter' > /run/nologin")
    try:
        error = refusal(network, at(fresh_web1.hosts["web1"]))
    finally:
        fresh_web1.run("web1", "rm", "/run/nologin")
    assert error.code == "login-closed"
    assert "closed for the winter" in error.what
    assert "/run/nologin" in error.hint
    assert "ssh-copy-id" not in error.hint


@pytest.mark.parametrize("kind", ["account", "session"])
def test_a_slow_login_is_waited_for(kind: str, fresh_web1: Lab, network: Network) -> None:
    waits(fresh_web1, kind)
    with talking(network, at(fresh_web1.hosts["web1"], connect_timeout=LATE / 2)) as wire:
        assert "uid 0" in output(wire)


@pytest.mark.parametrize(
    ("kind", "limit", "code"),
    [
        ("account", "AUTH_TIMEOUT", "login-timeout"),
        ("session", "SESSION_TIMEOUT", "session-timeout"),
    ],
)
def test_a_login_that_takes_too_long_is_reported_with_what_was_waited_for(
    kind: str,
    limit: str,
    code: str,
    fresh_web1: Lab,
    network: Network,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits(fresh_web1, kind, 60)
    monkeypatch.setattr(auth, limit, 5.0)
    error = refusal(network, at(fresh_web1.hosts["web1"], connect_timeout=5.0))
    assert error.code == code
    assert "within 5 s" in error.what
    assert "PAM" in error.hint
    assert "MaxSessions" not in error.hint
    assert "ssh-copy-id" not in error.hint


def test_a_limit_for_sessions_is_reported_as_that(fresh_web1: Lab, network: Network) -> None:
    fresh_web1.run(
        "web1", "sh", "-c", "echo MaxSessions 0 >> /etc/ssh/sshd_config; systemctl restart ssh"
    )
    error = refusal(network, at(fresh_web1.hosts["web1"]))
    assert error.code == "channel-refused"
    assert "MaxSessions" in error.hint


def test_a_store_where_no_program_runs_is_reported_as_that(fresh_web1: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh_web1, hosts=["web1"])
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    store = "/var/lib/shipit"
    fresh_web1.run(
        "web1", "sh", "-c", f"mkdir -p {store}; mount -t tmpfs -o mode=755,noexec tmpfs {store}"
    )
    try:
        done = workspace.shipit("deploy", "--json")
    finally:
        fresh_web1.run("web1", "umount", "-l", store)
    assert done.status == 3, done.output
    reported = [json.loads(line) for line in done.out.splitlines()]
    [problem] = [line["problem"] for line in reported if line["event"] == "host-failed"]
    assert problem["code"] == "noexec", problem
    assert store in problem["what"]
    assert "findmnt" in problem["hint"]
