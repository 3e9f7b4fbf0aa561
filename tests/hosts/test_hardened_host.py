"""Hosts that an administrator has hardened: what a deploy bears, and what it says of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosts.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab

SHARED = ("/tmp", "/var/tmp", "/dev/shm")
MOUNT = "mount -t tmpfs -o mode=1777,noexec,nosuid,nodev tmpfs"
SUDO = "Defaults use_pty, umask=0077, umask_override, env_reset, !visiblepw"


def test_a_deploy_bears_noexec_folders_a_umask_of_077_sudo_with_use_pty_and_hidden_processes(
    fresh_web1: Lab, tmp_path: Path
) -> None:
    for folder in SHARED:
        fresh_web1.run("web1", "sh", "-c", f"{MOUNT} {folder}")
    fresh_web1.run("web1", "mount", "-o", "remount,hidepid=2", "/proc")
    fresh_web1.run("web1", "sh", "-c", f"echo '{SUDO}' > /etc/sudoers.d/00-hardened")
    fresh_web1.run("web1", "sh", "-c", "sed -i 's/^UMASK.*/UMASK 077/' /etc/login.defs")
    fresh_web1.run("web1", "sh", "-c", "echo 'session optional pam_umask.so' >> /etc/pam.d/sshd")
    as_deploy = ["su", "-", "deploy", "-s", "/bin/sh", "-c"]
    assert fresh_web1.run("web1", *as_deploy, "sudo sh -c umask").stdout.strip() == "0077"
    assert fresh_web1.run("web1", *as_deploy, "ls -d /proc/1").returncode != 0
    workspace = Workspace.set(tmp_path, fresh_web1, hosts=["web1"])

    first = workspace.deploy("1.0.0")
    second = workspace.deploy("1.1.0")
    assert (first.status, second.status) == (0, 0), first.output + second.output
    assert workspace.shipit("rollback").status == 0
    assert workspace.serves("web1")["version"] == "1.0.0"
    assert workspace.asked("status")["web1"]["drift"] == []


def test_sudo_that_wants_a_terminal_is_reported_with_the_line_that_spares_the_login(
    fresh_web1: Lab, tmp_path: Path
) -> None:
    fresh_web1.run("web1", "sh", "-c", "echo 'Defaults requiretty' > /etc/sudoers.d/00-tty")
    workspace = Workspace.set(tmp_path, fresh_web1, hosts=["web1"])
    workspace.variables(web1={"ansible_user": "deploy", "ansible_become": True})
    done = workspace.deploy("1.0.0")
    assert done.status == 3, done.output
    assert "sudo-needs-tty" in done.output
    assert "Defaults:deploy !requiretty" in done.output
