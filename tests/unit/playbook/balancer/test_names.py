"""What haproxy is reached by, and what it calls a host; mistakes are in tests/mistakes."""

from __future__ import annotations

import pytest

from shipit.playbook.balancer.names import haproxy_name, haproxy_socket
from shipit.playbook.parsers import InvalidValueError


@pytest.mark.parametrize("value", ["web", "web-1.example.com:8000", "_x", "a" * 255])
def test_names_as_haproxy_has_them(value: str) -> None:
    assert haproxy_name(value) == value


@pytest.mark.parametrize(
    "value", ["", "a b", "a;b", "a\n", "a/b", "a\tb", "$x", "ü", "a" * 256, 5, None, ["web"]]
)
def test_what_could_be_another_command_is_no_name(value: object) -> None:
    with pytest.raises(InvalidValueError, match="a name in haproxy"):
        haproxy_name(value)


@pytest.mark.parametrize(
    "value",
    [
        "lb1:9999",
        "lb-1.example.com.:9999",
        f"{'a' * 63}.b:1",
        "10.0.0.5:1",
        "[fd00::5]:65535",
        "/run/haproxy/admin.sock",
    ],
)
def test_addresses_of_a_runtime_api(value: str) -> None:
    assert haproxy_socket(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "lb1",
        ":9999",
        "lb1:",
        "lb1:0",
        "lb1:65536",
        "lb1..example.com:9999",
        ".lb1:9999",
        f"{'a' * 64}.b:1",
        "run/x",
        "/a b",
        "/" + "x" * 107,
        9999,
    ],
)
def test_what_is_no_address(value: object) -> None:
    with pytest.raises(InvalidValueError, match="host:port"):
        haproxy_socket(value)
