"""Drive a fleet: run the steps of its strategy, each on all its hosts in parallel.

Assignment knows what a step does on one host.
"""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from shipit.errors import HostError, Unreachable
from shipit.events import (
    BatchBegan,
    Emit,
    HostEnded,
    HostFailed,
    HostResult,
    Noted,
    Outcome,
    Problem,
)
from shipit.rollout import pause
from shipit.rollout.canary.checks import Held
from shipit.rollout.canary.decision import Decision
from shipit.rollout.hooks import NoHooks, PointHooks
from shipit.rollout.phase import HostControl, Phase, Transition, bug_of, problem_of
from shipit.rollout.strategy import Act, Canaries, MixedVersions, Policy, Step, breach, decide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shipit.agent.protocol.controls import AskControls, Control, Controls
    from shipit.rollout.canary.hold import CanaryHold

T = TypeVar("T")
POLL_SECONDS = 0.2  # within which a Ctrl-C is noticed
ULIMIT = "check that no wheel was removed; for many hosts: ulimit -n 8192"
GRACE = 1.0  # seconds after a Ctrl-C for answers that are on their way
LONGEST_PAUSE = 24 * 3600.0  # seconds; then the run is rolled back
INTERRUPTED = "the run was interrupted"
STOPPED = "the canary keeps the new release, and no other host follows"
HOOK_FAILED = "a hook of the controller failed"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Fleet:
    """The hosts of a run and their states."""

    hosts: Mapping[str, HostControl]
    states: dict[str, Transition] = field(default_factory=dict)
    interrupted: bool = False
    reason: str = ""  # why the run is rolled back
    because: dict[str, str] = field(default_factory=dict)  # the reason, by hosts that did not fail
    elected: str = ""  # the host that runs what runs once
    hooks: PointHooks = field(default_factory=NoHooks)
    refused: bool = False  # a hook of the controller has failed, or a canary was not promoted
    canaries: tuple[str, ...] = ()
    hold: CanaryHold | None = None  # of the canaries
    decided: Canaries = Canaries.HELD
    paused: bool = False  # a host has refused to be switched, because the run is paused
    mixed: MixedVersions = field(default_factory=MixedVersions)

    @property
    def phases(self) -> dict[str, Phase]:
        return {name: transition.phase for name, transition in self.states.items()}

    def results(self) -> dict[str, HostResult]:
        return {
            name: HostResult(
                transition.phase.outcome,
                transition.release,
                transition.problem,
                self.because.get(name, ""),
            )
            for name, transition in self.states.items()
        }


def drive(fleet: Fleet, policy: Policy, executor: Executor, emit: Emit) -> None:
    """Run `decide`'s steps until nothing is left to do; `fleet.states` has the result.

    A first Ctrl-C ends the running step soon and rolls every host back, unless they are committing;
    a second one leaves the hosts alone: their leases run out and they roll back by themselves.
    """
    began = time.monotonic()
    step: Step | None = None
    try:
        with _record_first_ctrl_c(fleet):
            while step := _next(fleet, policy):
                if step.act is Act.HOLD:
                    _hold(step, fleet, executor, emit)
                    continue
                if not _may_begin(step, fleet, executor, emit):
                    continue
                if not fleet.hooks.before(step, lambda: fleet.interrupted):
                    fleet.refused = True
                    continue
                _announce(step, fleet, policy, emit)
                fleet.mixed.before(step, time.monotonic())
                _run_step(step, fleet, policy, executor, emit)
                fleet.mixed.after(step, time.monotonic())
            fleet.hooks.at_end(fleet.phases.values(), lambda: fleet.interrupted)
    except KeyboardInterrupt:
        fleet.interrupted = True
        _leave(fleet, step)
    for name, transition in fleet.states.items():
        emit(
            HostEnded(name, transition.phase.outcome, transition.release, time.monotonic() - began)
        )


def _next(fleet: Fleet, policy: Policy) -> Step | None:
    stop = fleet.interrupted or fleet.refused
    return decide(fleet.phases, policy, fleet.decided, stop=stop)


