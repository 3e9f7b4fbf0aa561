from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.relay import Relay
from patience import until
from shipit.lab.commands import LabError, held
from shipit.lab.image import SUDO_PASSWORD
from shipit.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shipit.lab.machine import Machine

CGROUPS = Path("/sys/fs/cgroup")
PATIENCE = 60  # seconds


def ssh(
    host: Machine, *command: str, user: str = "deploy", port: int = 0, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Log in with the system's own client, the host key pinned."""
    known = host.root.parent / "known_hosts"
    address = "127.0.0.1" if port else host.address
    options = (
        *("-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"),
        *("-o", f"UserKnownHostsFile={known}", "-o", f"HostKeyAlias={host.address}"),
        *("-o", f"ConnectTimeout={PATIENCE}", "-o", f"ServerAliveInterval={PATIENCE}"),
    )
    return subprocess.run(
        ["ssh", *options, "-i", host.key, "-p", str(port or 22), f"{user}@{address}", *command],
        capture_output=True,
        text=True,
        input=given,
        timeout=3 * PATIENCE,
        check=False,
    )


def traces(prefix: str, under: Path) -> list[str]:
    """Everything on this machine that goes by the prefix of a lab that lies below this folder."""
    named = [
        *Path("/run/netns").glob(f"{prefix}-*"),
        *(p for p in Path("/sys/class/net").iterdir() if p.name.partition("-")[0] == prefix),
        *Path("/run/shipit-lab").glob(f"{prefix}.*"),
        *Path("/run/systemd/nspawn").glob(f"*/{prefix}-*"),
        *CGROUPS.glob(f"{prefix}-*"),
        *CGROUPS.glob(f"*/{prefix}-*"),
    ]
    mounts = [
        line for line in Path("/proc/mounts").read_text().splitlines() if f"/{prefix}-" in line
    ]
    processes = [
        str(listing)
        for listing in Path("/proc").glob("[0-9]*/cmdline")
        if f"--machine={prefix}-" in _text(listing)
    ]
    # Once it is free again, another worker's lab may go by it. The record is removed last.
    record = _text(Path(f"/run/shipit-lab/{prefix}.json"))
    return [] if record and f"{under}/" not in record else [*map(str, named), *mounts, *processes]


def _text(listing: Path) -> str:
    try:
        return listing.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def owner(lab_machine: None, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has brought up a lab and said its prefix, name and leader's pid."""
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from shipit.lab.lab import Lab
        with Lab.up(["lonely"], Path(sys.argv[1])) as lab:
            print(lab.prefix, lab.hosts["lonely"].pid, flush=True)
            time.sleep(300)
    """)
    argv = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def said_by(owner: subprocess.Popen[str]) -> tuple[str, int]:
    assert owner.stdout is not None
    prefix, pid = owner.stdout.readline().split()
    return prefix, int(pid)


def test_a_host_accepts_its_user_by_key_and_lets_it_become_root(lab: Lab) -> None:
    for host in lab.hosts.values():
        done = ssh(host, "sudo", "-n", "sh", "-c", "'hostname; id -un'")
        assert (done.stdout, done.returncode) == (f"{host.name}\nroot\n", 0), done.stderr


def test_every_kind_of_sudo_is_there(lab: Lab) -> None:
    host = lab.hosts["web1"]
    assert ssh(host, "sudo -n true", user="pwsudo").returncode == 1
    asked = ssh(host, "sudo -S -p '' id -un", user="pwsudo", given=f"{SUDO_PASSWORD}\n")
    assert asked.stdout == "root\n", asked.stderr
    refused = ssh(host, "sudo -S -p '' id -un", user="nosudo", given=f"{SUDO_PASSWORD}\n")
    assert refused.returncode == 1
    assert refused.stdout == ""


def test_systemd_runs_completely(fresh: Lab) -> None:
    for name in fresh.hosts:
        done = fresh.run(name, "systemctl", "is-system-running", "--wait")
        failed = fresh.run(name, "systemctl", "--failed", "--no-legend").stdout
        assert (done.stdout, failed) == ("running\n", "")


def test_a_host_has_control_groups_v2_alone(lab: Lab) -> None:
    """As distributions boot; systemd 258 knows no other."""
    kind = lab.run("web1", "stat", "--file-system", "--format=%T", "/sys/fs/cgroup")
    v1 = lab.run("web1", "awk", '$3 == "cgroup"', "/proc/mounts")
    assert (kind.stdout, v1.stdout) == ("cgroup2fs\n", "")


def test_hosts_know_each_other_by_name(lab: Lab) -> None:
    reach = "import socket; socket.create_connection(('web2', 22), 20)"
    done = lab.run("web1", "python3", "-c", reach)
    assert done.returncode == 0, done.stderr


def test_each_host_has_a_host_key_and_a_machine_id_of_its_own(lab: Lab) -> None:
    one, two = lab.hosts.values()
    assert one.host_key != two.host_key
    assert lab.read("web1", "/etc/machine-id").strip() != b""
    assert lab.read("web1", "/etc/machine-id") != lab.read("web2", "/etc/machine-id")


def test_the_systemds_of_two_hosts_share_no_control_group(fresh: Lab) -> None:
    """With a shared tree, stopping a service on one host kills or hangs its namesake."""
    for name in fresh.hosts:
        started = fresh.run(name, "systemd-run", "--unit=same", "sleep", "600")
        assert started.returncode == 0, started.stderr
    pid = fresh.run("web2", "systemctl", "show", "-P", "MainPID", "same").stdout
    assert fresh.run("web1", "systemctl", "stop", "same").returncode == 0
    inside = fresh.run("web1", "sh", "-c", "find /sys/fs/cgroup -path '*same.service*'")
    assert inside.stdout == ""
    after = fresh.run("web2", "systemctl", "show", "-P", "MainPID", "same").stdout
    assert (pid, pid != "0\n") == (after, True)


def test_commands_take_input_and_report_their_end(lab: Lab) -> None:
    done = lab.run("web1", "sh", "-c", "cat; echo no >&2; exit 7", input="yes")
    assert (done.stdout, done.stderr, done.returncode) == ("yes", "no\n", 7)


def test_a_command_that_takes_too_long_is_ended(fresh: Lab) -> None:
    with pytest.raises(LabError, match="lab-command-timeout"):
        fresh.run("web1", "sleep", "4321", timeout=0.5)

    def left() -> str:
        return fresh.run("web1", "pgrep", "-f", "sleep 4321").stdout

    until(lambda: not left(), left, PATIENCE)


def test_a_power_cut_keeps_the_disk_and_a_boot_brings_the_host_back(fresh: Lab) -> None:
    host = fresh.hosts["web1"]
    before = (host.pid, host.host_key, host.address)
    fresh.run("web1", "systemd-run", "--unit=gone", "sleep", "600")
    fresh.run("web1", "sh", "-c", "echo here > /srv/kept; echo gone > /run/lost")
    fresh.power_cut("web1")
    assert not Path(f"/proc/{before[0]}").exists()
    assert host.pid == 0
    assert fresh.read("web1", "/srv/kept") == b"here\n"
    with pytest.raises(LabError, match="machine-off"):
        fresh.run("web1", "true")

    fresh.boot("web1")
    assert host.pid not in (0, before[0])
    assert (host.host_key, host.address) == before[1:]
    assert ssh(host, "cat /srv/kept").stdout == "here\n"
    assert fresh.run("web1", "test", "-e", "/run/lost").returncode == 1
    assert fresh.run("web1", "systemctl", "is-active", "gone").stdout == "inactive\n"


def test_a_reboot_runs_what_is_enabled_and_keeps_the_journal(fresh: Lab) -> None:
    fresh.run("web1", "sh", "-c", "logger first-life; journalctl --sync")
    fresh.reboot("web1")
    log = fresh.run("web1", "journalctl", "--boot=-1", "--output=cat").stdout
    assert "first-life" in log
    assert "Reached target reboot.target" in log


def test_a_reset_leaves_nothing_of_the_disk(fresh: Lab) -> None:
    fresh.run("web1", "sh", "-c", "echo old > /srv/old; rm /etc/hosts")
    host_key = fresh.hosts["web1"].host_key
    fresh.power_cut("web2")
    fresh.cut_cable("web2")
    fresh.reset()
    with pytest.raises(LabError, match="No such file"):
        fresh.read("web1", "/srv/old")
    assert b"web1" in fresh.read("web1", "/etc/hosts")
    assert fresh.hosts["web1"].host_key == host_key
    assert ssh(fresh.hosts["web2"], "true").returncode == 0


def test_a_cut_cable_swallows_what_is_sent(fresh: Lab) -> None:
    host = fresh.hosts["web1"]
    with socket.create_connection((host.address, 22), timeout=PATIENCE) as connection:
        assert connection.recv(4) == b"SSH-"
        fresh.cut_cable("web1")
        connection.settimeout(0.3)
        connection.recv(1000)  # the banner's rest was here already
        connection.sendall(b"SSH-2.0-test\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert fresh.run("web1", "true").returncode == 0
        fresh.repair_cable("web1")
        connection.settimeout(PATIENCE)
        assert connection.recv(1) != b""


def test_a_small_disk_runs_full_in_bytes_and_inodes(lab_machine: None, tmp_path: Path) -> None:
    disk = {"bytes": "60M", "inodes": "size=60M,nr_inodes=400"}
    with Lab.up(["bytes", "inodes"], tmp_path, disk=disk) as lab:
        filled = lab.run("bytes", "dd", "if=/dev/zero", "of=/srv/big", "bs=1M", "count=100")
        assert "No space left" in filled.stderr
        many = "cd /srv; for i in $(seq 1000); do : > file$i || exit 28; done"
        filled = lab.run("inodes", "sh", "-c", many)
        assert (filled.returncode != 0, "No space left" in filled.stderr) == (True, True)


def test_a_host_that_does_not_boot_is_named_with_its_console(
    lab_machine: None, tmp_path: Path
) -> None:
    with Lab.up(["sick"], tmp_path) as lab:
        lab.run("sick", "sh", "-c", "rm /sbin/init /lib/systemd/systemd")
        lab.power_cut("sick")
        with pytest.raises(LabError, match=r"sick stopped while it booted; its console: .*init"):
            lab.boot("sick", timeout=PATIENCE)


def test_labs_side_by_side_do_not_meet(lab: Lab, tmp_path: Path) -> None:
    ours = next(iter(lab.hosts.values()))
    with Lab.up(["web1"], tmp_path) as other:
        theirs = other.hosts["web1"]
        assert other.prefix != lab.prefix
        assert theirs.address.rpartition(".")[0] != ours.address.rpartition(".")[0]
        assert ssh(theirs, "hostname").stdout == "web1\n"
    assert traces(other.prefix, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert ssh(ours, "true").returncode == 0


def test_a_failing_block_leaves_nothing(lab_machine: None, tmp_path: Path) -> None:
    lab = Lab.up(["one", "two"], tmp_path)
    assert traces(lab.prefix, tmp_path) != []
    with pytest.raises(LabError, match="no-such-host"), lab:
        lab.run("three", "true")
    assert traces(lab.prefix, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_boot_that_fails_leaves_nothing(lab_machine: None, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="mount"):
        Lab.up(["one", "two"], tmp_path, disk={"two": "nonsense=1"})
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing(owner: subprocess.Popen[str], tmp_path: Path) -> None:
    prefix, _ = said_by(owner)
    assert traces(prefix, tmp_path) != []
    owner.terminate()
    assert owner.wait(PATIENCE) == 128 + signal.SIGTERM
    assert traces(prefix, tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_owner_left_is_cleared_by_the_next_lab(
    owner: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    prefix, leader = said_by(owner)
    with held(Path("/run/shipit-lab/lock"), timeout=PATIENCE):  # nobody else's lab is the next one
        owner.kill()
        owner.wait(PATIENCE)
        assert Path(f"/proc/{leader}").exists()
    with Lab.up(["next"], tmp_path_factory.mktemp("next")):
        assert not Path(f"/proc/{leader}").exists()
        assert list(tmp_path.iterdir()) == []
    assert traces(prefix, tmp_path) == []


def test_a_lab_may_be_taken_down_twice_and_by_anybody(lab_machine: None, tmp_path: Path) -> None:
    lab = Lab.up(["one"], tmp_path)
    threads = [threading.Thread(target=lab.down) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert traces(lab.prefix, tmp_path) == []
    with pytest.raises(LabError, match="machine-not-off"):
        lab.boot("one")


def test_the_relay_delays_a_login_and_counts_its_bytes(lab: Lab) -> None:
    host = lab.hosts["web1"]
    with Relay(host.address, host.port, rtt=0.05) as relay:
        begin = time.monotonic()
        done = ssh(host, "echo hello", port=relay.port)
        assert (done.stdout, relay.connections) == ("hello\n", 1), done.stderr
        assert time.monotonic() - begin >= 4 * 0.05
        assert min(relay.sent, relay.received) > 1000


def test_a_cut_relay_is_silent(lab: Lab) -> None:
    host = lab.hosts["web1"]
    with (
        Relay(host.address, host.port) as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=PATIENCE) as connection,
    ):
        assert connection.recv(4) == b"SSH-"
        connection.settimeout(0.3)
        connection.recv(1000)
        relay.cut()
        connection.sendall(b"SSH-2.0-test\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        relay.mend()
        connection.settimeout(PATIENCE)
        assert connection.recv(1) != b""
