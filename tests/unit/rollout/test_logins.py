"""Hosts are logged in to while wheels are read; nothing runs there, and nothing is left."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from fake_fleet import NoNetwork
from shipit.errors import InputError, Unreachable
from shipit.release.inputs import targets
from shipit.rollout import logins
from shipit.rollout.prepare import wanted_by
from unit.rollout.test_lying_host import HOSTS, run  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from shipit.release.inputs import RunOptions
    from shipit.transport.endpoint import Endpoint

PATIENCE = 30.0  # seconds


@dataclass
class FakeConnection:
    """A connection, which is its own transport."""

    name: str
    is_open: bool = True
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def transport(self) -> FakeConnection:
        return self

    def is_active(self) -> bool:
        return self.is_open

    def close(self) -> None:
        self.closed.set()


class FakeNetwork(NoNetwork):
    """Opens fake connections, once it may."""

    def __init__(self, **_: object) -> None:
        self.opened: dict[str, FakeConnection] = {}
        self.may_open = threading.Event()
        self.may_open.set()

    def connect(self, to: Endpoint) -> FakeConnection:
        assert self.may_open.wait(PATIENCE)
        if to.name == "web2":
            raise Unreachable("refused", "no", host=to.name, step="connect")
        return self.opened.setdefault(to.name, FakeConnection(to.name))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> FakeNetwork:
    found = FakeNetwork()
    monkeypatch.setattr(logins, "Network", lambda **_: found)
    return found


def read(run: RunOptions, begun: logins.Logins) -> None:  # noqa: F811
    """Read what is wanted; the wheel that the playbook names is missing."""
    with pytest.raises(InputError):
        wanted_by(run, lambda _: None, begun.begin)


def begin(run: RunOptions, begun: logins.Logins) -> None:  # noqa: F811
    begun.begin(targets(run))


def test_a_connection_is_taken_once_and_what_nobody_takes_is_closed(
    run: RunOptions,  # noqa: F811
    network: FakeNetwork,
) -> None:
    (run.playbook.parent / "dist").mkdir()
    (run.playbook.parent / "dist/demo-1.1.0-py3-none-any.whl").touch()
    (run.playbook.parent / "wheels").mkdir()
    (run.playbook.parent / "requirements.lock").touch()
    with logins.logging_in(run, lambda _: None) as begun:
        read(run, begun)
        taken: Any = begun.take("web1")
        assert taken is network.opened["web1"]
        assert begun.take("web1") is None
        with pytest.raises(Unreachable):
            begun.take("web2")
    assert network.opened["web3"].closed.wait(PATIENCE)
    assert not taken.closed.is_set(), "its session closes it"


def test_before_the_playbook_is_known_to_be_right_nobody_logs_in(
    run: RunOptions,  # noqa: F811
    network: FakeNetwork,
) -> None:
    run.playbook.write_text(run.playbook.read_text().replace("services", "servces"))
    with logins.logging_in(run, lambda _: None) as begun:
        read(run, begun)
    assert network.opened == {}


def test_one_that_was_lost_meanwhile_is_closed_and_opened_again(
    run: RunOptions,  # noqa: F811
    network: FakeNetwork,
) -> None:
    network.opened["web1"] = FakeConnection("web1", is_open=False)
    with logins.logging_in(run, lambda _: None) as begun:
        begin(run, begun)
        assert begun.take("web1") is None
    assert network.opened["web1"].closed.is_set()


def test_one_that_is_still_being_opened_is_closed_when_it_is_there(
    run: RunOptions,  # noqa: F811
    network: FakeNetwork,
) -> None:
    network.may_open.clear()
    with logins.logging_in(run, lambda _: None) as begun:
        begin(run, begun)
    network.may_open.set()
    waited = threading.Event()
    for _ in range(1000):
        if network.opened:
            break
        waited.wait(0.01)
    assert all(each.closed.wait(PATIENCE) for each in network.opened.values())
