"""Ask the checks of a canary, each at its own interval and in its own thread.

They hold nothing up: one that hangs has the outcome of an error, and the last answer of one that
is over its time does not count any more.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

from shipit.playbook.fleet.canaries import HOSTS
from shipit.rollout.canary.decision import CheckOutcome, CheckResult, Limits, judge, one_line
from shipit.rollout.controller import command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from shipit.playbook.canary.models import CanaryCheck
    from shipit.secrets import Mask, Secret

GRACE = 5.0  # seconds over its time after which a check counts as hanging
LEAVING = 1.0  # seconds in which all checks are to end; a rollback may wait for that
# As of plugins of Nagios; others are errors.
STATUSES = {
    0: CheckOutcome.PASS,
    1: CheckOutcome.FAIL,
    2: CheckOutcome.FAIL,
    3: CheckOutcome.INCONCLUSIVE,
}
NOT_ASKED = CheckResult(CheckOutcome.INCONCLUSIVE, "not asked yet")


@dataclass(frozen=True)
class Held:
    """The canaries, and the hosts that run the old release meanwhile."""

    canaries: tuple[str, ...]
    others: tuple[str, ...] = ()


class Check(Protocol):
    """What can be asked about a canary; times are in seconds."""

    @property
    def name(self) -> str: ...
    @property
    def interval(self) -> float: ...
    @property
    def longest(self) -> float: ...
    def ask(self, held: Held, is_stopped: Callable[[], bool]) -> CheckResult: ...


@dataclass(frozen=True)
class CommandCheck:
    """A command on the controller; its exit status is the outcome."""

    written: CanaryCheck
    name: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def interval(self) -> float:
        return self.written.interval

    @property
    def longest(self) -> float:
        return self.written.timeout + command.KILLED

    def ask(self, held: Held, is_stopped: Callable[[], bool]) -> CheckResult:
        hosts = {"SHIPIT_CANARY": held.canaries, "SHIPIT_OTHERS": held.others}
        ours = command.fitting({key: " ".join(names) for key, names in hosts.items()})
        environment = {**self.environment, **ours}
        wanted = command.Command(
            self.written.command, self.folder, environment, self.written.timeout
        )
        said: list[str] = []
        ended = command.run(wanted, command.Lines(said.append), is_stopped)
        outcome = STATUSES.get(-1 if ended.status is None else ended.status, CheckOutcome.ERROR)
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        wrong = ended.wrong if outcome is CheckOutcome.ERROR else ""
        return CheckResult(outcome, ": ".join(filter(None, (wrong, last))))


@dataclass(frozen=True)
class QueryCheck:
    """A query of a Prometheus; its result is judged by limits."""

    written: CanaryCheck
    name: str
    token: Secret | None = None

    @property
    def interval(self) -> float:
        return self.written.interval

    @property
    def longest(self) -> float:
        return 2 * self.written.timeout

    def ask(self, held: Held, _is_stopped: Callable[[], bool]) -> CheckResult:
        # Late: it loads ssl, and every command of shipit imports this module.
        from shipit.rollout.controller import prometheus  # noqa: PLC0415

        written, others = self.written, None
        limits = Limits(written.max, written.min, written.at_most_times)

        def result_of(hosts: Sequence[str]) -> float | None:
            query = written.query.replace(HOSTS, pattern(hosts))
            return prometheus.ask(written.prometheus, query, self.token, written.timeout)

        try:
            result = result_of(held.canaries)
            if limits.times is not None and held.others:
                others = result_of(held.others)
        except prometheus.MetricsError as error:
            return CheckResult(CheckOutcome.ERROR, f"{written.prometheus}: {error}")
        return judge(result, others, limits)


def pattern(hosts: Sequence[str]) -> str:
    """Return the regular expression of these names, without what PromQL's quotes would change."""
    return "|".join(re.sub(r"[^\w:-]", lambda it: "[.]" if it[0] == "." else ".", h) for h in hosts)


def load(
    written: Sequence[CanaryCheck],
    tokens: Mapping[int, Secret],
    folder: Path,
    environment: Mapping[str, str],
) -> tuple[Check, ...]:
    """Return the checks of a playbook; `tokens` by their index."""
    names = [check.name for check in written]
    found: list[Check] = []
    for index, check in enumerate(written):
        name = check.name if names.count(check.name) == 1 else f"{check.name} ({index + 1})"
        if check.command:
            found.append(CommandCheck(check, name, folder, environment))
        else:
            found.append(QueryCheck(check, name, tokens.get(index)))
    return tuple(found)


class Asking:
    """Asks checks from its beginning to its end.

    What a check says is masked and cut here: it reaches the hosts' histories, which all may read.
    """

    def __init__(self, checks: Sequence[Check], held: Held, mask: Mask) -> None:
        self._held, self._mask, self._over = held, mask, threading.Event()
        self._found: dict[str, CheckResult] = {check.name: NOT_ASKED for check in checks}
        self._due: dict[str, float] = {}  # until when the present question has an answer
        self._threads = [
            threading.Thread(
                target=self._run, args=(check,), name=f"check {check.name}", daemon=True
            )
            for check in checks
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._over.set()
        deadline = time.monotonic() + LEAVING
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def results(self) -> dict[str, CheckResult]:
        """Return the last finding of each check."""
        late = {name for name, due in self._due.copy().items() if time.monotonic() > due}
        return {
            name: CheckResult(CheckOutcome.ERROR, "it has not answered in time")
            if name in late
            else found
            for name, found in self._found.items()
        }

    def _run(self, check: Check) -> None:
        while not self._over.is_set():
            self._due[check.name] = time.monotonic() + check.longest + GRACE
            try:
                found = check.ask(self._held, self._over.is_set)
            except Exception as error:  # noqa: BLE001 - the edge of a check: nothing is known then
                found = CheckResult(CheckOutcome.ERROR, f"shipit failed on its answer: {error!r}")
            shown = one_line(self._mask.cut(found.detail))
            self._found[check.name] = replace(found, detail=shown)
            del self._due[check.name]
            self._over.wait(check.interval)
