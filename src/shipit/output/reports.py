"""Lay out the answers of queries (plans, status, releases, findings).

Pure functions from results to lines and grids (layout), and to plain data for JSON. They never show
values of the environment: plans hold only the keys.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from shipit.agent.protocol.messages import History, Status
from shipit.events import Problem
from shipit.output import messages
from shipit.output.controls import report as controls
from shipit.output.layout import Grid, Line, Part
from shipit.release import repairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shipit.agent.protocol.answers import AttemptLine, WatchState
    from shipit.agent.protocol.balancers import Drained
    from shipit.commands.doctor import Finding
    from shipit.commands.init import File, Report
    from shipit.release.plan import HostPlan

_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_DIFF_STYLES = {"+": "good", "-": "bad", "@": "quiet"}


def plan_status(found: Sequence[tuple[str, Sequence[HostPlan]]], *, detailed: bool) -> int:
    """Return the exit status of a plan: 3 after problems; `detailed`: 6 for changes."""
    every = [plan for _, hosts in found for plan in hosts]
    if any(plan.problems for plan in every):
        return 3
    return 6 if detailed and any(plan.action.name != "NOTHING" for plan in every) else 0


def plans_data(found: Sequence[tuple[str, Sequence[HostPlan]]]) -> object:
    """Return plans for JSON: a list of deployments, each with its hosts by name."""
    return [{"app": app, "hosts": {plan.host: plan for plan in plans}} for app, plans in found]


def answers_data(found: Sequence[tuple[str, Mapping[str, object]]]) -> object:
    """Return the hosts' answers for JSON; one that could not be queried has a `problem`."""
    return [
        {"app": app, "hosts": {host: _answer_data(answer) for host, answer in hosts.items()}}
        for app, hosts in found
    ]


def _answer_data(answer: object) -> object:
    if isinstance(answer, Status):
        sentences = [drift.what for drift in answer.drift]
        drifts = [{**vars(drift), "hint": repairs.fix_for(drift)} for drift in answer.drift]
        return {**vars(answer), "drift": sentences, "drifts": drifts}
    return {"problem": answer} if isinstance(answer, Problem) else answer


# --- plan --------------------------------------------------------------------------------------


def plans(found: Sequence[tuple[str, Sequence[HostPlan]]], *, diff: bool) -> list[Part]:
    """Return what would change on each host; hosts with the same plan are listed together."""
    parts: list[Part] = []
    for app, hosts in found:
        alike: dict[HostPlan, list[HostPlan]] = {}
        for plan in hosts:
            unnamed = tuple(replace(problem, host="") for problem in plan.problems)
            alike.setdefault(replace(plan, host="", problems=unnamed), []).append(plan)
        for together in alike.values():
            parts += _plan(app, [each.host for each in together], together[0], diff=diff)
    return parts


def _plan(app: str, hosts: Sequence[str], plan: HostPlan, *, diff: bool) -> Iterator[Line]:
    style = "bad" if plan.problems else "quiet" if plan.action.name == "NOTHING" else "strong"
    yield Line(f"{app} on {messages.names(hosts)}: {_headline(plan)}", style)
    for label, items in _changes(plan).items():
        for number, item in enumerate(items):
            yield Line(f"  {label if number == 0 else '':10}{item}")
    for note in plan.notes:
        yield Line(f"  note: {note}", "warn")
    for problem in plan.problems:
        yield from (Line(f"  {text}", "bad") for text in messages.problem(problem, whole=True))
    if diff:
        texts = (text for change in plan.texts for text in change.diff.splitlines())
        yield from (Line(f"    {text}", _DIFF_STYLES.get(text[:1], "")) for text in texts)


def _headline(plan: HostPlan) -> str:
    runs = f"runs {plan.current}" if plan.current else "runs no release yet"
    if plan.problems and not plan.release:
        return f"no plan ({messages.count(len(plan.problems), 'problem')})"
    if plan.action.name == "NOTHING":
        return f"nothing to do, it runs {plan.release} already"
    if plan.repairs and plan.release == plan.current:
        return f"repair {plan.release}, which runs and has drifted"
    if plan.repairs:
        return f"rebuild {plan.release} ({runs}, which has drifted)"
    if plan.action.name == "SWITCH":
        return f"switch to {plan.release}, which is on the host already ({runs})"
    return f"deploy {plan.release} ({runs})"


