"""Whoever listens where a release wants to is found, and named."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from shipit.agent.system import processes, sockets
from shipit.agent.system.sockets import Endpoint, occupied, parse, wanted

if TYPE_CHECKING:
    from pathlib import Path


def made(text: str) -> Endpoint:
    endpoint = parse(text)
    assert endpoint is not None
    return endpoint


def test_a_socket_unit_names_where_it_listens() -> None:
    text = "[Socket]\nListenStream=1\nListenStream=\nListenStream = 80\nListenStream=/run/x.sock\n"
    assert [str(endpoint) for endpoint in wanted(text)] == ["port 80", "/run/x.sock"]
    assert wanted("[Socket]\nListenStream=@abstract\nListenStream=vsock:1:2\nBacklog=1\n") == []


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ("80", "81", False),
        ("80", "80", True),
        ("80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("/run/a", "/run/a", True),
        ("/run/a", "80", False),
    ],
)
def test_what_collides(one: str, other: str, *, collide: bool) -> None:
    assert made(one).collides(made(other)) is collide


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_taken_port_names_its_process(family: socket.AddressFamily) -> None:
    with socket.create_server(("", 0), family=family) as server:
        endpoint = made(str(server.getsockname()[1]))
        owners = occupied([endpoint])[endpoint]
    assert os.getpid() in {owner.pid for owner in owners}
    assert any(str(os.getpid()) in str(owner) for owner in owners)


def test_a_taken_unix_socket_names_its_process(tmp_path: Path) -> None:
    endpoint = made(str(tmp_path / "x.sock"))
    assert occupied([endpoint]) == {}
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(endpoint.path)
        assert occupied([endpoint]) == {}
        server.listen()
        assert {owner.pid for owner in occupied([endpoint])[endpoint]} == {os.getpid()}


@pytest.mark.parametrize(
    "cgroup",
    [
        pytest.param("12:cpu:/\n1:name=systemd:/system.slice/nginx.service\n", id="v1"),
        pytest.param("0::/system.slice/nginx.service\n", id="v2 alone"),
    ],
)
def test_the_unit_is_read_from_the_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str
) -> None:
    net, process = tmp_path / "net", tmp_path / "17"
    (process / "fd").mkdir(parents=True)
    net.mkdir()
    rows = "head\n 0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 999 1 x\n"
    (net / "tcp").write_text(rows)
    (net / "unix").write_text("head\n")
    (process / "comm").write_text("nginx\n")
    (process / "cgroup").write_text(cgroup)
    (process / "fd" / "3").symlink_to("socket:[999]")
    endpoint = made("8080")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    (owner,) = occupied([endpoint])[endpoint]
    assert str(owner) == "nginx (process 17, nginx.service)"
    assert sockets.occupied([made("127.0.0.2:8080")]) == {}


# --- what another user writes into /proc -------------------------------------------------------


@pytest.mark.parametrize("name", ["x\ny", "x\na b c zz e f 7 8", "x\n0: 2 0 10000 1 1 7 y"])
def test_no_name_of_a_socket_breaks_the_look_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The kernel lists a socket under the name that its owner has chosen, ends of lines and all."""
    monkeypatch.chdir(tmp_path)
    endpoint = made(str(tmp_path / "web.sock"))
    with socket.socket(socket.AF_UNIX) as hostile, socket.socket(socket.AF_UNIX) as server:
        hostile.bind(name)
        hostile.listen()
        assert occupied([endpoint]) == {}
        assert list(sockets.connected_to_path(endpoint.path)) == []
        server.bind(endpoint.path)
        server.listen()
        assert {owner.pid for owner in occupied([endpoint])[endpoint]} == {os.getpid()}


def test_a_name_in_another_root_is_not_the_socket_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tmp_path / "net"
    net.mkdir()
    row = "0: 00000002 00000000 00010000 0001 01 7 {}\n"
    (net / "unix").write_text("head\n" + row.format(tmp_path / "web.sock"))
    for name in ("tcp", "tcp6"):
        (net / name).write_text("head\n")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    assert occupied([made(str(tmp_path / "web.sock"))]) == {}


@pytest.mark.parametrize(
    ("first", "place", "unit"),
    [
        ("/init.scope", "/system.slice/web.service", "web.service"),
        ("/init.scope", "/system.slice/web.service/worker", "web.service"),
        ("/init.scope", "/system.slice/system-web.slice/web@1.service", "web@1.service"),
        (
            "/init.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
            "user@1000.service",
        ),
        ("/init.scope", "/system.slice/docker-1.scope/system.slice/web.service", "docker-1.scope"),
        (
            "/system.slice/docker-1.scope/init.scope",
            "/system.slice/docker-1.scope/system.slice/web.service",
            "web.service",
        ),
        ("/", "/system.slice/web.service", "web.service"),
        ("/init.scope", "/user.slice", ""),
    ],
)
def test_nobody_s_own_manager_has_units_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, place: str, unit: str
) -> None:
    for pid, where in (("1", first), ("17", place)):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cgroup").write_text(f"9:name=systemd:{where}\n0::{where}\n")
    monkeypatch.setattr(processes, "PROC", str(tmp_path))
    assert processes.unit_of("17") == unit
