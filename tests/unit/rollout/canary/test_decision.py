"""What becomes of a canary: the table of docs/rollout.md; and which results of a query pass."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shipit.rollout.canary.decision import (
    Cause,
    CheckOutcome,
    CheckResult,
    Decision,
    Limits,
    Rules,
    Time,
    Verdict,
    decide,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

GUIDE = Path(__file__).parents[4] / "docs" / "rollout.md"
HEAD = "| checks | time | operator |"
PASS, FAIL, UNKNOWN, ERROR = CheckOutcome
CHECKS: dict[str, Callable[[Collection[CheckOutcome]], bool]] = {
    "any": lambda _: True,
    "one fails": lambda outcomes: FAIL in outcomes,
    "all pass": lambda outcomes: set(outcomes) <= {PASS},
    "others": lambda _: True,  # of those that no row above has
}
TIMES = {"in the hold": Time.HOLD, "after the hold": Time.TIMEOUT, "too late": Time.OVER}
SAID = {"promotes": Decision.GO_ON, "aborts": Decision.ROLL_BACK, "-": None}
PROMPT = {"yes": True, "no": False}
ENDS = {"promote": Decision.GO_ON, "rollback": Decision.ROLL_BACK, "stop": Decision.STOP}


@dataclass(frozen=True)
class Case:
    outcomes: tuple[CheckOutcome, ...]
    time: Time
    said: Decision | None
    prompt: bool
    on_timeout: Decision

    def fits(self, row: tuple[str, ...]) -> bool:
        checks, time, operator, prompt, on_timeout, *_ = row
        return (
            CHECKS[checks](self.outcomes)
            and time in ("any", *(word for word, it in TIMES.items() if it is self.time))
            and (operator == "any" or SAID[operator] is self.said)
            and (prompt == "any" or PROMPT[prompt] is self.prompt)
            and (on_timeout == "any" or ENDS[on_timeout] is self.on_timeout)
        )


OUTCOMES = [each for size in range(3) for each in itertools.combinations(CheckOutcome, size)]
BOTH = (True, False)
CASES = [
    Case(*each) for each in itertools.product(OUTCOMES, Time, SAID.values(), BOTH, ENDS.values())
]


def rows() -> list[tuple[str, ...]]:
    _, _, table = GUIDE.read_text().partition(HEAD)
    lines = itertools.takewhile(lambda line: line.startswith("|"), table.splitlines()[2:])
    found = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert found
    return found


def row_of(case: Case) -> tuple[str, ...]:
    """Return the first row that fits: the table has every case."""
    return next(row for row in rows() if case.fits(row))


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_a_canary_ends_as_the_table_says(row: tuple[str, ...]) -> None:
    cases = [case for case in CASES if row_of(case) == row]
    assert cases, "no case is left for this row"
    for case in cases:
        rules = Rules(case.prompt, case.on_timeout)
        verdict = decide(case.outcomes, case.time, case.said, rules)
        assert verdict == Verdict(Decision(row[5]), Cause(row[6])), case


@pytest.mark.parametrize("ended", ENDS.values())
def test_checks_that_pass_do_not_answer_for_an_operator(ended: Decision) -> None:
    rules = Rules(prompt=True, on_timeout=ended)
    assert decide([PASS], Time.OVER, None, rules) == Verdict(ended, Cause.TIMEOUT)
    assert decide([PASS], Time.HOLD, None, rules).decision is Decision.HOLD


@pytest.mark.parametrize("outcome", [UNKNOWN, ERROR])
def test_what_is_not_known_never_rolls_back_unless_the_playbook_says_so(
    outcome: CheckOutcome,
) -> None:
    assert decide([outcome], Time.OVER, None, Rules()).decision is Decision.STOP
    for time, prompt in itertools.product((Time.HOLD, Time.TIMEOUT), (True, False)):
        decision = decide([outcome, PASS], time, None, Rules(prompt=prompt)).decision
        assert decision in (Decision.HOLD, Decision.ASK)


NAN, INFINITE = math.nan, math.inf


@pytest.mark.parametrize(
    ("result", "of_others", "limits", "outcome", "detail"),
    [
        (0.01, None, Limits(largest=0.01), PASS, "0.01"),
        (0.02, None, Limits(largest=0.01), FAIL, "0.02 is more than 0.01"),
        (0.9, None, Limits(smallest=0.99), FAIL, "0.9 is less than 0.99"),
        (0.99, None, Limits(smallest=0.99), PASS, "0.99"),
        (5, None, Limits(largest=6, smallest=4), PASS, "5"),
        (3, None, Limits(largest=6, smallest=4), FAIL, "3 is less than 4"),
        (7, None, Limits(largest=6, smallest=4), FAIL, "7 is more than 6"),
        (None, None, Limits(largest=1), UNKNOWN, "there is no data"),
        (NAN, None, Limits(largest=1), UNKNOWN, "the result is nan"),
        (INFINITE, None, Limits(largest=1), UNKNOWN, "the result is inf"),
        (3, 2, Limits(times=1.5), PASS, "3 is at most 1.5 times 2, that of the old release"),
        (3.1, 2, Limits(times=1.5), FAIL, "3.1 is more than 1.5 times 2, that of the old release"),
        (1, 0, Limits(times=2), FAIL, "1 is more than 2 times 0, that of the old release"),
        (0, 0, Limits(times=2), PASS, "0 is at most 2 times 0, that of the old release"),
        (1, 0, Limits(largest=1, times=2), PASS, "1"),  # too little to be compared
        (
            2,
            0,
            Limits(largest=1, times=2),
            FAIL,
            "2 is more than 2 times 0, that of the old release",
        ),
        (2, None, Limits(times=2), UNKNOWN, "there is no data for the hosts with the old release"),
        (2, NAN, Limits(times=2), UNKNOWN, "the result is nan for the hosts with the old release"),
    ],
)
def test_a_result_passes_within_its_limits(
    result: float | None,
    of_others: float | None,
    limits: Limits,
    outcome: CheckOutcome,
    detail: str,
) -> None:
    assert judge(result, of_others, limits) == CheckResult(outcome, detail)


def test_the_guide_has_all_outcomes() -> None:
    named = set(
        re.findall(r"^\| (pass|fail|inconclusive|error) \|", GUIDE.read_text(), re.MULTILINE)
    )
    assert named == {outcome.value for outcome in CheckOutcome}