def _changes(plan: HostPlan) -> dict[str, list[str]]:
    """Return the lines for each kind of change."""
    sends = f"{messages.count(len(plan.missing), 'wheel')}, {messages.size(plan.missing_bytes)}"
    pulls = f"{sends}, from {plan.pulled_from}" if plan.pulled_from else ""
    return {
        "repairs": [item.what for item in plan.repairs],
        "packages": [_package(item.name, item.old, item.new) for item in plan.packages],
        "texts": [f"{_MARKS[item.kind]} {item.path}" for item in plan.texts],
        "env": [f"{_MARKS[item.kind]} {item.service}: {item.key}" for item in plan.env],
        "serves": list(plan.served),
        "overlaps": [messages.names(plan.handovers, limit=20)] if plan.handovers else [],
        "drains": list(plan.drains),
        "restarts": [messages.names(plan.restarts, limit=20)] if plan.restarts else [],
        "canary": list(plan.canary),
        "migrates": list(plan.migration),
        "assets": list(plan.assets),
        "hooks": list(plan.hooks),
        "watches": [plan.watch] if plan.watch else [],
        "pulls": [pulls] if pulls else [],
        "sends": [sends] if plan.missing and not pulls else [],
    }


def _package(name: str, old: str, new: str) -> str:
    if not old:
        return f"+ {name} {new}"
    return f"~ {name} {old} -> {new}" if new else f"- {name} {old}"


# --- status and releases -----------------------------------------------------------------------


def status(found: Sequence[tuple[str, Mapping[str, Status | Problem]]]) -> list[Part]:
    """Return what runs on each host and since when; drift, locks and problems below the table."""
    parts: list[Part] = []
    for app, hosts in found:
        answers = {host: it for host, it in hosts.items() if isinstance(it, Status)}
        parts.append(Line(app, "strong"))
        if answers:
            rows = [_status_row(host, it) for host, it in answers.items()]
            styles = ["bad" if _is_worrying(it) else "" for it in answers.values()]
            parts.append(Grid(("host", "release", "since", "by", "units"), rows, styles))
        for host, answer in answers.items():
            parts += _details(host, answer)
        parts += _problems(hosts.values())
    return parts


def _status_row(host: str, answer: Status) -> tuple[str, ...]:
    numbers = Counter(unit.active for unit in answer.units)
    units = ", ".join(f"{number} {state}" for state, number in numbers.items()) or "-"
    return host, answer.release or "-", answer.since or "-", answer.who or "-", units


def _is_worrying(answer: Status) -> bool:
    failed = answer.watch is not None and answer.watch.needs_operator
    return bool(answer.stuck or answer.drift or answer.drained or failed)


def _details(host: str, answer: Status) -> Iterator[Line]:
    if answer.stuck:
        yield Line(f"{host}: stuck: {answer.stuck}", "bad")
    yield from _drained(host, answer.drained)
    for drift in answer.drift:
        yield Line(f"{host}: drift: {drift.what}", "bad")
    for fix_for in dict.fromkeys(map(repairs.fix_for, answer.drift)):
        yield Line(f"{host}: next: {fix_for}", "strong")
    for unit in answer.units:
        if unit.restarts or unit.active.startswith("failed"):
            again = f", {messages.count(unit.restarts, 'restart')}" if unit.restarts else ""
            yield Line(f"{host}: {unit.name} is {unit.active} since {unit.since}{again}", "warn")
    yield from _watch(host, answer.watch)
    yield from controls.standing(host, answer.holds, answer.pause, answer.canary)
    if answer.holder:
        yield Line(f"{host}: {messages.lock_owner(answer.holder)}")


def _watch(host: str, watch: WatchState | None) -> Iterator[Line]:
    """Yield what the host's watch has found of the release, and what it has done."""
    if watch is None:
        return
    if watch.left:
        yield Line(f"{host}: rolled back by the host: {watch.left}", "bad")
    if watch.until and watch.runs:
        yield Line(f"{host}: watched until {watch.ended or watch.until}", "quiet")
    if not watch.runs:
        yield Line(f"{host}: its watch does not run: see systemctl status {watch.unit}", "bad")
    if not watch.checked:
        yield Line(f"{host}: not checked yet since the host has booted", "warn")
    if found := watch.found:
        since = f"from {found.since} to {found.until}" if found.until else f"since {found.since}"
        when = f"{since}, after a boot" if found.at_boot else since
        what = f"{when}: {found.what}"
        failed = Problem(host, found.code, what, "watch", found.hint, found.evidence)
        style = "warn" if found.until else "bad"
        yield from (Line(text, style) for text in messages.problem(failed))
        yield Line(f"{host}: {watch.done}", style)
    is_left = watch.is_ill and watch.ended
    if is_left:
        yield Line(f"{host}: it was failing when its watch ended, at {watch.ended}", "bad")
    if is_left or not watch.runs:
        fix = f"on the host: systemctl restart {watch.unit}, which looks at it again"
        yield Line(f"{host}: next: {fix}", "strong")


