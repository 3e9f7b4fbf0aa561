"""Hold canaries: observe them until a check, an operator or the time decides.

What is said on the hosts is the operators' part of it: `shipit promote` and `shipit abort` write it
there from any machine, and so does this when it ends.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from shipit.agent.protocol.controls import ABORT, CANARY, PROMOTE, AskControls, Control, Controls
from shipit.events import CanaryChecked, CanaryEnded, CanaryHeld, Noted
from shipit.rollout import pause
from shipit.rollout.canary.checks import NOT_ASKED, Asking
from shipit.rollout.canary.decision import (
    Cause,
    CheckOutcome,
    Decision,
    Rules,
    Time,
    decide,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.events import Emit
    from shipit.rollout.canary.checks import Check, Held
    from shipit.rollout.canary.decision import CheckResult
    from shipit.secrets import Mask

    Tell: TypeAlias = "Callable[[Control | AskControls], Sequence[Controls]]"

INTERVAL = 1.0  # seconds between questions to the hosts
SAID = {PROMOTE: Decision.GO_ON, ABORT: Decision.ROLL_BACK}
WORDS = {Decision.GO_ON: PROMOTE, Decision.ROLL_BACK: ABORT}  # on the hosts, of what has ended it
HOW = "shipit promote PLAYBOOK lets it go on, shipit abort PLAYBOOK -m WHY rolls it back"
QUESTION = "promote the canary? y lets it go on, n rolls it back"
ANSWERS = {"y": PROMOTE, "yes": PROMOTE, "n": ABORT, "no": ABORT}


class Question(Protocol):
    """A question to the operator of this run that is on the terminal."""

    def answer(self) -> str | None:
        """Return what was typed, without waiting; None if nothing was yet."""


@dataclass(frozen=True)
class Ended:
    """What becomes of canaries, and why: they go on, stop or roll back."""

    decision: Decision
    why: str


@dataclass(frozen=True)
class CanaryHold:
    """How canaries are held.

    Attributes:
        least: seconds that it lasts at least.
        timeout: seconds after these in which it must be decided.
        who: the operator of this run, as user@machine.
        mask: of the secrets of this run.
        ask: begins to ask that operator; None without a terminal.
    """

    rules: Rules
    least: float
    timeout: float
    checks: Sequence[Check]
    who: str
    mask: Mask
    ask: Callable[[], Question] | None = None

    def run(self, held: Held, tell: Tell, is_over: Callable[[], bool], emit: Emit) -> Ended | None:
        """Hold canaries, and return how that ended; None if there is nothing to hold any more.

        Args:
            held: the hosts.
            tell: says something to each canary, and returns their answers.
            is_over: whether the run was interrupted, or a canary has failed.
            emit: receives what happens.
        """
        began, until = time.monotonic(), datetime.now(UTC) + timedelta(seconds=self.least)
        tell(_word(CANARY, self.who))
        emit(CanaryHeld(held.canaries, until.isoformat(timespec="seconds"), self.least, HOW))
        found: dict[str, CheckResult] = {}
        operator = _Operator(self, len(held.canaries), tell, emit)
        with Asking(self.checks, held, self.mask) as asking:
            while not is_over():
                found = _reported(asking.results(), found, emit)
                said = operator.said()
                outcomes = [finding.outcome for finding in found.values()]
                word = SAID[said.what] if said else None
                at = self._time(time.monotonic() - began)
                verdict = decide(outcomes, at, word, self.rules)
                if verdict.decision not in (Decision.HOLD, Decision.ASK):
                    why = _reason(verdict.cause, said, found)
                    if verdict.cause is not Cause.TIMEOUT:  # that is no verdict on the release
                        tell(said or _word(WORDS[verdict.decision], self.who, why))
                    emit(CanaryEnded(verdict.decision.value, why))
                    return Ended(verdict.decision, why)
                if at is Time.TIMEOUT:
                    operator.inform(found)
                pause.sleep(INTERVAL, is_over)
        return None

    def _time(self, held: float) -> Time:
        if held < self.least:
            return Time.HOLD
        return Time.TIMEOUT if held < self.least + self.timeout else Time.OVER


class _Operator:
    """What operators say of canaries: on their hosts, or on the terminal of this run."""

    def __init__(self, hold: CanaryHold, number: int, tell: Tell, emit: Emit) -> None:
        self._hold, self._number, self._tell, self._emit = hold, number, tell, emit
        self._question: Question | None = None
        self._is_informed = False

    def said(self) -> Control | None:
        """Return what was said, if anything."""
        found = agreed([each.canary for each in self._tell(AskControls())], self._number)
        if found or not self._question or (typed := self._question.answer()) is None:
            return found
        if typed in ANSWERS:
            return _word(ANSWERS[typed], self._hold.who, "on the terminal")
        self._emit(Noted(f"answer y or n: {QUESTION}"))
        return None

    def inform(self, found: Mapping[str, CheckResult]) -> None:
        """Say once what is waited for, until when and what follows; ask, if there is a terminal."""
        if self._is_informed:
            return
        self._is_informed = True
        self._emit(Noted(_waits(self._hold, found)))
        if self._hold.rules.prompt and self._hold.ask:
            self._emit(Noted(QUESTION))
            self._question = self._hold.ask()


def _waits(hold: CanaryHold, found: Mapping[str, CheckResult]) -> str:
    """Return what a canary waits for after its hold, as a sentence."""
    until = datetime.now(UTC) + timedelta(seconds=hold.timeout)
    asks = "an operator decides" if hold.ask else "there is no terminal to ask on"
    reasons = (_not_passed(found), asks if hold.rules.prompt else "")
    return (
        f"the canary has been held, and {' and '.join(filter(None, reasons))}: it waits until"
        f" {until.isoformat(timespec='seconds')}, then it {hold.rules.on_timeout.value}; {HOW}"
    )


def _not_passed(found: Mapping[str, CheckResult]) -> str:
    """Return which checks have not passed, as a clause; "" if all have."""
    waited_for = [name for name, it in found.items() if it.outcome is not CheckOutcome.PASS]
    return f"these checks have not passed: {', '.join(waited_for)}" if waited_for else ""


def agreed(said: Sequence[Control | None], number: int) -> Control | None:
    """Return the word of operators that this number of canaries have; None for none.

    One that says abort is enough. To promote, all have to say so: a host may lie, and it decides on
    no other host. For the same reason only one short line of its text is passed on.
    """
    aborted = [each for each in said if each and each.what == ABORT]
    promoted = [each for each in said if each and each.what == PROMOTE]
    if not aborted and len(promoted) < number:
        return None
    word = (aborted or promoted)[0]
    return _word(word.what, one_line(word.who), one_line(word.why))


def _word(what: str, who: str, why: str = "") -> Control:
    return Control(what, who, datetime.now(UTC).isoformat(timespec="seconds"), why)


def _reported(
    now: dict[str, CheckResult], before: Mapping[str, CheckResult], emit: Emit
) -> dict[str, CheckResult]:
    """Report the checks whose outcomes have changed, from their first answer on."""
    for name, finding in now.items():
        known = before.get(name, NOT_ASKED)
        is_new = known is NOT_ASKED or known.outcome is not finding.outcome
        if is_new and finding is not NOT_ASKED:
            emit(CanaryChecked(name, finding.outcome.value, finding.detail))
    return now


def _reason(cause: Cause, said: Control | None, found: Mapping[str, CheckResult]) -> str:
    """Return why a hold has ended, as a clause."""
    if said is not None:
        verb = "promoted" if said.what == PROMOTE else "aborted"
        return f"the canary was {verb} by {said.who}" + (f": {said.why}" if said.why else "")
    failed = [(name, it) for name, it in found.items() if it.outcome is CheckOutcome.FAIL]
    for name, finding in failed:
        return f"the canary check {name} failed" + (f": {finding.detail}" if finding.detail else "")
    if cause is Cause.TIMEOUT:
        late = "nobody has decided on the canary in time"
        return ", and ".join(filter(None, (late, _not_passed(found))))
    return "its checks have passed" if found else "it was held as long as it had to be"
