"""A host whose agent hangs is noticed by its silence, and one that is at work is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hosts.links import at
from patience import until
from shipit.agent.protocol import messages
from shipit.errors import Unreachable
from shipit.rollout.host_session import HostSession
from shipit.transport import agent_zip
from shipit.transport.connect import connect
from shipit.transport.ssh.client import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shipit.lab.lab import Lab

ASK = messages.Hello("demo", "/opt/demo")
AGENTS = ("pkill", "-f", "[s]hipit-boot|[s]hipit/agent/.*[.]pyz")


@pytest.fixture
def session(fresh_web1: Lab, tmp_path: Path) -> Iterator[HostSession]:
    with Network(home=tmp_path) as network:
        link = connect(at(fresh_web1.hosts["web1"]), agent_zip.build(), network)
        wire = link.open()
        yield HostSession("web1", wire, print, lambda _: None)
        fresh_web1.run("web1", *AGENTS, "-CONT")
        wire.close()
        link.close()


def test_an_agent_that_hangs_is_left_out_within_its_silence(
    session: HostSession, fresh_web1: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.hello(ASK).current is None
    monkeypatch.setattr(messages, "SILENCE", 4.0)
    fresh_web1.run("web1", *AGENTS, "-STOP")
    with pytest.raises(Unreachable, match="the host did not answer in time") as error:
        session.hello(ASK)
    assert error.value.code == "no-answer"
    assert "settling an open transaction" in error.value.what


def test_an_idle_agent_still_sends_signs_of_life(session: HostSession) -> None:
    session.hello(ASK)
    heard = list[object]()

    def is_heard() -> bool:
        frame = session.wire.receive(messages.SILENCE)
        heard.append(frame and frame.message)
        return heard[-1] == messages.Alive()

    until(is_heard, lambda: heard, messages.SILENCE)
