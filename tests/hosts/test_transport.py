"""How the agent starts on a host, and the way there."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from hosts.links import (
    AGENT,
    PATIENCE,
    QUICK,
    arrived,
    at,
    files_of,
    linked,
    output,
    refusal,
    talking,
    trust,
)
from hosts.relay import Relay
from shipit.agent.protocol import messages
from shipit.errors import HostError
from shipit.transport import upload
from shipit.transport.endpoint import Endpoint
from shipit.transport.ssh.client import Network
from shipit.transport.upload import ship

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab


# --- the agent's start -------------------------------------------------------------------------


def test_a_missing_python_is_reported(fresh_web1: Lab, network: Network) -> None:
    host = fresh_web1.hosts["web1"]
    assert refusal(network, at(host, python="/opt/none/python3")).code == "python-missing"
    fresh_web1.run("web1", "sh", "-c", "rm -f /usr/bin/python3*")
    assert refusal(network, at(host)).code == "python-missing"


def test_an_old_python_is_reported_unless_there_is_a_newer_one(
    fresh_web1: Lab, network: Network
) -> None:
    old = '#!/bin/sh\\nexec >&2\\necho "shipit: Python is too old: 3.6.9"\\nexit 1\\n'
    write = f"rm /usr/bin/python3; printf '{old}' > /usr/bin/python3; chmod 755 /usr/bin/python3"
    fresh_web1.run("web1", "sh", "-c", write)
    host = fresh_web1.hosts["web1"]
    with talking(network, at(host)) as wire:
        assert "python 3." in output(wire)
    error = refusal(network, at(host, python="/usr/bin/python3"))
    assert error.code == "python-too-old"
    assert "3.6.9" in error.what


def test_output_of_the_login_shell_is_skipped(fresh_web1: Lab, network: Network) -> None:
    host = fresh_web1.hosts["web1"]
    fresh_web1.run(
        "web1", "sh", "-c", "printf 'echo hello; printf no-newline\\n' > ~deploy/.bashrc"
    )
    with talking(network, at(host)) as wire:
        assert "uid 0" in output(wire)
    fresh_web1.run("web1", "sh", "-c", "echo 'yes chatter | head -c 900000' > ~deploy/.bashrc")
    assert refusal(network, at(host)).code == "login-shell-noise"


def test_a_login_shell_that_lets_nobody_in_is_reported(fresh_web1: Lab, network: Network) -> None:
    fresh_web1.run("web1", "usermod", "-s", "/usr/sbin/nologin", "deploy")
    error = refusal(network, at(fresh_web1.hosts["web1"]))
    assert error.code == "agent-not-started"
    assert "not available" in error.evidence


def test_an_agent_that_cannot_be_written_is_reported_with_its_place(
    fresh_web1: Lab, network: Network
) -> None:
    fresh_web1.run(
        "web1", "sh", "-c", "mkdir -p /var/lib/shipit; mount -t tmpfs -o ro x /var/lib/shipit"
    )
    error = refusal(network, at(fresh_web1.hosts["web1"]))
    fresh_web1.run("web1", "umount", "-l", "/var/lib/shipit")
    assert error.code == "agent-not-installed"
    assert "/var/lib/shipit" in error.what
    assert "read-only" in error.hint


def test_a_damaged_agent_on_the_host_is_replaced(fresh_web1: Lab, network: Network) -> None:
    host = fresh_web1.hosts["web1"]
    path = f"/var/lib/shipit/agent/{AGENT.sha256}.pyz"
    fresh_web1.run("web1", "sh", "-c", f"mkdir -p /var/lib/shipit/agent; echo junk > {path}")
    with talking(network, at(host)) as wire:
        assert "uid 0" in output(wire)
    assert sha256(fresh_web1.read("web1", path)).hexdigest() == AGENT.sha256
    assert fresh_web1.run("web1", "stat", "-c", "%a %U", path).stdout == "600 root\n"


def test_the_stderr_of_a_failed_agent_is_shown(lab: Lab, network: Network) -> None:
    with talking(network, at(lab.hosts["web1"])) as wire:
        wire.send(messages.AskStatus())
        with pytest.raises(HostError, match="exit status 1") as caught:
            wire.receive(PATIENCE)
    assert caught.value.code == "agent-died"
    assert "the agent gave up" in caught.value.evidence


def test_a_wait_for_a_silent_agent_ends_at_its_timeout(lab: Lab, network: Network) -> None:
    with talking(network, at(lab.hosts["web1"])) as wire:
        with pytest.raises(HostError, match="waited for the facts") as caught:
            wire.receive(0.2, "the facts")
        assert caught.value.code == "no-answer"
        assert "uid 0" in output(wire)  # and the wire is still good


# --- the way -----------------------------------------------------------------------------------


def test_a_closed_port_and_an_unknown_name_are_reported(lab: Lab, network: Network) -> None:
    host = lab.hosts["web1"]
    assert refusal(network, at(host, port=2222)).code == "connect-refused"
    assert refusal(network, at(host, address="no-such.invalid")).code == "name-unknown"


def test_a_host_that_is_off_is_given_up_in_time(lab: Lab, network: Network) -> None:
    lab.cut_cable("web2")
    try:
        error = refusal(network, at(lab.hosts["web2"], connect_timeout=1.0))
        assert error.code in ("connect-timeout", "connect-failed")
    finally:
        lab.repair_cable("web2")


def test_a_port_that_says_nothing_is_given_up_in_time(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        place = Endpoint("mute", "127.0.0.1", mute.getsockname()[1], connect_timeout=1.0)
        error = refusal(network, place)
        assert (error.code, "within 1 s" in error.what) == ("connect-timeout", True)


def test_a_dropped_handshake_is_tried_again_a_few_times(network: Network) -> None:
    accepted = []

    def drop(server: socket.socket) -> None:
        for _ in range(3):
            there, _ = server.accept()
            accepted.append(there)
            there.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drop, args=[server])
        thread.start()
        place = Endpoint("busy", "127.0.0.1", server.getsockname()[1], connect_timeout=PATIENCE)
        assert refusal(network, place).code == "ssh-failed"
        thread.join()
    assert len(accepted) == 3


def test_one_connection_to_a_jump_host_serves_all_hosts_behind_it(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"[127.0.0.1]:* {jump.host_key}")
    with Relay(jump.address) as relay:
        place = at(host, proxy_jump=f"deploy@127.0.0.1:{relay.port}")

        def uid(_: int) -> str:
            with talking(network, place) as wire:
                return output(wire)

        with ThreadPoolExecutor(4) as pool:
            assert all("uid 0" in answer for answer in pool.map(uid, range(4)))
        assert relay.connections == 1


def test_the_jump_hosts_key_is_checked_too(lab: Lab, network: Network) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    error = refusal(network, at(host, proxy_jump=f"deploy@{jump.address}"))
    assert error.code == "host-key-unknown"
    assert f"the jump host deploy@{jump.address}" in error.what


def test_a_host_that_its_jump_host_cannot_reach_is_reported(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"{jump.address} {jump.host_key}")
    error = refusal(network, at(host, port=2222, proxy_jump=f"deploy@{jump.address}"))
    assert error.code == "jump-failed"
    assert f"{host.address}:2222" in error.what


def test_ssh_config_names_the_user_key_and_jump_host(lab: Lab, tmp_path: Path) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"{jump.address} {jump.host_key}\n{host.address} {host.host_key}")
    (tmp_path / ".ssh" / "conf.d").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Include conf.d/*\n")
    (tmp_path / ".ssh" / "conf.d" / "lab").write_text(
        f"Host behind\n HostName {host.address}\n ProxyJump {jump.address}\n"
        f"Host behind {jump.address}\n User deploy\n IdentityFile {host.key}\n"
    )
    with Network(home=tmp_path) as network:
        place = Endpoint("web2", "behind", become=True, connect_timeout=PATIENCE)
        with talking(network, place) as wire:
            assert "uid 0" in output(wire)


def test_a_proxy_command_is_used(lab: Lab, network: Network) -> None:
    host = lab.hosts["web1"]
    code = (
        "import socket,os,threading,sys;s=socket.create_connection((sys.argv[1],int(sys.argv[2])));"
    )
    code += (
        "threading.Thread(target=lambda:[s.sendall(x) for x in iter(lambda:os.read(0,65536),b'')],"
    )
    code += "daemon=True).start();[os.write(1,x) for x in iter(lambda:s.recv(65536),b'')]"
    command = f'python3 -c "{code}" %h %p'
    with talking(network, at(host, proxy_command=command)) as wire:
        assert "uid 0" in output(wire)


def test_a_cut_cable_is_noticed_in_bounded_time(lab: Lab, tmp_path: Path) -> None:
    host = lab.hosts["web1"]
    with (
        Relay(host.address) as relay,
        Network(tmp_path, QUICK) as network,
        talking(network, at(host, address="127.0.0.1", port=relay.port)) as wire,
    ):
        output(wire)
        relay.cut()
        with pytest.raises(HostError, match="link-lost"):  # and not that nothing came in time
            wire.receive(PATIENCE)


def test_a_cut_cable_behind_a_jump_host_is_noticed(lab: Lab, tmp_path: Path) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"{jump.address} {jump.host_key}")
    place = at(host, proxy_jump=f"deploy@{jump.address}")
    with (
        Network(tmp_path, QUICK) as network,
        talking(network, place) as wire,
    ):
        output(wire)
        lab.cut_cable("web2")
        try:
            with pytest.raises(HostError, match="link-lost"):
                wire.receive(PATIENCE)
        finally:
            lab.repair_cable("web2")


def test_an_idle_connection_survives_the_keepalive(lab: Lab, tmp_path: Path) -> None:
    with (
        Network(tmp_path, QUICK) as network,
        talking(network, at(lab.hosts["web1"])) as wire,
    ):
        with pytest.raises(HostError, match="no-answer"):
            wire.receive(QUICK.interval + QUICK.silence + 1.0)
        assert "uid 0" in output(wire)


def test_a_slow_connection_is_not_a_dead_peer(lab: Lab, tmp_path: Path) -> None:
    """What is sent waits for longer than a peer may be silent, and its sign of life behind it."""
    host, files = lab.hosts["web1"], files_of(tmp_path, 2 * upload.WINDOW)
    with (
        Relay(host.address, rate=upload.WINDOW / (QUICK.silence + 1)) as relay,
        Network(tmp_path, QUICK) as network,
        linked(network, at(host, address="127.0.0.1", port=relay.port)) as link,
    ):
        wire = link.open()
        ship(link, wire, files, lambda _: None)
        assert list(arrived(wire)) == [files[0].sha256]
        wire.close()
