"""The client of haproxy's runtime API, against a real socket."""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from runtime_api import HEADER, RuntimeApi
from shipit.agent.host import connect
from shipit.agent.host.host import RealHost
from shipit.agent.protocol.balancers import Haproxy
from shipit.agent.protocol.messages import Failure
from shipit.agent.system.failures import Refused
from shipit.agent.transaction.balancer import haproxy
from shipit.agent.transaction.balancer.haproxy import Server, drain, look, parsed, undrain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WEB1 = Haproxy(("unused:1",), "web", "web1")
HOST = RealHost()


@pytest.fixture(params=["tcp", "unix"])
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RuntimeApi]:
    """Give a haproxy, reached by TCP and by a unix socket."""
    with RuntimeApi(tmp_path if request.param == "unix" else None).serving() as api:
        yield api


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "POLL", 0.001)
    monkeypatch.setattr(haproxy, "TIMEOUT", 2.0)


def at(*apis: RuntimeApi) -> Haproxy:
    return replace(WEB1, sockets=tuple(api.address for api in apis))


def never() -> None:
    return None


def code_of(of: Haproxy, act: str = "look") -> str:
    """Return the code with which an act fails."""
    acts: dict[str, Callable[[], object]] = {
        "look": lambda: look(HOST, of),
        "drain": lambda: drain(HOST, of, 0.0, never),
        "undrain": lambda: undrain(HOST, of, 0.0, never),
    }
    with pytest.raises(Refused) as refused:
        acts[act]()
    assert refused.value.failure.hint
    return refused.value.failure.code


def test_a_drained_server_gets_no_new_connections_and_those_it_has_end(api: RuntimeApi) -> None:
    api.sessions = [3, 1, 0, 2]  # one that was on its way at the first look without any
    assert drain(HOST, at(api), 60.0, never) == 0
    assert api.states == {"web/web1": "drain"}
    assert api.sessions == []
    assert api.lines[0] == "set server web/web1 state drain"


def test_connections_that_do_not_end_are_left_after_a_while(api: RuntimeApi) -> None:
    api.sessions = [5] * 10_000
    assert drain(HOST, at(api), 0.01, never) == 5
    assert api.states == {"web/web1": "drain"}


def test_waiting_for_connections_is_interrupted(api: RuntimeApi) -> None:
    api.sessions = [5] * 10_000
    with pytest.raises(Refused, match="late") as refused:
        drain(HOST, at(api), 60.0, lambda: Failure("late", "late", ""))
    assert refused.value.failure.code == "late"


@pytest.mark.parametrize("status", ["UP", "UP 2/3", "no check"])
def test_an_undrained_server_is_up(api: RuntimeApi, status: str) -> None:
    api.states, api.status = {"web/web1": "drain"}, status
    undrain(HOST, at(api), 0.0, never)
    assert api.states == {"web/web1": "ready"}


@pytest.mark.parametrize("status", ["DOWN", "DOWN 1/2", "MAINT", "NOLB", ""])
def test_a_server_that_does_not_come_up_is_reported_as_haproxy_has_it(
    api: RuntimeApi, status: str
) -> None:
    api.status = status
    assert code_of(at(api), "undrain") == "haproxy-not-up"


def test_every_haproxy_is_drained_and_all_their_connections_count(tmp_path: Path) -> None:
    with RuntimeApi(tmp_path).serving() as one, RuntimeApi().serving() as other:
        other.sessions = [7] * 10_000
        assert drain(HOST, at(one, other), 0.01, never) == 7
        assert one.states == other.states == {"web/web1": "drain"}


def test_one_that_is_down_is_noticed_before_the_others_are_changed(api: RuntimeApi) -> None:
    of = replace(at(api), sockets=(api.address, f"127.0.0.1:{connect.free_port('127.0.0.1')}"))
    assert code_of(of) == "haproxy-unreachable"
    assert api.states == {"web/web1": "ready"}


def test_where_one_is_down_the_others_are_drained_before_that_is_reported(api: RuntimeApi) -> None:
    of = replace(at(api), sockets=(f"127.0.0.1:{connect.free_port('127.0.0.1')}", api.address))
    api.sessions = [2, 0, 0]
    with pytest.raises(Refused, match="does not answer"):
        drain(HOST, of, 60.0, never)
    assert api.states == {"web/web1": "drain"}
    assert api.sessions == []


