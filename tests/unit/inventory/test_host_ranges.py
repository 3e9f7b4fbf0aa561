from __future__ import annotations

import pytest

from shipit.inventory.host_ranges import address, expand, is_ipv4, is_ipv6


@pytest.mark.parametrize(
    ("text", "names", "port"),
    [
        ("web1", ["web1"], None),
        ("web1:2222", ["web1"], 2222),
        ("web[1:3]:2222", ["web1", "web2", "web3"], 2222),
        ("web[08:11].x", ["web08.x", "web09.x", "web10.x", "web11.x"], None),
        ("[a:c]", ["a", "b", "c"], None),
        ("[y:B]", ["y", "z", "A", "B"], None),
        ("n[1:10:4]", ["n1", "n5", "n9"], None),
        ("n[:2]", ["n0", "n1", "n2"], None),
        ("[a:b][1:2]", ["a1", "a2", "b1", "b2"], None),
        ("10.0.0.[9:11]:22", ["10.0.0.9", "10.0.0.10", "10.0.0.11"], 22),
        ("2001:db8::1", ["2001:db8::1"], None),
        ("[2001:db8::1]:22", ["2001:db8::1"], 22),
        ("fe80::[1:2]", ["fe80::1", "fe80::2"], None),
    ],
)
def test_ranges_and_ports(text: str, names: list[str], port: int | None) -> None:
    assert expand(text) == (names, port)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("web[1:3", "closing ]"),
        ("web[1]", "[begin:end]"),
        ("web[1:]", "[begin:end]"),
        ("web[3:1]", "empty"),
        ("web[c:a]", "empty"),
        ("web[01:3]", "same length"),
        ("web[1:9:0]", "step"),
        ("web[1:9:x]", "step"),
        ("web[1:f]", "number to number"),
        ("web[ab:cd]", "number to number"),
        ("web[-1:3]", "number to number"),
        ("web[0:100000]", "more than 100000"),
        ("web[1:1000][1:1000]", "more than 100000"),
        ("web[0:999999999999999999]", "more than 100000"),
        ("web 1", "neither"),
        ("web1:", "neither"),
        ("web1:ssh", "neither"),
        ("a,b", "neither"),
        ("ansible_host=web1", "neither"),
        ("-oProxyCommand", "neither"),
        ("!web1", "neither"),
        ("---", "neither"),
        ("", "needs a name"),
    ],
)
def test_what_is_no_host_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        expand(text)
    assert reason in str(caught.value)


def test_an_address_is_distinguished_from_a_list() -> None:
    assert address("web:db") is None
    assert address("web[0:2]") == ("web[0:2]", None)
    assert address("::1") == ("::1", None)


def test_addresses_are_distinguished_from_names() -> None:
    assert is_ipv4("192.0.2.1")
    assert not is_ipv4("192.0.2.256")
    assert not is_ipv4("web.example.com.x")
    assert is_ipv6("fe80::1")
    assert not is_ipv6("web1")
