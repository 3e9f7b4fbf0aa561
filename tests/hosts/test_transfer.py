"""What goes over a connection: round trips, uploads, many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from hosts.links import (
    AGENT,
    arrived,
    at,
    files_of,
    linked,
    output,
    talking,
    trust,
)
from hosts.relay import Relay
from hosts.tally import tally
from shipit.errors import HostError
from shipit.lab.image import SUDO_PASSWORD
from shipit.secrets import Secret
from shipit.transport import agent_zip, upload
from shipit.transport.connect import connect
from shipit.transport.endpoint import Endpoint, endpoint
from shipit.transport.ssh.client import Limits, Network
from shipit.transport.upload import ship

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.lab.lab import Lab


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