def _drained(host: str, drained: Drained | None) -> Iterator[Line]:
    if drained is None:
        return
    by = f"{drained.what} by {drained.who} ({drained.txn})"
    yield Line(f"{host}: out of its load balancer since {drained.since or '?'}: {by}", "bad")
    if drained.problem:
        yield Line(f"{host}: it could not be put back: {drained.problem}", "bad")
        yield Line(f"{host}: next: fix that; any deploy or rollback tries again", "strong")
    else:
        yield Line(f"{host}: next: deploy or roll back to a release that is healthy", "strong")


def releases(found: Sequence[tuple[str, Mapping[str, History | Problem]]]) -> list[Part]:
    """Return every attempt on each host, the newest last, with its reason and failure."""
    parts: list[Part] = []
    for app, hosts in found:
        past = [
            (host, attempt)
            for host, answer in hosts.items()
            if isinstance(answer, History)
            for attempt in answer.attempts
        ]
        rows = [_attempt_row(host, attempt) for host, attempt in past]
        styles = [_attempt_style(attempt) for _, attempt in past]
        headings = ("host", "at", "what", "release", "outcome", "by", "now", "why")
        parts.append(Line(app, "strong"))
        parts.append(Grid(headings, rows, styles) if rows else Line("no releases yet"))
        parts += _problems(hosts.values())
    return parts


def _attempt_row(host: str, past: AttemptLine) -> tuple[str, ...]:
    now = "running" if past.running else "kept" if past.present else "removed"
    signed = f"signed by {past.signed_by}" if past.signed_by else ""
    overrode = f"overrode: {', '.join(past.overrides)}" if past.overrides else ""
    why = (
        "; ".join(filter(None, (past.reason, overrode, signed, *past.failure.splitlines()[:1])))
        or "-"
    )
    return (
        host,
        past.at,
        past.what,
        past.release,
        past.outcome.replace("_", " "),
        past.who,
        now,
        why,
    )


def _attempt_style(past: AttemptLine) -> str:
    if past.running:
        return "good"
    if past.outcome == "stuck":
        return "bad"
    return "" if past.present else "quiet"


def _problems(answers: Iterable[object]) -> Iterator[Line]:
    for answer in answers:
        if isinstance(answer, Problem):
            yield from (Line(text, "bad") for text in messages.problem(answer))


def query_status(found: Sequence[tuple[str, Mapping[str, object]]]) -> int:
    """Return the exit status of a query: 5 if a host needs an operator, 3 if one can't be asked."""
    answers = [answer for _, hosts in found for answer in hosts.values()]
    if any(isinstance(answer, Status) and _is_worrying(answer) for answer in answers):
        return 5
    return 3 if any(isinstance(answer, Problem) for answer in answers) else 0


# --- doctor ------------------------------------------------------------------------------------


def findings(found: Sequence[Finding]) -> list[Part]:
    """Return all checks, and how to fix each failed one."""
    rows = [("ok" if it.ok else "BAD", it.host or "-", it.title, it.detail) for it in found]
    styles = ["" if it.ok else "bad" for it in found]
    bad = [it for it in found if not it.ok]
    fixes = [
        Line(": ".join(filter(None, (it.host, it.title, it.mend))), "strong")
        for it in bad
        if it.mend
    ]
    last = f"{messages.count(len(bad), 'finding')} to fix" if bad else "everything is ready"
    grid = [Grid(("", "host", "what", "detail"), rows, styles)] if rows else []
    return [*grid, *fixes, Line(last, "bad" if bad else "good")]


# --- init --------------------------------------------------------------------------------------


def project_setup(found: Report) -> list[Part]:
    """Return each guess with its source, what became of each file, and what to do next."""
    parts: list[Part] = [Line(str(guess)) for guess in found.guesses]
    parts += [Line(f"note: {note}", "warn") for note in found.notes]
    parts += [line for file in found.files for line in _file(file)]
    return [*parts, *(Line(f"next: {text}", "strong") for text in found.todo)]


def _file(file: File) -> Iterator[Line]:
    name, state = file.path, file.state.value
    if state == "kept":
        yield Line(f"kept {name}, which exists: nothing is overwritten", "warn")
    elif state == "planned":
        yield Line(f"would write {name}:", "strong")
        yield from (Line(f"  {text}") for text in file.text.splitlines())
    elif name == ".gitignore":
        yield Line(f"added to {name}: {' '.join(file.text.split())}", "good")
    else:
        yield Line(f"wrote {name}", "good")
