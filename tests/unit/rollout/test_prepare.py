"""One machine under two names of an inventory is reported as such, before any change there."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from fake_fleet import NEW, Fleet, Liar
from shipit.agent.protocol import messages
from shipit.agent.protocol.controls import Hold
from shipit.agent.server import facts
from shipit.commands import deploy, inspect
from shipit.errors import HostError, Unreachable
from shipit.events import HostFailed, Outcome, Problem, RunEnded
from shipit.release import plan as planning
from shipit.release import saved_plan
from shipit.release.build import BuiltRelease
from shipit.release.plan import HostPlan
from shipit.rollout import prepare
from shipit.rollout.connections import Connections
from shipit.rollout.host_session import HostSession
from shipit.transport import connect
from unit.rollout.test_lying_host import HOSTS, impatient, run  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.events import Event
    from shipit.release.inputs import RunOptions


def says(digest: str) -> Liar:
    return Liar(messages.Facts, lambda honest: [replace(honest, machine_digest=digest)])


def rolled_back(
    run: RunOptions,  # noqa: F811
    names: dict[str, Liar],
    monkeypatch: pytest.MonkeyPatch,
) -> list[Event]:
    monkeypatch.setattr(connect, "connect", Fleet(names).connect)
    reported: list[Event] = []
    deploy.rollback(run, reported.append)
    return reported


def test_all_names_of_one_machine_are_refused_with_each_other(
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"web1": says("aa"), "web2": says("bb"), "web3": says("aa"), "web4": says("cc")}
    reported = rolled_back(run, names, monkeypatch)
    problems = [event.problem for event in reported if isinstance(event, HostFailed)]
    assert [(problem.host, problem.code) for problem in problems] == [
        ("web1", "same-machine"),
        ("web3", "same-machine"),
    ]
    assert "web1, web3 are names of one machine" in problems[0].what
    [ended] = [event for event in reported if isinstance(event, RunEnded)]
    assert {result.outcome for result in ended.hosts.values()} == {Outcome.DISCARDED}


@pytest.mark.parametrize("digests", [("aa", "bb", "cc", "dd"), ("", "", "", "")])
def test_machines_of_their_own_and_unknown_ones_are_not(
    digests: tuple[str, ...],
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {name: says(digest) for name, digest in zip(HOSTS, digests, strict=True)}
    reported = rolled_back(run, names, monkeypatch)
    [ended] = [event for event in reported if isinstance(event, RunEnded)]
    assert ended.exit_status == 0


def test_a_look_at_both_names_is_answered(run: RunOptions, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(connect, "connect", Fleet(dict.fromkeys(HOSTS, says("aa"))).connect)
    [(_, answers)] = inspect.status(run, lambda _: None)
    assert not any(isinstance(answer, Problem) for answer in answers.values())


def test_a_machine_is_known_by_its_id_boot_and_container_and_reveals_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(**of: str) -> str:
        for name, content in {"id": "1" * 32, "boot": "b1", "container": "mnt:[1]", **of}.items():
            path = tmp_path / name
            path.unlink(missing_ok=True)
            if name == "container":
                path.symlink_to(content)
            else:
                path.write_text(content + "\n")
        return facts.machine_digest()

    monkeypatch.setattr(facts, "MACHINE_ID", str(tmp_path / "id"))
    monkeypatch.setattr(facts, "BOOT_ID", str(tmp_path / "boot"))
    monkeypatch.setattr(facts, "FIRST_PROCESS", str(tmp_path / "container"))
    made = digest()
    assert made == digest()
    assert re.fullmatch("[0-9a-f]{64}", made)
    changes: list[dict[str, Any]] = [{"id": "2" * 32}, {"boot": "b2"}, {"container": "mnt:[2]"}]
    assert len({made, *(digest(**each) for each in changes)}) == len(changes) + 1


def test_a_machine_without_an_identity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "BOOT_ID", "/nowhere")
    assert facts.machine_digest() == ""


@dataclass
class Asked:
    """The wire to a host with these findings; counts how often it was asked."""

    problems: tuple[messages.Failure, ...] = ()
    times: int = 0

    def send(self, message: object, body: bytes = b"") -> None:
        assert isinstance(message, messages.Survey)
        self.times += 1

    def receive(self, timeout: float, awaited: str = "") -> messages.Frame:
        return messages.Frame(messages.Findings(self.problems), b"")

    def close(self) -> None: ...


def test_hosts_that_ask_for_signatures_are_asked_before_anything_is_sent() -> None:
    unsigned = messages.Failure("unsigned", "it is not signed", "signature", "sign it")
    full = messages.Failure("disk-too-small", "it is full", "preflight")
    deploy_, nothing = planning.Action.DEPLOY, planning.Action.NOTHING
    plans = {
        "any": HostPlan("any", deploy_, "r", "1"),
        "strict": HostPlan("strict", deploy_, "r", "1", current="old", signed_only=True),
        "full": HostPlan("full", deploy_, "r", "1", signed_only=True),
        "idle": HostPlan("idle", nothing, "r", "1", signed_only=True),
    }
    wires = {name: Asked((full, unsigned) if name == "strict" else (full,)) for name in plans}
    sessions = {
        name: HostSession(name, wire, lambda *_: None, lambda _: None)
        for name, wire in wires.items()
    }
    made = {name: (BuiltRelease(NEW, {}), plan) for name, plan in plans.items()}
    reported: list[Event] = []
    with ThreadPoolExecutor(2) as executor:
        connections = Connections(executor, reported.append, sessions)
        taken = prepare.refuse_unsigned(made, connections)
    assert list(taken) == ["any", "full", "idle"], "a full disk is found when it is staged"
    assert {name: wire.times for name, wire in wires.items()} == {
        "any": 0, "strict": 1, "full": 1, "idle": 0,
    }  # fmt: skip
    assert connections.problems() == {
        "strict": Problem("strict", "unsigned", "it is not signed", "signature", "sign it")
    }
    assert connections.lost["strict"].release == "old"


def test_what_a_host_runs_already_needs_no_signature() -> None:
    unsigned = messages.Failure("unsigned", "it is not signed", "signature")
    full = messages.Failure("disk-too-small", "it is full", "preflight")
    actions = {"new": planning.Action.DEPLOY, "idle": planning.Action.NOTHING}
    sessions = {
        name: HostSession(name, Asked((full, unsigned)), lambda *_: None, lambda _: None)
        for name in actions
    }
    made = {
        name: (BuiltRelease(NEW, {}), HostPlan(name, action, "r", "1"))
        for name, action in actions.items()
    }
    with ThreadPoolExecutor(2) as executor:
        found = prepare.surveyed(made, Connections(executor, lambda _: None, sessions))
    assert found["new"].problems == (full, unsigned)
    assert found["idle"].problems == (full,)


def test_a_hold_on_one_host_refuses_all_of_them() -> None:
    hold = Hold("ann@laptop", "2026-01-01T00:00:00Z", "moving the database")
    deploy_ = planning.Action.DEPLOY
    plans = {
        "free": HostPlan("free", deploy_, "r2", "2", current="r1"),
        "held": HostPlan("held", deploy_, "r2", "2", current="r1", holds=(hold,)),
    }
    made = {name: (BuiltRelease(NEW, {}), plan) for name, plan in plans.items()}
    with ThreadPoolExecutor(2) as executor:
        connections = Connections(executor, lambda _: None, dict.fromkeys(plans))  # type: ignore[arg-type]
        assert prepare.refuse_held(made, connections) == {}
        free = {"free": made["free"]}
        assert prepare.refuse_held(free, connections) == free
    found = connections.problems()
    assert {name: problem.code for name, problem in found.items()} == dict.fromkeys(
        plans, "app-held"
    )
    assert "on held: deploys of this app are held, by ann@laptop since" in found["free"].what
    assert {name: it.phase.value for name, it in connections.lost.items()} == dict.fromkeys(
        plans, "discarded"
    )


PLANS = {
    name: HostPlan(name, planning.Action.DEPLOY, "r2", "2", current="r1")
    for name in ("web1", "web2", "web3")
}
PLANNED = {name: saved_plan.data(plan) for name, plan in PLANS.items()}


def compared(
    now: dict[str, HostPlan], *lost: HostError
) -> tuple[list[str], Connections, list[Event]]:
    """Return which hosts go on, after a comparison with a plan for three hosts."""
    made = {name: (BuiltRelease(NEW, {}), plan) for name, plan in now.items()}
    reported: list[Event] = []
    with ThreadPoolExecutor(1) as executor:
        connections = Connections(executor, reported.append, dict.fromkeys(PLANS))  # type: ignore[arg-type]
        for error in lost:
            connections.lose(error.host, error, "r1")
        return list(prepare.refuse_changed(made, connections, PLANNED)), connections, reported


def test_hosts_that_are_as_planned_go_on() -> None:
    going, connections, reported = compared(PLANS)
    assert going == list(PLANS)
    assert (connections.lost, reported) == ({}, [])


def test_a_changed_host_refuses_all_of_them() -> None:
    now = {**PLANS, "web2": replace(PLANS["web2"], current="r0")}
    going, connections, reported = compared(now)
    assert going == []
    found = connections.problems()
    assert {name: it.code for name, it in found.items()} == dict.fromkeys(PLANS, "plan-changed")
    assert "it runs r0 now; it ran r1" in found["web2"].what
    assert {found[name].what.partition(":")[0] for name in ("web1", "web3")} == {"on web2"}
    assert {name: it.phase.outcome for name, it in connections.lost.items()} == dict.fromkeys(
        PLANS, Outcome.DISCARDED
    )
    assert connections.lost["web2"].release == "r0"
    assert connections.sessions == {}
    assert len(reported) == len(PLANS)


@pytest.mark.parametrize("code", ["older-release", "disk-too-small", "same-machine"])
def test_a_planned_host_with_a_failure_of_its_own_refuses_all_of_them(code: str) -> None:
    error = HostError(code, "it has changed", host="web2", step="hello", hint="look at it")
    now = {name: plan for name, plan in PLANS.items() if name != "web2"}
    going, connections, reported = compared(now, error)
    assert going == []
    found = connections.problems()
    assert found["web2"] == Problem("web2", code, "it has changed", "hello", "look at it")
    assert {found[name].code for name in now} == {"plan-changed"}
    for name in now:
        assert found[name].what.startswith("on web2: ")
        assert f"it has changed [{code}]" in found[name].what
        assert found[name].hint == "look at it"
    assert len(reported) == len(PLANS), "each host fails once"


def test_an_unreachable_host_is_left_to_the_limits() -> None:
    now = {name: plan for name, plan in PLANS.items() if name != "web2"}
    error = Unreachable("timeout", "no answer", host="web2")
    going, connections, _ = compared(now, error)
    assert going == ["web1", "web3"]
    assert {name: it.phase.outcome for name, it in connections.lost.items()} == {
        "web2": Outcome.UNREACHABLE
    }
