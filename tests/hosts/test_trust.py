"""Who the host is, and who we are: keys, logins, sudo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.links import (
    at,
    output,
    refusal,
    start_sshd,
    talking,
    trust,
)
from shipit.lab.image import SUDO_PASSWORD
from shipit.secrets import Secret
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab


# --- who the host is ---------------------------------------------------------------------------


def test_a_pinned_key_lets_in_and_sudo_makes_root(lab: Lab, network: Network) -> None:
    with talking(network, at(lab.hosts["web1"])) as wire:
        assert "uid 0, role serve" in output(wire)


def test_a_known_host_is_trusted_by_its_line(lab: Lab, network: Network, tmp_path: Path) -> None:
    host = lab.hosts["web1"]
    trust(tmp_path, f"{host.address} {host.host_key}")
    with talking(network, at(host, host_key=None)) as wire:
        assert "uid 0" in output(wire)


def test_the_known_type_is_asked_for_when_the_host_would_prefer_another(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    host = lab.hosts["web1"]
    rsa = lab.run("web1", "sh", "-c", "cat /etc/ssh/ssh_host_ecdsa_key.pub /etc/ssh/*rsa_key.pub")
    others = [line for line in rsa.stdout.splitlines() if line]
    if not others:
        lab.run(
            "web1", "ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", "/etc/ssh/ssh_host_rsa_key"
        )
        lab.run("web1", "systemctl", "restart", "ssh")
        others = [lab.read("web1", "/etc/ssh/ssh_host_rsa_key.pub").decode()]
    kind, key = others[-1].split()[:2]
    trust(tmp_path, f"{host.address} {kind} {key}")
    with talking(network, at(host, host_key=None)) as wire:
        assert "uid 0" in output(wire)


def test_an_unknown_key_is_refused_with_its_fingerprint_and_the_command(
    lab: Lab, network: Network
) -> None:
    host = lab.hosts["web1"]
    error = refusal(network, at(host, host_key=None))
    assert error.code == "host-key-unknown"
    listed = lab.run("web1", "sh", "-c", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout
    assert listed.split()[1] in error.what
    assert f"ssh-keyscan {host.address} >> ~/.ssh/known_hosts" in error.hint


def test_a_changed_key_is_refused_with_both_fingerprints_and_the_line(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    host, other = lab.hosts["web1"], lab.hosts["web2"]
    known = trust(tmp_path, f"# mine\n{host.address} {other.host_key}")
    error = refusal(network, at(host, host_key=None))
    assert error.code == "host-key-changed"
    assert f"{known}:2: SHA256:" in error.what
    assert error.what.count("SHA256:") == 2
    assert f"ssh-keygen -R {host.address}" in error.hint


def test_another_key_than_the_pinned_one_is_refused_even_if_known_hosts_has_it(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    host, other = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"{host.address} {host.host_key}")
    error = refusal(network, at(host, host_key=other.host_key))
    assert error.code == "host-key-changed"
    assert "shipit_host_key" in error.what


def test_a_host_with_only_weak_algorithms_needs_ssh_config(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    host = lab.hosts["web1"]
    start_sshd(lab, 2200, "-o", "Ciphers=aes128-cbc,3des-cbc", "-o", "MACs=hmac-sha1")
    error = refusal(network, at(host, port=2200))
    assert error.code == "ssh-algorithms"
    assert "the host offers aes128-cbc, 3des-cbc" in error.what
    assert "Ciphers +aes128-cbc" in error.hint
    (tmp_path / ".ssh").mkdir()
    config = tmp_path / ".ssh" / "config"
    config.write_text("Ciphers +aes128-cbc\n")
    with Network(home=tmp_path) as other:
        error = refusal(other, at(host, port=2200))
    assert "the host offers hmac-sha1" in error.what
    config.write_text("Ciphers +aes128-cbc\nMACs +hmac-sha1\n")
    with Network(home=tmp_path) as other, talking(other, at(host, port=2200)) as wire:
        assert "uid 0" in output(wire)


def test_a_key_known_for_another_port_only_is_refused(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    host, other = lab.hosts["web1"], lab.hosts["web2"]
    start_sshd(lab, 2201)
    trust(tmp_path, f"[{host.address}]:2201 {other.host_key}\n{host.address} {host.host_key}")
    error = refusal(network, at(host, host_key=None, port=2201))
    assert error.code == "host-key-changed"
    assert f"[{host.address}]:2201" in error.hint


# --- who we are --------------------------------------------------------------------------------


def test_a_refused_login_names_user_and_keys(lab: Lab, network: Network, tmp_path: Path) -> None:
    host = lab.hosts["web1"]
    error = refusal(network, at(host, user="nobody-here"))
    assert error.code == "login-refused"
    assert "nobody-here" in error.what
    assert f"key {host.key}: " in error.what
    error = refusal(network, at(host, key_files=(str(tmp_path / "gone"),)))
    assert "no such file" in error.what


def test_sudo_takes_the_password(lab: Lab, network: Network) -> None:
    place = at(lab.hosts["web1"], user="pwsudo", become_password=Secret(SUDO_PASSWORD))
    with talking(network, place) as wire:
        assert "uid 0" in output(wire)


def test_a_password_that_sudo_does_not_ask_for_is_ignored(lab: Lab, network: Network) -> None:
    place = at(lab.hosts["web1"], become_password=Secret("sentinel-password"))
    with talking(network, place) as wire:
        assert "uid 0" in output(wire)


@pytest.mark.parametrize(
    ("user", "password", "code"),
    [
        ("pwsudo", None, "sudo-password-needed"),
        ("pwsudo", "sentinel-wrong", "sudo-password-wrong"),
        ("nosudo", None, "sudo-password-needed"),
    ],
)
def test_a_refusal_of_sudo_has_its_own_code(
    lab: Lab, network: Network, user: str, password: str | None, code: str
) -> None:
    secret = Secret(password) if password else None
    error = refusal(network, at(lab.hosts["web1"], user=user, become_password=secret))
    assert error.code == code
    assert "sentinel" not in f"{error} {error.evidence} {error.hint}"


def test_a_wrong_password_is_offered_once(fresh_web1: Lab, network: Network) -> None:
    place = at(fresh_web1.hosts["web1"], user="pwsudo", become_password=Secret("wrong"))
    refusal(network, place)
    log = fresh_web1.run("web1", "journalctl", "-t", "sudo", "--no-pager").stdout
    assert log.count("authentication failure") <= 1
    assert "3 incorrect" not in log


def test_without_become_a_user_other_than_root_is_reported(lab: Lab, network: Network) -> None:
    error = refusal(network, at(lab.hosts["web1"], become=False))
    assert error.code == "not-root"
    assert "ansible_become" in error.hint


def test_a_missing_sudo_is_reported(fresh_web1: Lab, network: Network) -> None:
    fresh_web1.run("web1", "mv", "/usr/bin/sudo", "/usr/bin/sudo.away")
    error = refusal(network, at(fresh_web1.hosts["web1"]))
    fresh_web1.run("web1", "mv", "/usr/bin/sudo.away", "/usr/bin/sudo")  # other modules log in here
    assert error.code == "sudo-missing"
