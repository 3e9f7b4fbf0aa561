"""Whoever listens where a release wants to is found, and named."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from shipit.agent import listeners
from shipit.agent.listeners import Endpoint, occupied, parse, wanted

if TYPE_CHECKING:
    from pathlib import Path


def made(text: str) -> Endpoint:
    endpoint = parse(text)
    assert endpoint is not None
    return endpoint


def test_a_socket_unit_tells_where_it_listens() -> None:
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


def test_the_unit_is_read_from_the_cgroup(tmp_path: Path) -> None:
    net, process = tmp_path / "net", tmp_path / "17"
    (process / "fd").mkdir(parents=True)
    net.mkdir()
    rows = "head\n 0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 999 1 x\n"
    (net / "tcp").write_text(rows)
    (net / "unix").write_text("head\n")
    (process / "comm").write_text("nginx\n")
    (process / "cgroup").write_text("12:cpu:/\n1:name=systemd:/system.slice/nginx.service\n")
    (process / "fd" / "3").symlink_to("socket:[999]")
    endpoint = made("8080")
    (owner,) = occupied([endpoint], str(tmp_path))[endpoint]
    assert str(owner) == "nginx (process 17, nginx.service)"
    assert listeners.occupied([made("127.0.0.2:8080")], str(tmp_path)) == {}
