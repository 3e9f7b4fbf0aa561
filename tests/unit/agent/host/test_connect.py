"""Ask a service that answers in text: within a time, and the same one each time."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from runtime_api import RuntimeApi
from shipit.agent.host import connect

if TYPE_CHECKING:
    from pathlib import Path


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have these addresses."""
    found = [
        (socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, 1))
        for each in addresses
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


@pytest.mark.parametrize("name", ["lb1..example.com", f"{'a' * 64}.example.com"])
def test_what_is_no_name_of_a_host_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(OSError, match="no name"):
        connect.asked(f"{name}:9999", "show stat", 1.0)


def test_a_name_with_several_addresses_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, "192.0.2.1", "192.0.2.2", "192.0.2.1")
    with pytest.raises(connect.AmbiguousError, match="2 addresses"):
        connect.asked("lb.example.com:9999", "show stat", 1.0)


def test_of_two_families_the_one_that_answers_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with RuntimeApi().serving() as api:
        port = api.address.rpartition(":")[2]
        opened = connect.opened
        tried: list[str] = []

        def watched(to: str, timeout: float) -> socket.socket:
            tried.append(to)
            if to.startswith("[2001:db8::1]"):
                raise ConnectionRefusedError
            monkeypatch.undo()
            return opened(to, timeout)

        resolving(monkeypatch, "2001:db8::1", "127.0.0.1")
        monkeypatch.setattr(connect, "opened", watched)
        assert connect.asked(f"lb:{port}", "show stat", 30.0).startswith("# pxname")
        assert tried == [f"[2001:db8::1]:{port}", f"127.0.0.1:{port}"]


def test_an_answer_that_never_ends_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte of it comes in time; the whole does not."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 1.0
        return now[0]

    with RuntimeApi(tmp_path, says=b"x", endless=True).serving() as api:
        monkeypatch.setattr(time, "monotonic", monotonic)
        with pytest.raises(TimeoutError, match="too long"):
            connect.asked(api.address, "show stat", 10.0)
