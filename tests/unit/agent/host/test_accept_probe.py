from __future__ import annotations

import os
import socket
import threading
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from patience import until
from shipit.agent.host import accept_probe, connect
from shipit.agent.system import processes
from shipit.agent.system.sockets import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNIT = "app-web@2.service"


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process belong to the unit, and no other one."""
    own = str(os.getpid())
    monkeypatch.setattr(processes, "unit_of", lambda pid: UNIT if pid == own else "x.scope")


@pytest.fixture(params=["tcp", "tcp6", "unix"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    made = {
        "tcp": lambda: socket.create_server(("127.0.0.1", 0)),
        "tcp6": lambda: socket.create_server(("::1", 0), family=socket.AF_INET6),
        "unix": lambda: bound(str(tmp_path / "sock")),
    }
    with made[request.param]() as found:
        yield found


def bound(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen()
    return sock


def endpoint(of: socket.socket) -> Endpoint:
    name = of.getsockname()
    if isinstance(name, str):
        return Endpoint(path=name)
    return Endpoint(ip_address(name[0]), name[1])


def test_a_descriptor_that_is_closed_meanwhile_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of its own is always such a one: by it the directory was read."""
    fds = tmp_path / "42" / "fd"
    fds.mkdir(parents=True)
    (fds / "3").symlink_to("socket:[7]")
    (fds / "4").write_text("no link: what readlink meets is as wrong as one that is gone")
    (fds / "5").symlink_to("socket:[9]")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    assert processes.sockets_of("42") == {"7", "9"}


@pytest.mark.usefixtures("mine")
def test_a_unit_whose_process_takes_a_connection_is_found_out(listener: socket.socket) -> None:
    taken: list[socket.socket] = []
    is_over = threading.Event()

    def accept() -> None:
        listener.settimeout(0.05)
        while not is_over.is_set():
            with suppress(TimeoutError):
                taken.append(listener.accept()[0])

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        until(
            lambda: accept_probe.takes(endpoint(listener), UNIT), lambda: "nothing was seen", 30.0
        )
    finally:
        is_over.set()
        thread.join()
        for one in taken:
            one.close()


@pytest.mark.usefixtures("mine")
def test_a_unit_that_listens_and_takes_nothing_does_not_serve(listener: socket.socket) -> None:
    assert not accept_probe.takes(endpoint(listener), UNIT)


@pytest.mark.usefixtures("mine")
def test_connections_that_others_take_prove_nothing(listener: socket.socket) -> None:
    with closing(listener):
        assert not accept_probe.takes(endpoint(listener), "app-web@1.service")


def test_where_nobody_listens_nobody_serves() -> None:
    port = connect.free_port("127.0.0.1")
    assert not accept_probe.takes(Endpoint(ip_address("127.0.0.1"), port), UNIT)
    assert not accept_probe.takes(Endpoint(path="/nowhere/at/all"), UNIT)
