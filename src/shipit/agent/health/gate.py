"""Check that a release is healthy before it is committed: its units steady, its checks good.

It passes when everything has been good without a break for `min_healthy` seconds; a good streak
that has begun before the deadline may end after it. A unit that failed or restarted fails the
gate at once; an answer that only another configuration changes, such as a redirect, fails it after
a while. Checks every 10 ms at first, then ever more slowly, up to the interval.

A view of the units costs a process, a refused connection nothing: while a service still starts, the
checks are tried more often than the units are viewed. Nothing counts as good without a new view.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from ..host import commands
from ..host.answer import Answer
from ..host.host import Host, UnitView
from ..protocol.manifest import Check, Gate, Manifest
from ..protocol.messages import Failure, Probed
from ..records.redactor import Redactor
from ..system.failures import Refused
from ..system.paths import Paths
from . import evidence
from .advice import advice, is_lasting
from .expected import judge

FIRST_PAUSE = 0.01  # seconds
LAST_ATTEMPT = 1.0  # seconds
GROWTH = 1.5
UNITS_PAUSE = 0.25  # seconds between views of steady units whose checks fail
LASTING = 10.0  # seconds of the same lasting answer after which a check fails
SHOWN = 500  # characters of an answer in a report
STEP = "check"

Emit = Callable[[Any], None]
Interrupted = Callable[[], Optional[Failure]]


@dataclass(frozen=True)
class GateState:
    """The result of one check; good if `wrong` is empty."""

    check: str = ""
    wrong: str = ""
    answer: bytes = b""
    fatal: bool = False
    lasting: bool = False  # waiting will not change it
    hint: str = ""
    ill: Tuple[UnitView, ...] = ()
    steady: Tuple[int, ...] = ()  # main pids of the watched units


@dataclass(frozen=True)
class Context:
    """The release under check."""

    paths: Paths
    manifest: Manifest
    since: float  # when it was started, seconds since the epoch
    views: Dict[str, UnitView]  # its units as they were started


@dataclass
class _Streak:
    """How long everything has been good without a break."""

    gate: Gate
    began: float
    now: float
    good_since: Optional[float] = None
    steady: Tuple[int, ...] = ()
    wrong: str = ""  # the last lasting error,
    wrong_since: float = 0.0  # and its beginning
    attempts: int = 0
    reported: Dict[str, str] = field(default_factory=dict)
    units: GateState = GateState()  # as last viewed,
    viewed_at: float = float("-inf")  # and when

    def may_keep_view(self, now: float) -> bool:
        """Whether the last view of the units is enough to try the checks once more."""
        was_good = self.good_since is None and not self.units.wrong
        return was_good and now - self.viewed_at < UNITS_PAUSE

    def add(self, finding: GateState, now: float) -> None:
        self.now, self.attempts = now, self.attempts + 1
        if finding.wrong:
            self.good_since = None
        elif self.good_since is None or self.steady != finding.steady:
            self.good_since = now
        self.steady = finding.steady
        lasting = finding.wrong if finding.lasting else ""
        if lasting != self.wrong:
            self.wrong, self.wrong_since = lasting, now

    @property
    def good_for(self) -> float:
        """Seconds; negative if the last check was not good."""
        return -1.0 if self.good_since is None else self.now - self.good_since

    @property
    def is_over(self) -> bool:
        """Whether to give up waiting for an unhealthy release."""
        too_late = self.good_since is None and self.now - self.began >= self.gate.deadline
        return too_late or (bool(self.wrong) and self.now - self.wrong_since >= LASTING)

    def left(self, now: float) -> float:
        """Return the seconds for an attempt: one just before the deadline needs some, too."""
        if self.good_since is not None:
            return float("inf")
        return max(LAST_ATTEMPT, self.gate.deadline - (now - self.began))

    @property
    def tries(self) -> str:
        return f"{self.attempts} attempts in {self.now - self.began:.1f} s"

    def shortened(self, pause: float) -> float:
        """Return a pause that does not end after the streak has been long enough."""
        if self.good_since is None:
            return pause
        return max(0.001, min(pause, self.gate.min_healthy - self.good_for))


def context(
    paths: Paths, host: Host, manifest: Manifest, since: float, before: Mapping[str, str]
) -> Context:
    """Record how the release's units run now: a later start of one is a restart.

    `since`: where their logs begin. `before`: the invocations of the units that ran before the
    switch; a unit that still has the same one was not restarted by it, any other one has no
    restarts yet.
    """
    views = host.show([unit.name for unit in manifest.units if unit.start])
    stayed = {
        name
        for name, view in views.items()
        if view.invocation and view.invocation == before.get(name)
    }
    return Context(
        paths,
        manifest,
        since,
        {name: v if name in stayed else replace(v, restarts=0) for name, v in views.items()},
    )


def run(host: Host, of: Context, emit: Emit, interrupted: Interrupted) -> Optional[Failure]:
    """Wait until the release is healthy; return why it is not, or None.

    Calls `interrupted` at every check, and returns its failure.
    """
    wanted, pause = of.manifest.gate, FIRST_PAUSE
    streak = _Streak(wanted, host.now(), host.now())
    while True:
        if stopped := interrupted():
            return stopped
        finding = _observe(host, of, streak, emit)
        streak.add(finding, host.now())
        if streak.good_for >= wanted.min_healthy:
            # A check may have waited for a dead service that its socket started again.
            finding = _units(host, of)
            if not finding.wrong:
                return None
            streak.good_since = None
        if finding.fatal or streak.is_over:
            # The check may have waited for a unit that has failed meanwhile.
            ill = finding if finding.ill else _units(host, of)
            return failure_of(host, of, ill if ill.wrong else finding, streak.tries)
        host.sleep(streak.shortened(pause))
        pause = max(FIRST_PAUSE, min(pause * GROWTH, wanted.interval))


def check_units(host: Host, of: Context) -> Optional[Failure]:
    """Return why the units are no longer healthy, or None. For use after the gate has passed."""
    finding = _units(host, of)
    return failure_of(host, of, finding, "seen once") if finding.fatal else None


def look(host: Host, of: Context) -> Tuple[GateState, Context]:
    """Look once, with one attempt of each check; return the result, and what to look at next.

    A unit that was started again since the last look is wrong in this one, not in the next.

    Raises:
        Refused: systemd does not answer.
    """
    views = host.show([unit.name for unit in of.manifest.units if unit.start])
    finding = _judged(of, views)
    if not finding.wrong:
        streak = _Streak(of.manifest.gate, host.now(), host.now())
        finding = _ask_all(host, of, streak, lambda _: None) or finding
    return finding, replace(of, views=views)


def _observe(host: Host, of: Context, streak: _Streak, emit: Emit) -> GateState:
    now = host.now()
    has_old_view = streak.may_keep_view(now)
    if not has_old_view:
        streak.units, streak.viewed_at = _units(host, of), now
    if streak.units.wrong:
        return streak.units
    wrong = _ask_all(host, of, streak, emit)
    if wrong is not None:
        return wrong
    if has_old_view:
        streak.units, streak.viewed_at = _units(host, of), now
    return streak.units


def _ask_all(host: Host, of: Context, streak: _Streak, emit: Emit) -> Optional[GateState]:
    """Make one attempt of each check, up to the first wrong one, and return that."""
    left = streak.left(host.now())
    for check in of.manifest.gate.checks:
        name = described(check)
        answer = ask(host, of, check, min(check.timeout, left))
        wrong, hint = judge(check, answer)[:SHOWN], advice(check, answer)[:SHOWN]
        if streak.reported.get(name) != wrong:
            streak.reported[name] = wrong
            emit(Probed(name, not wrong, "; ".join(filter(None, [wrong, hint]))))
        if wrong:
            return GateState(name, wrong, answer.body, lasting=is_lasting(check, answer), hint=hint)
    return None


# --- units -------------------------------------------------------------------------------------


def _units(host: Host, of: Context) -> GateState:
    """Check all units."""
    try:
        views = host.show([unit.name for unit in of.manifest.units if unit.start])
    except Refused as refused:  # systemd may be re-executing: check again
        return GateState("systemd", refused.failure.what)
    return _judged(of, views)


def _judged(of: Context, views: Mapping[str, UnitView]) -> GateState:
    """Judge the views of all units; of several unhealthy ones, report a service first."""
    started = [unit for unit in of.manifest.units if unit.start]
    fatal: List[Tuple[UnitView, str]] = []
    waiting: List[Tuple[UnitView, str]] = []
    for unit in sorted(started, key=lambda unit: not unit.watched):
        view = views[unit.name]
        wrong, is_fatal = _unit_wrong(view, of.views[unit.name], watched=unit.watched)
        if wrong:
            (fatal if is_fatal else waiting).append((view, wrong))
    for view, wrong in fatal or waiting:
        ill = tuple(each for each, _ in fatal or waiting)
        return GateState(f"unit {view.name}", wrong, fatal=bool(fatal), ill=ill)
    watched = [unit.name for unit in started if unit.watched]
    return GateState(steady=tuple(views[name].main_pid for name in watched))


def _unit_wrong(view: UnitView, first: UnitView, *, watched: bool) -> Tuple[str, bool]:
    """Return what is wrong with a unit, and whether waiting can't fix it."""
    if view.active == "failed":
        return "it failed", True
    if not watched:
        asleep = view.name.endswith(".service") and view.active == "inactive"
        good = view.is_active or asleep  # a oneshot service has finished
        return ("", False) if good else (f"it is {view.active}", view.active == "inactive")
    if (view.restarts, view.invocation) != (first.restarts, first.invocation):
        return "it ended and was started again", True
    if view.active == "inactive":
        return "it ended by itself", True
    if view.is_active and view.sub == "running" and view.main_pid:
        return "", False
    return f"it is {view.active} ({view.sub}), expected active (running)", False