def _hold(step: Step, fleet: Fleet, executor: Executor, emit: Emit) -> None:
    """Hold the canaries until it is decided what becomes of them, or the run is over."""

    def tell(said: Control | AskControls) -> list[Controls]:
        answers = _ask_all(
            step.hosts, lambda host: host.tell(said), fleet, executor, emit, of_bug=Phase.UNKNOWN
        )
        return list(answers.values())

    def is_over() -> bool:
        return fleet.interrupted or any(
            fleet.states[name].phase is not Phase.HEALTHY for name in step.hosts
        )

    others = tuple(name for name, phase in fleet.phases.items() if phase is Phase.STAGED)
    ended = fleet.hold.run(Held(step.hosts, others), tell, is_over, emit) if fleet.hold else None
    decision = ended.decision if ended else None
    if fleet.hold is None or decision is Decision.GO_ON:
        fleet.decided = Canaries.PROMOTED
    elif ended and decision is Decision.STOP:
        fleet.decided, fleet.reason = Canaries.ALONE, ended.why
        emit(Noted(f"{fleet.reason}: {STOPPED}"))
    elif ended:
        fleet.refused, fleet.reason = True, ended.why
        emit(Noted(f"{fleet.reason}: every host of this run is rolled back"))


def _may_begin(step: Step, fleet: Fleet, executor: Executor, emit: Emit) -> bool:
    """Wait before a batch while the run is paused; False if `decide` has to look again."""
    if step.act is not Act.SWITCH or (step.of == 1 and not fleet.paused):
        return True

    def is_over() -> bool:
        return fleet.interrupted or any(
            fleet.states[name].phase is not Phase.STAGED for name in step.hosts
        )

    def ask() -> str:
        return _who_pauses(step, fleet, executor, emit)

    fleet.paused = False
    if not pause.wait(ask, is_over, emit, LONGEST_PAUSE):
        fleet.refused, fleet.reason = True, pause.TOO_LONG
        emit(Noted(f"{fleet.reason}: every host of this run is rolled back"))
    return not (is_over() or fleet.refused)


def _who_pauses(step: Step, fleet: Fleet, executor: Executor, emit: Emit) -> str:
    """Ask the hosts of a batch alone: `shipit pause` reaches every host, so each batch has it."""
    found = _ask_all(
        step.hosts, lambda host: host.paused(), fleet, executor, emit, of_bug=Phase.DISCARDED
    )
    return next(filter(None, (found.get(name) for name in step.hosts)), "")


def _ask_all(
    names: Iterable[str],
    question: Callable[[HostControl], T | Transition],
    fleet: Fleet,
    executor: Executor,
    emit: Emit,
    *,
    of_bug: Phase,
) -> dict[str, T]:
    """Return the answers of these hosts; one that has failed meanwhile is noted instead.

    A Ctrl-C ends it soon: a host that does not answer in time is interrupted.
    """
    asked: dict[Future[T | Transition], str] = {
        executor.submit(_ask_safely, question, fleet.hosts[name], of_bug): name for name in names
    }
    found: dict[str, T] = {}

    def collect() -> None:
        for future in wait(asked, timeout=POLL_SECONDS).done:
            name, answer = asked.pop(future), future.result()
            if isinstance(answer, Transition):
                _note(name, answer, fleet, emit)
            else:
                found[name] = answer

    while asked and not fleet.interrupted:
        collect()
    if asked:
        wait(asked, timeout=GRACE)
        _cancel(asked, fleet)
    while asked:  # its channel is free only then
        collect()
    return found


def _announce(step: Step, fleet: Fleet, policy: Policy, emit: Emit) -> None:
    """Report a batch, and why hosts are rolled back."""
    if step.act is Act.ROLL_BACK:
        _give_reason(step.hosts, fleet, policy, emit)
    if step.number:
        emit(BatchBegan(step.number, step.of, step.hosts, step.act.value))


def _give_reason(names: Iterable[str], fleet: Fleet, policy: Policy, emit: Emit) -> None:
    """Record why these hosts are rolled back; the first reason stays, and is reported."""
    if not fleet.reason:
        failed = HOOK_FAILED if fleet.refused else breach(fleet.phases, policy)
        fleet.reason = INTERRUPTED if fleet.interrupted else failed
        if fleet.reason != INTERRUPTED:
            emit(Noted(f"{fleet.reason}: every host of this run is rolled back"))
    for name in names:
        fleet.because[name] = fleet.reason


@contextmanager
def _record_first_ctrl_c(fleet: Fleet) -> Iterator[None]:
    """Record a first Ctrl-C (or SIGTERM, if it acts as one); raise a second one.

    An exception could interrupt any line, such as between starting a step and recording it.
    """

    def on_signal(*_: object) -> None:
        if fleet.interrupted:
            raise KeyboardInterrupt
        fleet.interrupted = True

    usual = signal.default_int_handler
    at_main = threading.current_thread() is threading.main_thread()
    numbers = [n for n in STOP_SIGNALS if at_main and signal.getsignal(n) is usual]
    for number in numbers:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, usual)


