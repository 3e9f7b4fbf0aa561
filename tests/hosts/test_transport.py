from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import echo_agent
from hosts.relay import Relay
from hosts.tally import tally
from patience import until
from shipit.agent.protocol import messages
from shipit.errors import HostError, Unreachable
from shipit.lab.image import SUDO_PASSWORD
from shipit.secrets import Secret
from shipit.transport import agent_zip, upload
from shipit.transport.connect import connect
from shipit.transport.endpoint import Endpoint, endpoint
from shipit.transport.ssh.client import Limits, Network
from shipit.transport.upload import ship

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.lab import Lab
    from shipit.lab.machine import Machine
    from shipit.transport.channel import Link, Wire

HELLO = messages.Hello("demo", "/opt/demo")
AGENT = echo_agent.build()
PATIENCE = 60.0  # seconds
QUICK = Limits(interval=0.3, silence=6.0)  # a busy host may answer late


def at(host: Machine, **changes: object) -> Endpoint:
    """Reach a lab host as its user `deploy`, with its key pinned."""
    plain = Endpoint(
        name=host.name,
        address=host.address,
        port=host.port,
        user=host.user,
        key_files=(str(host.key),),
        host_key=host.host_key,
        become=True,
        connect_timeout=PATIENCE,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Give connections of a user without keys, known_hosts or config; nothing is left of them."""
    threads = set(threading.enumerate())
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with Network(home=tmp_path) as network:
        yield network

    def left() -> set[threading.Thread]:
        return {*threading.enumerate()} - threads

    until(lambda: not left(), left, PATIENCE)  # they were told to end, and may take a moment
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@contextmanager
def linked(network: Network, place: Endpoint) -> Iterator[Link]:
    link = connect(place, AGENT, network)
    try:
        yield link
    finally:
        link.close()


@contextmanager
def talking(network: Network, place: Endpoint) -> Iterator[Wire]:
    with linked(network, place) as link:
        wire = link.open()
        yield wire
        wire.close()


def output(wire: Wire) -> str:
    wire.send(HELLO)
    frame = wire.receive(PATIENCE)
    assert frame is not None
    assert isinstance(frame.message, messages.LogLines)
    return frame.message.text


def refusal(network: Network, place: Endpoint) -> Unreachable:
    """Return the error of a connection and start of the agent that must fail."""
    with pytest.raises(Unreachable) as caught, talking(network, place):
        pass
    assert caught.value.host == place.name
    return caught.value


def trust(tmp_path: Path, line: str) -> Path:
    (tmp_path / ".ssh").mkdir(exist_ok=True)
    known = tmp_path / ".ssh" / "known_hosts"
    known.write_text(line + "\n")
    return known


def start_sshd(lab: Lab, port: int, *options: str) -> None:
    """Start another sshd on web1, and wait until it listens."""
    started = lab.run("web1", "/usr/sbin/sshd", "-p", str(port), *options)
    assert started.returncode == 0, started.stderr

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((lab.hosts["web1"].address, port)) == 0

    until(listens, lambda: f"sshd on port {port}", PATIENCE)


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
    assert error.code == "sudo-missing"


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


# --- round trips and bytes ---------------------------------------------------------------------


@pytest.mark.parametrize(("user", "password"), [("deploy", []), ("pwsudo", ["bytes"])])
def test_exec_boot_and_hello_cost_four_round_trips_and_a_password_one_more(
    lab: Lab, network: Network, user: str, password: list[str]
) -> None:
    host = lab.hosts["web1"]
    secret = Secret(SUDO_PASSWORD) if password else None
    with Relay(host.address, rtt=0.02) as relay:
        place = at(host, address="127.0.0.1", port=relay.port, user=user, become_password=secret)
        with linked(network, place) as link:
            link.open().close()  # the agent is there from now on
            with tally() as asked:
                wire = link.open()
                output(wire)
            assert asked == ["channel", "exec", *password, "boot", "Hello"]
            assert link.rtt >= 0.02
            wire.close()


@dataclass(frozen=True)
class File:
    """A blob as release.Blob is one."""

    sha256: str
    path: Path
    size: int


def files_of(folder: Path, *sizes: int) -> list[File]:
    files = []
    for size in sizes:
        content = os.urandom(size)
        name = sha256(content).hexdigest()
        (folder / name).write_bytes(content)
        files.append(File(name, folder / name, size))
    return files


def arrived(wire: Wire) -> dict[str, str]:
    """Return name and real digest of every file that the host has received."""
    wire.send(messages.AskReleases())
    frame = wire.receive(PATIENCE)
    assert frame is not None
    return {line.id: line.version for line in frame.message.releases}


@pytest.mark.parametrize("rtt", [0.0, 0.05])
def test_an_upload_arrives_completely_over_one_channel_and_several(
    fresh_web1: Lab, network: Network, tmp_path: Path, rtt: float
) -> None:
    host = fresh_web1.hosts["web1"]
    files = files_of(tmp_path, 0, 1, upload.PART, upload.PART + 1, 30_000_000)
    done: list[int] = []
    with Relay(host.address, rtt=rtt) as relay:
        place = at(host, address="127.0.0.1", port=relay.port)
        with linked(network, place) as link:
            wire = link.open()
            several = upload.channels(link.rtt, sum(file.size for file in files)) > 0
            count = ship(link, wire, files, done.append)
            assert (count == 0) == several
            assert several or rtt == 0  # a busy machine may be as slow as a long way
            found = arrived(wire)
            wire.close()
    assert found == {file.sha256: file.sha256 for file in files}
    assert done == sorted(done)
    assert done[-1] == sum(file.size for file in files)


def test_a_low_max_sessions_sends_all_over_the_control_channel(
    fresh_web1: Lab, network: Network, tmp_path: Path
) -> None:
    fresh_web1.run(
        "web1", "sh", "-c", "echo MaxSessions 1 >> /etc/ssh/sshd_config; systemctl restart ssh"
    )
    host = fresh_web1.hosts["web1"]
    files = files_of(tmp_path, 20_000_000)
    with Relay(host.address, rtt=0.1) as relay:
        place = at(host, address="127.0.0.1", port=relay.port)
        with linked(network, place) as link:
            wire = link.open()
            assert upload.channels(link.rtt, 20_000_000) > 1
            assert ship(link, wire, files, lambda _: None) == -(-20_000_000 // upload.PART)
            assert list(arrived(wire)) == [files[0].sha256]
            wire.close()


def test_a_full_disk_ends_the_upload_with_its_own_error(
    fresh_web1: Lab, network: Network, tmp_path: Path
) -> None:
    host = fresh_web1.hosts["web1"]
    mount = "mkdir -p /var/lib/shipit; mount -t tmpfs -o size=8m tmpfs /var/lib/shipit"
    fresh_web1.run("web1", "sh", "-c", mount)
    with Relay(host.address, rtt=0.1) as relay:
        place = at(host, address="127.0.0.1", port=relay.port)
        link = connect(place, agent_zip.build(), network)
        wire = link.open()
        with pytest.raises(HostError) as caught:
            ship(link, wire, files_of(tmp_path, 40_000_000), lambda _: None)
        link.close()
    fresh_web1.run("web1", "umount", "-l", "/var/lib/shipit")
    assert caught.value.code == "disk-full"


def test_more_connections_than_sshd_takes_at_once_all_succeed(lab: Lab, tmp_path: Path) -> None:
    jump, host = lab.hosts["web1"], lab.hosts["web2"]
    trust(tmp_path, f"{jump.address} {jump.host_key}")
    ways = [at(jump), at(host, proxy_jump=f"deploy@{jump.address}")] * 12

    def log_in(network: Network, place: Endpoint) -> None:
        connect(place, AGENT, network).close()

    # sshd tosses a coin for each: on a busy machine three tries may all lose.
    with Network(tmp_path, Limits(tries=8)) as network, ThreadPoolExecutor(len(ways)) as pool:
        list(pool.map(partial(log_in, network), ways))


def test_the_inventorys_variables_reach_the_host(
    lab: Lab, network: Network, tmp_path: Path
) -> None:
    from shipit.inventory import model  # noqa: PLC0415

    source = tmp_path / "inventory.yaml"
    source.write_text(lab.inventory())
    for host in model.load([source]).hosts:
        with talking(network, endpoint(host)) as wire:
            assert "uid 0" in output(wire)
