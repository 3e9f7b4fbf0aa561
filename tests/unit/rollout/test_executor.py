"""A rollout, over a simulated fleet behind the session port."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from patience import until
from shipit.agent.protocol.controls import AskControls, Control, Controls
from shipit.errors import HostError, Unreachable
from shipit.events import BatchBegan, Event, HostResult, Noted, Outcome, Problem
from shipit.rollout import executor as executors
from shipit.rollout import pause
from shipit.rollout.executor import Fleet, drive, exit_status
from shipit.rollout.phase import HostControl, Phase, Transition
from shipit.rollout.strategy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW = "1.0.0-aaaaaaaa", "1.1.0-bbbbbbbb"


@dataclass
class Simulated:
    """A host that follows the rules of the real one, with faults on order."""

    name: str
    diary: list[tuple[str, str]]
    faults: dict[str, object] = field(default_factory=dict)
    running: str = OLD
    committed: str = OLD
    pauses: list[str] | None = None  # the answers, one after another; None: never asked about it
    canary: Control | None = None  # what was said of it last

    def _do(self, act: str) -> object:
        self.diary.append((self.name, act))
        fault = self.faults.get(act)
        if isinstance(fault, BaseException):
            raise fault
        return fault

    def stage(self) -> Transition:
        self._do("stage")
        return Transition(Phase.STAGED)

    def switch(self) -> Transition:
        fault = self._do("switch")
        if isinstance(fault, Phase):
            return Transition(fault, self.running)
        self.running = NEW
        return Transition(Phase.HEALTHY, NEW)

    def commit(self) -> Transition:
        fault = self._do("commit")
        if isinstance(fault, Phase):
            self.running = OLD
            return Transition(fault, OLD)
        self.committed = NEW
        return Transition(Phase.COMMITTED, NEW)

    def roll_back(self) -> Transition:
        self._do("roll back")
        was_switched, self.running = self.running == NEW, self.committed
        return Transition(Phase.ROLLED_BACK if was_switched else Phase.DISCARDED, OLD)

    def paused(self) -> str:
        if self.pauses is None:
            return ""
        self._do("paused?")
        return self.pauses.pop(0) if self.pauses else ""

    def tell(self, said: Control | AskControls) -> Controls | Transition:
        what = said.what if isinstance(said, Control) else "asked"
        fault = self._do(f"tell {what}")
        if isinstance(fault, Phase):
            self.running = OLD
            return Transition(fault, OLD, Problem(self.name, "unit-failed", "it crashed"))
        self.canary = said if isinstance(said, Control) else self.canary
        return Controls((), "t1", canary=self.canary)

    def interrupt(self) -> None:
        self._do("interrupt")


def refused(host: str) -> HostError:
    return HostError("disk-full", "no space", host=host, step="stage")


def lost(host: str) -> Unreachable:
    return Unreachable("connect-timeout", "no answer", host=host)


def fleet(
    names: str, faults: dict[str, dict[str, object]] | None = None
) -> tuple[Fleet, dict[str, Simulated], list[tuple[str, str]]]:
    diary: list[tuple[str, str]] = []
    hosts = {name: Simulated(name, diary, (faults or {}).get(name, {})) for name in names.split()}
    ports: dict[str, HostControl] = dict(hosts)
    return Fleet(ports, {name: Transition(Phase.READY, OLD) for name in hosts}), hosts, diary


def run(
    names: str, faults: dict[str, dict[str, object]] | None = None, policy: Policy | None = None
) -> tuple[Fleet, dict[str, Simulated], list[tuple[str, str]], list[Event]]:
    made, hosts, diary = fleet(names, faults)
    events: list[Event] = []
    with ThreadPoolExecutor(4) as executor:
        drive(made, policy or Policy(), executor, events.append)
    return made, hosts, diary, events


def test_no_host_is_switched_before_every_host_is_staged() -> None:
    _, _, diary, _ = run("a b c d", policy=Policy((1, "50%")))
    acts = [act for _, act in diary]
    assert acts.index("switch") > max(i for i, act in enumerate(acts) if act == "stage")


def test_no_host_is_committed_before_every_host_has_passed_its_gate() -> None:
    _, _, diary, _ = run("a b c d", policy=Policy((1,)))
    acts = [act for _, act in diary]
    assert acts.index("commit") > max(i for i, act in enumerate(acts) if act == "switch")


def test_hosts_are_switched_in_growing_batches() -> None:
    _, _, _, events = run("a b c d", policy=Policy((1, "50%")))
    batches = [(e.number, e.of, e.hosts) for e in events if isinstance(e, BatchBegan)]
    assert batches == [(1, 3, ("a",)), (2, 3, ("b", "c")), (3, 3, ("d",))]


def test_a_host_that_cannot_be_staged_leaves_every_host_as_it_was() -> None:
    made, hosts, diary, _ = run("a b c", {"b": {"stage": refused("b")}})
    assert "switch" not in {act for _, act in diary}
    assert {host.running for host in hosts.values()} == {OLD}
    assert exit_status(made.results()) == 3


def test_an_unreachable_host_before_the_switch_stops_the_rollout() -> None:
    made, _, diary, _ = run("a b", {"a": {"stage": lost("a")}})
    assert ("b", "switch") not in diary
    assert made.results()["a"].outcome is Outcome.UNREACHABLE
    assert exit_status(made.results()) == 3


def test_a_batch_that_fails_its_gate_rolls_back_hosts_that_had_already_succeeded() -> None:
    made, hosts, diary, _ = run("a b c", {"b": {"switch": Phase.ROLLED_BACK}}, Policy((1,)))
    assert ("a", "roll back") in diary
    assert ("c", "switch") not in diary
    assert {host.running for host in hosts.values()} == {OLD}
    assert exit_status(made.results()) == 4


def test_switched_hosts_roll_back_in_their_batches_and_each_end_says_why() -> None:
    made, _, diary, events = run("a b c d", {"d": {"switch": Phase.ROLLED_BACK}}, Policy((1, 2)))
    assert [host for host, act in diary if act == "roll back"][-1] == "a"
    batches = [
        (e.number, e.hosts) for e in events if isinstance(e, BatchBegan) and e.act != "switch"
    ]
    assert batches == [(2, ("b", "c")), (1, ("a",))]
    why = "1 of 4 hosts failed, and max_fail_percentage allows 0%"
    ends = {host: result.because for host, result in made.results().items()}
    assert ends == {"a": why, "b": why, "c": why, "d": ""}
    assert [e.text for e in events if isinstance(e, Noted)] == [
        f"{why}: every host of this run is rolled back"
    ]


def paused_run(
    *answers: str, longest: float = 60.0, monkeypatch: pytest.MonkeyPatch
) -> tuple[Fleet, list[tuple[str, str]], list[str]]:
    """Run two batches; the second host is paused while it gives these answers."""
    monkeypatch.setattr(pause, "INTERVAL", 0.01)
    monkeypatch.setattr(executors, "LONGEST_PAUSE", longest)
    made, hosts, diary = fleet("a b")
    hosts["a"].pauses, hosts["b"].pauses = [], list(answers)
    events: list[Event] = []
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy((1,)), executor, events.append)
    return made, diary, [event.text for event in events if isinstance(event, Noted)]


def test_a_paused_run_waits_before_its_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    who = "by ann@laptop: errors"
    made, diary, notes = paused_run(who, who, who, monkeypatch=monkeypatch)
    assert [r.outcome for r in made.results().values()] == [Outcome.COMMITTED] * 2
    asked = [index for index, it in enumerate(diary) if it == ("b", "paused?")]
    assert len(asked) == 4, "until nobody pauses it"
    assert diary.index(("a", "switch")) < asked[0]
    assert asked[-1] < diary.index(("b", "switch"))
    assert notes == [
        f"paused before the next batch {who}; shipit resume PLAYBOOK continues",
        "resumed",
    ]
    assert ("a", "paused?") not in diary[asked[0] :], "its transaction runs: it is not asked"


def test_a_pause_that_is_too_long_rolls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made, diary, notes = paused_run(*["by ann"] * 1000, longest=0.05, monkeypatch=monkeypatch)
    assert ("b", "switch") not in diary
    assert [result.outcome for result in made.results().values()] == [
        Outcome.ROLLED_BACK,
        Outcome.DISCARDED,
    ]
    assert {result.because for result in made.results().values()} == {pause.TOO_LONG}
    assert notes[-1] == f"{pause.TOO_LONG}: every host of this run is rolled back"


def test_only_the_hosts_of_the_next_batch_are_asked_about_a_pause() -> None:
    made, hosts, diary = fleet("a b c d")
    for host in hosts.values():
        host.pauses = []
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy((1,)), executor, lambda _: None)
    asked = [host for host, act in diary if act == "paused?"]
    assert asked == ["a", "b", "c", "d"]


def test_a_ctrl_c_ends_a_question_about_a_pause_that_has_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(executors, "GRACE", 0.1, raising=False)
    made, hosts, diary = fleet("a b")
    asked, closed = threading.Event(), threading.Event()

    def hang() -> str:
        asked.set()
        closed.wait(20)
        return ""

    def press() -> None:
        asked.wait(20)
        made.interrupted = True

    hosts["b"].paused = hang  # type: ignore[method-assign]
    hosts["b"].interrupt = closed.set  # type: ignore[method-assign]
    began, pressing = time.monotonic(), threading.Thread(target=press)
    hosts["a"].paused = lambda: ""  # type: ignore[method-assign]
    pressing.start()
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy((1,)), executor, lambda _: None)
    pressing.join(20)
    assert time.monotonic() - began < 10
    assert ("b", "switch") not in diary
    assert hosts["a"].running == OLD


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_bug_in_a_question_about_a_pause_is_that_host_s_failure(allowed: int) -> None:
    made, hosts, diary = fleet("a b c", {"b": {"paused?": ValueError("?")}})
    hosts["b"].pauses = []
    events: list[Event] = []
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy((1,), max_failures=allowed), executor, events.append)
    results = made.results()
    assert results["b"].outcome is Outcome.DISCARDED
    assert results["b"].problem is not None
    assert results["b"].problem.code == "controller-bug"
    assert ("b", "switch") not in diary
    wanted = Outcome.COMMITTED if allowed else Outcome.ROLLED_BACK
    assert results["a"].outcome is wanted
    assert (("c", "switch") in diary) is bool(allowed)


@dataclass
class PausedOnce(Simulated):
    """Refuses its first switch, because the run was paused meanwhile."""

    def switch(self) -> Transition:
        if ("a", "refused") not in self.diary:
            self.diary.append((self.name, "refused"))
            return Transition(Phase.STAGED)
        return super().switch()


def test_one_batch_is_asked_about_a_pause_only_once_a_host_refuses_to_be_switched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pause, "INTERVAL", 0.01)
    made, hosts, diary = fleet("a b")
    hosts["a"] = PausedOnce("a", diary, pauses=["by ann", "by ann"])
    hosts["b"].pauses = []
    made.hosts = dict(hosts)
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy(), executor, lambda _: None)
    assert [act for host, act in diary if host == "a"] == [
        *("stage", "refused", "paused?", "paused?", "paused?", "switch", "commit"),
    ]
    assert [act for host, act in diary if host == "b"] == ["stage", "switch", "commit"]
    made, hosts, diary = fleet("a b")
    hosts["a"].pauses = hosts["b"].pauses = []
    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy(), executor, lambda _: None)
    assert "paused?" not in {act for _, act in diary}


def test_a_paused_run_is_interrupted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, hosts, diary = fleet("a b")
    hosts["b"].pauses = ["by ann"] * 100_000

    def emit(event: Event) -> None:
        if isinstance(event, Noted) and event.text.startswith("paused"):
            made.interrupted = True

    with ThreadPoolExecutor(4) as executor:
        drive(made, Policy((1,)), executor, emit)
    assert ("b", "switch") not in diary
    assert hosts["a"].running == OLD
    assert exit_status(made.results(), interrupted=made.interrupted) == 130


def test_what_this_machine_lacks_is_reported_and_no_host_is_switched() -> None:
    made, hosts, _, _ = run("a b", {"b": {"stage": OSError(24, "Too many open files")}})
    assert {host.running for host in hosts.values()} == {OLD}
    problem = made.results()["b"].problem
    assert problem is not None
    assert (problem.code, problem.what) == (
        "controller-error",
        "on this machine: Too many open files",
    )
    assert "ulimit" in problem.hint


def test_failures_within_the_budget_do_not_stop_the_others() -> None:
    made, hosts, _, _ = run(
        "a b c d", {"b": {"switch": Phase.ROLLED_BACK}}, Policy((1,), max_fail_percentage=25)
    )
    assert [host.committed for host in hosts.values()] == [NEW, OLD, NEW, NEW]
    assert exit_status(made.results()) == 5


def test_a_host_that_rolls_back_by_itself_before_the_commit_is_reported() -> None:
    made, _, _, _ = run("a b", {"b": {"commit": Phase.ROLLED_BACK}})
    assert made.results()["a"].outcome is Outcome.COMMITTED
    assert exit_status(made.results()) == 5


def test_a_host_lost_after_its_switch_is_unknown_and_the_others_roll_back() -> None:
    made, hosts, _, _ = run("a b", {"b": {"switch": Phase.UNKNOWN}}, Policy((1,)))
    assert hosts["a"].running == OLD
    assert exit_status(made.results()) == 5


def test_a_fleet_where_nothing_has_to_be_done_is_left_alone() -> None:
    made, _, diary = fleet("a b")
    made.states = {name: Transition(Phase.UNCHANGED, NEW) for name in made.states}
    with ThreadPoolExecutor(1) as executor:
        drive(made, Policy(), executor, lambda _: None)
    assert diary == []
    assert exit_status(made.results()) == 0


def test_ctrl_c_brings_every_host_back() -> None:
    made, hosts, _ = fleet("a b")
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, BatchBegan) and event.number == 2:
            made.interrupted = True

    with ThreadPoolExecutor(2) as executor:
        drive(made, Policy((1,)), executor, emit)
    assert {host.running for host in hosts.values()} == {OLD}
    assert exit_status(made.results(), interrupted=made.interrupted) == 130


@dataclass
class Patient(Simulated):
    """A host that stays in its gate until it is cancelled."""

    begun: threading.Event = field(default_factory=threading.Event)
    called_back: threading.Event = field(default_factory=threading.Event)

    def switch(self) -> Transition:
        super().switch()
        self.begun.set()
        assert self.called_back.wait(timeout=60)
        return Transition(Phase.ROLLED_BACK, OLD)

    def interrupt(self) -> None:
        super().interrupt()
        self.called_back.set()


def test_a_failed_gate_cancels_the_gates_of_the_others_at_once() -> None:
    diary: list[tuple[str, str]] = []
    patient = Patient("a", diary)

    class Failing(Simulated):
        def switch(self) -> Transition:
            assert patient.begun.wait(timeout=60)
            return super().switch()

    failing = Failing("b", diary, {"switch": Phase.ROLLED_BACK})
    hosts: dict[str, HostControl] = {"a": patient, "b": failing}
    made = Fleet(hosts, {name: Transition(Phase.READY) for name in hosts})
    with ThreadPoolExecutor(2) as executor:
        drive(made, Policy(), executor, lambda _: None)
    assert set(made.phases.values()) == {Phase.ROLLED_BACK}
    assert not made.interrupted


def test_a_failed_gate_within_the_budget_calls_nobody_back() -> None:
    faults: dict[str, dict[str, object]] = {"b": {"switch": Phase.ROLLED_BACK}}
    _, _, diary, _ = run("a b c", faults, Policy(max_fail_percentage=50))
    assert not [host for host, act in diary if act == "interrupt"]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Have SIGINT heard as on a terminal: who is started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_a_step_interrupts_the_hosts_that_work_on_it() -> None:
    made, hosts, diary = fleet("a b")
    interrupted = threading.Event()

    class Slow(Simulated):
        def switch(self) -> Transition:
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C does, to the main thread
            assert interrupted.wait(timeout=60)
            return Transition(Phase.ROLLED_BACK, OLD)

        def interrupt(self) -> None:
            super().interrupt()
            interrupted.set()

    slow = Slow("a", diary)
    made.hosts = {"a": slow, "b": hosts["b"]}
    with ThreadPoolExecutor(2) as executor:
        drive(made, Policy((1,)), executor, lambda _: None)
    assert ("a", "interrupt") in diary
    assert made.interrupted
    assert [transition.phase for transition in made.states.values()] == [
        Phase.ROLLED_BACK,
        Phase.DISCARDED,
    ]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_hosts_are_being_started_brings_every_host_back() -> None:
    made, hosts, _ = fleet("a b")

    class Pressed(ThreadPoolExecutor):
        """Ctrl-C comes when a first switch has been handed to a thread, and the next has not."""

        def submit(self, *order: Any) -> Any:  # type: ignore[override]  # noqa: ANN401
            future = super().submit(*order)
            if made.phases["a"] is Phase.STAGED and not made.interrupted:
                signal.raise_signal(signal.SIGINT)
            return future

    with Pressed(2) as executor:
        drive(made, Policy(), executor, lambda _: None)
    assert made.interrupted
    assert {host.running for host in hosts.values()} == {OLD}
    assert Phase.UNKNOWN not in made.phases.values()


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_amid_the_commits_lets_every_host_commit() -> None:
    made, hosts, diary = fleet("a b")

    class Committing(Simulated):
        def commit(self) -> Transition:
            signal.raise_signal(signal.SIGINT)
            assert until(lambda: made.interrupted, lambda: "it was not heard", 60.0)
            return super().commit()

    one = Committing("a", diary)
    made.hosts = {"a": one, "b": hosts["b"]}
    with ThreadPoolExecutor(1) as executor:  # b has not begun when it comes
        drive(made, Policy(), executor, lambda _: None)
    assert [host.committed for host in (one, hosts["b"])] == [NEW, NEW]
    assert exit_status(made.results(), interrupted=made.interrupted) == 130


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_ctrl_c_leaves_a_host_that_still_switches_to_itself() -> None:
    diary: list[tuple[str, str]] = []
    left = threading.Event()

    class Deaf(Simulated):
        def switch(self) -> Transition:
            signal.raise_signal(signal.SIGINT)
            assert left.wait(timeout=60)
            return Transition(Phase.ROLLED_BACK, OLD)

        def interrupt(self) -> None:
            super().interrupt()
            signal.raise_signal(signal.SIGINT)  # the first one has been heard

    made = Fleet({"a": Deaf("a", diary)}, {"a": Transition(Phase.READY, OLD)})
    with ThreadPoolExecutor(1) as executor:
        drive(made, Policy(), executor, lambda _: None)
        left.set()
    assert diary == [("a", "stage"), ("a", "interrupt")]
    assert made.phases == {"a": Phase.UNKNOWN}
    assert exit_status(made.results(), interrupted=made.interrupted) == 130


FAULTS: list[dict[str, object]] = [
    {},
    {"stage": refused("x")},
    {"stage": lost("x")},
    {"switch": Phase.ROLLED_BACK},
    {"switch": Phase.UNKNOWN},
    {"commit": Phase.ROLLED_BACK},
]


@pytest.mark.parametrize("faults", list(itertools.product(FAULTS, repeat=3)), ids=str)
def test_whatever_fails_no_host_is_left_between_two_releases(
    faults: tuple[dict[str, object], ...],
) -> None:
    made, hosts, _, _ = run("a b c", dict(zip("abc", faults, strict=True)), Policy((1,)))
    for name, host in hosts.items():
        if made.phases[name] is not Phase.UNKNOWN:
            assert host.running == host.committed
    all_new = {host.committed for host in hosts.values()} == {NEW}
    assert (exit_status(made.results()) == 0) is all_new


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome.COMMITTED, Outcome.UNCHANGED], 0),
        ([Outcome.DISCARDED, Outcome.UNREACHABLE], 3),
        ([Outcome.ROLLED_BACK, Outcome.DISCARDED], 4),
        ([Outcome.COMMITTED, Outcome.ROLLED_BACK], 5),
        ([Outcome.ROLLED_BACK, Outcome.STUCK], 5),
        ([Outcome.ROLLED_BACK, Outcome.UNKNOWN], 5),
        ([Outcome.UNCHANGED, Outcome.ROLLED_BACK], 4),
    ],
)
def test_exit_statuses_are_the_contract(outcomes: list[Outcome], status: int) -> None:
    results = {str(i): HostResult(outcome, "") for i, outcome in enumerate(outcomes)}
    assert exit_status(results) == status