def _run_step(step: Step, fleet: Fleet, policy: Policy, executor: Executor, emit: Emit) -> None:
    """Run the step on all its hosts in parallel, until it ends or is cancelled.

    Raises:
        KeyboardInterrupt: hosts may still be working.
    """
    working = {executor.submit(_act_safely, step, fleet.hosts[name]): name for name in step.hosts}
    # Commits are not cancelled: once some hosts have committed, all should.
    goes_on = step.act is not Act.COMMIT and not (step.act is Act.ROLL_BACK and fleet.interrupted)
    while working:
        for future in wait(working, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done:
            _note(working[future], future.result(), fleet, emit)
            del working[future]
        # An exceeded limit cancels the running switches, which would wait for their deadlines.
        spent = step.act is Act.SWITCH and breach(fleet.phases, policy)
        if goes_on and (fleet.interrupted or spent):
            goes_on = False
            if working and step.act is Act.SWITCH:
                _give_reason(working.values(), fleet, policy, emit)
            _cancel(working, fleet)
    staged = any(fleet.states[name].phase is Phase.STAGED for name in step.hosts)
    fleet.paused = step.act is Act.SWITCH and staged


def _cancel(working: dict[Future[T], str], fleet: Fleet) -> None:
    """End the running steps soon, and cancel those that have not begun."""
    for future, name in list(working.items()):
        if future.cancel():
            del working[future]
        elif not future.done():
            fleet.hosts[name].interrupt()


def _act_safely(step: Step, host: HostControl) -> Transition:
    """Run a step and turn an error into a phase: a step that raises has not switched the host."""
    acts = {
        Act.STAGE: host.stage,
        Act.SWITCH: host.switch,
        Act.COMMIT: host.commit,
        Act.ROLL_BACK: host.roll_back,
    }
    try:
        return acts[step.act]()
    except Exception as error:  # noqa: BLE001 - the edge of a host: its failure is its own
        of_bug = Phase.DISCARDED if step.act is Act.STAGE else Phase.UNKNOWN
        return _failure(error, host.name, of_bug)


def _ask_safely(
    question: Callable[[HostControl], T | Transition], host: HostControl, of_bug: Phase
) -> T | Transition:
    """Ask a host between two steps; an error is that host's failure."""
    try:
        return question(host)
    except Exception as error:  # noqa: BLE001 - as above
        return _failure(error, host.name, of_bug)


def _failure(error: Exception, name: str, of_bug: Phase) -> Transition:
    if isinstance(error, HostError):
        lost = isinstance(error, Unreachable)
        phase = Phase.UNREACHABLE if lost else Phase.DISCARDED
        return Transition(phase, problem=problem_of(error, name))
    if isinstance(error, OSError):  # of this machine: a missing wheel, too many open files
        what = f"on this machine: {error.strerror or error}"
        problem = Problem(name, "controller-error", what, hint=ULIMIT)
        return Transition(Phase.DISCARDED, problem=problem)
    return Transition(of_bug, problem=problem_of(bug_of(error, name), name))


def _note(name: str, transition: Transition, fleet: Fleet, emit: Emit) -> None:
    before = fleet.states[name]
    fleet.states[name] = replace(
        transition,
        release=transition.release or before.release,
        problem=transition.problem or before.problem,
    )
    if transition.problem and transition.problem != before.problem:
        emit(HostFailed(transition.problem))


def _leave(fleet: Fleet, step: Step | None) -> None:
    """Give up after a second Ctrl-C: each switched host decides by its lease."""
    switching = step.hosts if step and step.act is Act.SWITCH else ()
    for name, transition in fleet.states.items():
        is_switching = transition.phase is Phase.STAGED and name in switching
        if transition.phase is Phase.HEALTHY or is_switching:
            fleet.states[name] = replace(transition, phase=Phase.UNKNOWN)


def exit_status(results: Mapping[str, HostResult], *, interrupted: bool = False) -> int:
    """Return the exit status of a run, by the contract in docs/cli.md."""
    outcomes = {result.outcome for result in results.values()}
    if interrupted:
        return 130
    if all(outcome.is_wanted for outcome in outcomes):
        return 0
    if any(outcome.needs_operator for outcome in outcomes) or Outcome.COMMITTED in outcomes:
        return 5
    return 4 if Outcome.ROLLED_BACK in outcomes else 3