@pytest.mark.parametrize(("fails", "expected"), [(1, ""), (2, "haproxy-answer")])
def test_one_lost_answer_does_not_end_the_wait_and_a_second_one_not_that_for_the_others(
    tmp_path: Path, fails: int, expected: str
) -> None:
    with RuntimeApi(tmp_path).serving() as one, RuntimeApi().serving() as other:
        other.sessions = [3] * 6
        lost = [b"\n"] * fails * 2  # each look asks twice

        def said(line: str) -> bytes:
            is_look = line.startswith("show")
            return lost.pop() if is_look and lost else RuntimeApi._answer(one, line)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(one, "_answer", said)
            if expected:
                assert code_of_drain(at(one, other)) == expected
            else:
                assert drain(HOST, at(one, other), 60.0, never) == 0
        assert other.sessions == []


def code_of_drain(of: Haproxy) -> str:
    with pytest.raises(Refused) as refused:
        drain(HOST, of, 60.0, never)
    return refused.value.failure.code


def test_a_haproxy_that_knows_no_names_there_is_asked_for_all_servers(api: RuntimeApi) -> None:
    with pytest.MonkeyPatch.context() as patch:
        known = api._answer
        patch.setattr(api, "_answer", lambda line: known(line) if " -1 4 " in line else b"\n")
        look(HOST, at(api))
    assert api.lines == ["show stat web 4 -1", "show stat -1 4 -1"]


def test_one_that_is_down_does_not_keep_the_others_drained(api: RuntimeApi) -> None:
    api.states = {"web/web1": "drain"}
    of = replace(at(api), sockets=(f"127.0.0.1:{connect.free_port('127.0.0.1')}", api.address))
    assert code_of(of, "undrain") == "haproxy-unreachable"
    assert api.states == {"web/web1": "ready"}


def test_one_that_comes_back_in_time_is_undrained(tmp_path: Path) -> None:
    with ExitStack() as stack:
        api = RuntimeApi(tmp_path, {"web/web1": "drain"})
        of = replace(WEB1, sockets=(str(tmp_path / "admin.sock"),))
        tried: list[bool] = []

        def starts() -> None:
            if not tried:
                tried.append(True)
                stack.enter_context(api.serving())

        undrain(HOST, of, 60.0, starts)
        assert api.states == {"web/web1": "ready"}


@pytest.mark.parametrize(
    ("of", "act"),
    [
        (replace(WEB1, server="web9"), "look"),
        (replace(WEB1, backend="none"), "look"),
        (replace(WEB1, server="web9"), "drain"),
        (replace(WEB1, backend="none"), "undrain"),
    ],
)
def test_a_server_that_haproxy_does_not_have_is_named(
    api: RuntimeApi, of: Haproxy, act: str
) -> None:
    assert code_of(replace(of, sockets=(api.address,)), act) == "haproxy-no-server"


def test_a_final_failure_is_not_tried_again(api: RuntimeApi) -> None:
    def tried_again() -> None:
        raise AssertionError

    with pytest.raises(Refused, match="no server web/web9"):
        undrain(HOST, replace(at(api), server="web9"), 3600.0, tried_again)


def test_a_socket_of_a_lower_level_is_named(api: RuntimeApi) -> None:
    api.says = b"Permission denied\n\n"
    assert code_of(at(api), "drain") == "haproxy-denied"
    assert code_of(at(api), "undrain") == "haproxy-denied"


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"HTTP/1.0 400 Bad request\r\n\r\n",
        b"\x1b]0;evil\x07\n",
        b"Unknown command\n",
        b"\xff\xfe\n",
        b"# pxname\n",
        f"{HEADER}\nweb,web1,0,0,many,9,,UP,\n".encode(),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_failure(api: RuntimeApi, says: bytes) -> None:
    api.says = says
    assert code_of(at(api)) in ("haproxy-answer", "haproxy-no-server")


def test_an_answer_without_an_end_is_given_up(api: RuntimeApi) -> None:
    api.says, api.endless = b"x" * 65536, True
    with pytest.raises(Refused, match="too many servers") as refused:
        look(HOST, at(api))
    assert refused.value.failure.code == "haproxy-answer"


def test_no_answer_is_given_up(api: RuntimeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "TIMEOUT", 0.01)
    monkeypatch.setattr(api, "_say", lambda connection, _: connection.recv(1))
    assert code_of(at(api)) == "haproxy-unreachable"


def test_any_answer_is_read_or_refused() -> None:
    draw = random.Random(1)  # noqa: S311 - the same answers in every run
    whole = f"{HEADER}\nweb,web1,0,0,4,9,,UP,\n"
    assert parsed(whole, WEB1) == Server(4, "UP")
    for _ in range(2000):
        broken = list(whole)
        for _ in range(draw.randint(1, 6)):
            broken[draw.randrange(len(broken))] = draw.choice([",", "\n", '"', "9", "-", "\0", "²"])
        found = parsed("".join(broken), WEB1)
        assert found is None or found.sessions >= 0