# --- checks ------------------------------------------------------------------------------------


def described(check: Check) -> str:
    """Return a check in words."""
    name = (check.headers or {}).get("Host", "")
    asked = f" (Host: {name})" if name else ""
    return f"{'GET' if check.kind == 'http' else check.kind} {check.target}{asked}"


def ask(host: Host, of: Context, check: Check, timeout: float) -> Answer:
    """Make one attempt of a check."""
    if check.command:
        done = commands.run(of.paths, host, of.manifest, check.command, timeout)
        if done.timed_out or done.lost:
            return Answer(error=done.end(timeout))
        return Answer(status=done.status, body=done.output.encode())
    if check.url:
        via = check.via or check.socket
        return host.http(check.url, timeout=timeout, via=via, headers=check.headers)
    if check.kind == "unix":
        return host.unix(check.via or check.socket, timeout=timeout)
    if check.kind == "tcp":
        address, _, port = (check.via or f"{check.host}:{check.port}").rpartition(":")
        return host.tcp(address.strip("[]"), int(port), timeout=timeout)
    raise ValueError(f"no attempt is known for a check of the kind {check.kind}")


# --- the report --------------------------------------------------------------------------------


def failure_of(host: Host, of: Context, finding: GateState, tries: str) -> Failure:
    """Return why the gate has failed; secrets in the answer are masked before it is cut."""
    watched = [unit.name for unit in of.manifest.units if unit.watched]
    ill = finding.ill or tuple(host.show(watched).values())
    answer = Redactor(of.paths).text(finding.answer.decode("utf-8", "replace"))[:SHOWN]
    what = evidence.described(ill[0]) if finding.ill else f"{finding.check}: {finding.wrong}"
    logs = evidence.of_units(of.paths, host, ill, of.since)
    whole = f"the whole log: {evidence.where(ill[0].name)}" if ill else ""
    return Failure(
        "unit-failed" if finding.ill else "check-failed",
        evidence.with_exception(f"{what} ({tries})", logs),
        STEP,
        hint=finding.hint or evidence.advice(logs) or whole,
        evidence="\n".join(filter(None, [answer and f"last answer: {answer}", logs])).strip(),
    )
