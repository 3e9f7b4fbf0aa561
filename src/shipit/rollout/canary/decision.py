"""Decide what becomes of a canary that is held, and of a result that was measured on it. Pure.

The table is in docs/rollout.md; a test is made from each of its rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

SHOWN = 300  # characters of what a host or a check says


class CheckOutcome(Enum):
    """How a check of a canary has ended, the last time that it was asked."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"  # it does not know
    ERROR = "error"  # it could not be asked


class Time(Enum):
    """How long a canary has been held."""

    HOLD = "hold"  # not as long as it has to be
    TIMEOUT = "timeout"  # long enough; it waits for checks, or for an operator
    OVER = "over"  # too long


class Decision(Enum):
    """What becomes of a canary."""

    HOLD = "stays held"
    ASK = "asks"  # stays held, and an operator is asked
    GO_ON = "goes on"
    STOP = "stops"  # it keeps the new release, and no other host follows
    ROLL_BACK = "rolls back"


class Cause(Enum):
    """What has decided on a canary."""

    NOTHING = "-"  # nothing yet
    OPERATOR = "an operator"
    FAILED = "a check has failed"
    PASSED = "all checks have passed"
    TIMEOUT = "the time is over"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a canary, and because of what."""

    decision: Decision
    cause: Cause = Cause.NOTHING


@dataclass(frozen=True)
class Rules:
    """What the playbook says of it.

    Attributes:
        prompt: whether an operator decides.
        on_timeout: what becomes of it if nothing was decided in time.
    """

    prompt: bool = False
    on_timeout: Decision = Decision.STOP


@dataclass(frozen=True)
class CheckResult:
    """The outcome of a check, and what it has found."""

    outcome: CheckOutcome
    detail: str = ""


@dataclass(frozen=True)
class Limits:
    """Which results of a query pass; see the keys of the playbook."""

    largest: float | None = None
    smallest: float | None = None
    times: float | None = None  # of the result of the hosts with the old release


def decide(
    outcomes: Collection[CheckOutcome], time: Time, said: Decision | None, rules: Rules
) -> Verdict:
    """Return what becomes of a canary.

    Args:
        outcomes: of its checks.
        time: how long it has been held.
        said: GO_ON or ROLL_BACK if an operator has promoted or aborted it.
        rules: of the playbook.
    """
    if said is not None:
        return Verdict(said, Cause.OPERATOR)
    if CheckOutcome.FAIL in outcomes:
        return Verdict(Decision.ROLL_BACK, Cause.FAILED)
    if time is Time.HOLD:
        return Verdict(Decision.HOLD)
    if not rules.prompt and set(outcomes) <= {CheckOutcome.PASS}:
        return Verdict(Decision.GO_ON, Cause.PASSED)
    if time is Time.OVER:
        return Verdict(rules.on_timeout, Cause.TIMEOUT)
    return Verdict(Decision.ASK if rules.prompt else Decision.HOLD)


# --- results of queries ------------------------------------------------------------------------


def judge(result: float | None, of_others: float | None, limits: Limits) -> CheckResult:
    """Return whether the result of the canaries passes; None is a query without data.

    `of_others` is the result of the hosts with the old release, where it is compared.
    """
    if result is None or not math.isfinite(result):
        return _unknown(result)
    if limits.smallest is not None and result < limits.smallest:
        return CheckResult(CheckOutcome.FAIL, f"{result:g} is less than {limits.smallest:g}")
    if limits.largest is None or result > limits.largest:
        if limits.times is not None:
            return _compared(result, of_others, limits.times)
        if limits.largest is not None:
            return CheckResult(CheckOutcome.FAIL, f"{result:g} is more than {limits.largest:g}")
    return CheckResult(CheckOutcome.PASS, f"{result:g}")


def _compared(result: float, of_others: float | None, times: float) -> CheckResult:
    if of_others is None or not math.isfinite(of_others):
        return _unknown(of_others, " for the hosts with the old release")
    compared = f"{times:g} times {of_others:g}, that of the old release"
    if result > times * of_others:
        return CheckResult(CheckOutcome.FAIL, f"{result:g} is more than {compared}")
    return CheckResult(CheckOutcome.PASS, f"{result:g} is at most {compared}")


def _unknown(result: float | None, whose: str = "") -> CheckResult:
    what = "there is no data" if result is None else f"the result is {result}"
    return CheckResult(CheckOutcome.INCONCLUSIVE, what + whose)


def one_line(text: str) -> str:
    """Return what a host or a check says as one line that is not long."""
    return " ".join(text.split())[:SHOWN]
