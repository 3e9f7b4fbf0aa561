"""Lay out the answers of queries (plans, status, releases, findings) and the end of a run.

Pure functions from results to lines and grids (layout), and to plain data for JSON. They never show
values of the environment: plans hold only the keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, cast

from shipit.agent.protocol.messages import History, Status
from shipit.events import Outcome, PlaybookEnded, Problem, RunEnded
from shipit.output import messages
from shipit.output.layout import Grid, Line, Part
from shipit.release import repairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shipit.agent.protocol.answers import AttemptLine
    from shipit.commands.doctor import Finding
    from shipit.output.progress import Row
    from shipit.release.plan import HostPlan

FULL_TABLE = 40  # hosts; of a larger fleet, the end of a run lists only the unwanted outcomes
_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_DIFF_STYLES = {"+": "good", "-": "bad", "@": "quiet"}


def plain_data(value: object) -> object:
    """Convert dataclasses, enums and tuples to JSON types."""
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain_data(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(item) for item in value]
    return value


def plans_data(found: Sequence[tuple[str, Sequence[HostPlan]]]) -> object:
    """Return plans as plain data: a list of deployments, each with its hosts by name."""
    return [
        {"app": app, "hosts": {plan.host: plain_data(plan) for plan in hosts}}
        for app, hosts in found
    ]


def answers_data(found: Sequence[tuple[str, Mapping[str, object]]]) -> object:
    """Return the hosts' answers as plain data; one that could not be queried has a `problem`."""
    return [
        {"app": app, "hosts": {host: _answer_data(answer) for host, answer in hosts.items()}}
        for app, hosts in found
    ]


def _answer_data(answer: object) -> object:
    data = plain_data(answer)
    if isinstance(answer, Status):
        return {**cast("dict[str, object]", data), **_drift_data(answer)}
    return {"problem": data} if isinstance(answer, Problem) else data


def _drift_data(answer: Status) -> dict[str, object]:
    """Return drift as sentences, and with codes for programs."""
    each = [
        {"code": it.code, "path": it.path, "what": it.what, "hint": repairs.fix_for(it)}
        for it in answer.drift
    ]
    return {"drift": [it.what for it in answer.drift], "drifts": each}


# --- the end of a run --------------------------------------------------------------------------


def ending(ended: RunEnded, rows: Mapping[str, Row]) -> list[Part]:
    """Return the table of hosts, one line on each failure, and a one-sentence summary."""
    wanted = {host for host, result in ended.hosts.items() if result.outcome.is_wanted}
    shown = [
        (host, result)
        for host, result in ended.hosts.items()
        if host not in wanted or len(ended.hosts) <= FULL_TABLE
    ]
    cells = tuple(
        (
            host,
            result.outcome.value,
            result.release or "-",
            messages.seconds(rows[host].seconds) if host in rows else "-",
        )
        for host, result in shown
    )
    styles = tuple(_outcome_style(result.outcome) for _, result in shown)
    grid = [Grid(("host", "outcome", "release", "time"), cells, styles)] if cells else []
    left_out = len(ended.hosts) - len(shown)
    more = [Line(f"and {messages.count(left_out, 'host')} as wanted", "quiet")] if left_out else []
    unwanted = [
        Line(messages.host_summary(host, result), _outcome_style(result.outcome))
        for host, result in ended.hosts.items()
        if result.outcome.needs_operator or (host not in wanted and result.problem)
    ]
    return [Line(""), *grid, *more, *unwanted, *_sentence(ended)]


def playbook_ending(ended: PlaybookEnded) -> list[Part]:
    """Return the last line of a run of several deployments."""
    style = "good" if ended.exit_status == 0 else "bad"
    return [Line(messages.playbook_verdict(ended), style)]


def _sentence(ended: RunEnded) -> list[Line]:
    took = f" ({messages.seconds(ended.seconds)})" if ended.seconds else ""
    style = "good" if ended.exit_status == 0 else "bad"
    advice = [Line(f"next: {ended.advice}", "strong")] if ended.advice else []
    return [Line(messages.verdict(ended) + took, style), *advice]


def _outcome_style(outcome: Outcome) -> str:
    if outcome.is_wanted:
        return "good"
    return "bad" if outcome.needs_operator else "warn"


# --- plan --------------------------------------------------------------------------------------


def plans(found: Sequence[tuple[str, Sequence[HostPlan]]], *, diff: bool) -> list[Part]:
    """Return what would change on each host; hosts with the same plan are listed together."""
    parts: list[Part] = []
    for app, hosts in found:
        alike: dict[object, list[str]] = {}
        for plan in hosts:
            alike.setdefault(repr(_anonymous(plan)), []).append(plan.host)
        by_name = {plan.host: plan for plan in hosts}
        for together in alike.values():
            parts += _plan(app, together, by_name[together[0]], diff=diff)
    return parts


def _anonymous(plan: HostPlan) -> HostPlan:
    """Return the plan without the host's name, so that equal plans compare equal."""
    unnamed = tuple(replace(problem, host="") for problem in plan.problems)
    return replace(plan, host="", problems=unnamed)


def _plan(app: str, hosts: list[str], plan: HostPlan, *, diff: bool) -> Iterator[Part]:
    style = "bad" if plan.problems else "quiet" if plan.action.name == "NOTHING" else "strong"
    yield Line(f"{app} on {messages.names(hosts)}: {_headline(plan)}", style)
    for label, items in _changes(plan):
        for number, item in enumerate(items):
            yield Line(f"  {label if number == 0 else '':10}{item}")
    for note in plan.notes:
        yield Line(f"  note: {note}", "warn")
    for problem in plan.problems:
        yield from (Line(f"  {text}", "bad") for text in messages.problem(problem, whole=True))
    if diff:
        for change in plan.texts:
            yield from _diff(change.diff)


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


def _changes(plan: HostPlan) -> Iterator[tuple[str, list[str]]]:
    yield "repairs", [item.what for item in plan.repairs]
    yield "packages", [_package(item.name, item.old, item.new) for item in plan.packages]
    yield "texts", [f"{_MARKS[item.kind]} {item.path}" for item in plan.texts]
    yield "env", [f"{_MARKS[item.kind]} {item.service}: {item.key}" for item in plan.env]
    yield "overlaps", [messages.names(plan.handovers, limit=20)] if plan.handovers else []
    yield "restarts", [messages.names(plan.restarts, limit=20)] if plan.restarts else []
    if plan.missing:
        wheels = messages.count(len(plan.missing), "wheel")
        yield "sends", [f"{wheels}, {messages.size(plan.missing_bytes)}"]


def _package(name: str, old: str, new: str) -> str:
    if not old:
        return f"+ {name} {new}"
    return f"~ {name} {old} -> {new}" if new else f"- {name} {old}"


def _diff(text: str) -> Iterator[Line]:
    for line in text.splitlines():
        yield Line(f"    {line}", _DIFF_STYLES.get(line[:1], ""))


# --- status and releases -----------------------------------------------------------------------


def status(found: Sequence[tuple[str, Mapping[str, Status | Problem]]]) -> list[Part]:
    """Return what runs on each host and since when; drift, locks and problems below the table."""
    parts: list[Part] = []
    for app, hosts in found:
        answers = {host: it for host, it in hosts.items() if isinstance(it, Status)}
        rows = tuple(_status_row(host, it) for host, it in answers.items())
        styles = tuple("bad" if _is_worrying(it) else "" for it in answers.values())
        parts.append(Line(app, "strong"))
        if rows:
            parts.append(Grid(("host", "release", "since", "by", "units"), rows, styles))
        for host, answer in answers.items():
            parts += _details(host, answer)
        parts += _problems(hosts.values())
    return parts


def _status_row(host: str, answer: Status) -> tuple[str, ...]:
    numbers: dict[str, int] = {}
    for unit in answer.units:
        numbers[unit.active] = numbers.get(unit.active, 0) + 1
    units = ", ".join(f"{number} {state}" for state, number in numbers.items()) or "-"
    return host, answer.release or "-", answer.since or "-", answer.who or "-", units


def _is_worrying(answer: Status) -> bool:
    return bool(answer.stuck or answer.drift)


def _details(host: str, answer: Status) -> Iterator[Line]:
    if answer.stuck:
        yield Line(f"{host}: stuck: {answer.stuck}", "bad")
    for drift in answer.drift:
        yield Line(f"{host}: drift: {drift.what}", "bad")
    for fix_for in dict.fromkeys(map(repairs.fix_for, answer.drift)):
        yield Line(f"{host}: next: {fix_for}", "strong")
    for unit in answer.units:
        if unit.restarts or unit.active.startswith("failed"):
            again = f", {messages.count(unit.restarts, 'restart')}" if unit.restarts else ""
            yield Line(f"{host}: {unit.name} is {unit.active} since {unit.since}{again}", "warn")
    if answer.holder:
        yield Line(f"{host}: {messages.lock_owner(answer.holder)}")


def releases(found: Sequence[tuple[str, Mapping[str, History | Problem]]]) -> list[Part]:
    """Return every attempt on each host, the newest last, with its reason and failure."""
    parts: list[Part] = []
    for app, hosts in found:
        past = [
            (host, attempt)
            for host, answer in hosts.items()
            for attempt in (answer.attempts if isinstance(answer, History) else ())
        ]
        rows = tuple(_attempt_row(host, attempt) for host, attempt in past)
        styles = tuple(_attempt_style(attempt) for _, attempt in past)
        headings = ("host", "at", "what", "release", "outcome", "by", "now", "why")
        parts.append(Line(app, "strong"))
        parts.append(Grid(headings, rows, styles) if rows else Line("no releases yet"))
        parts += _problems(hosts.values())
    return parts


def _attempt_row(host: str, past: AttemptLine) -> tuple[str, ...]:
    now = "running" if past.running else "kept" if past.present else "removed"
    failure = past.failure.splitlines()[0] if past.failure else ""
    why = "; ".join(filter(None, (past.reason, failure))) or "-"
    return host, past.at, past.what, past.release, past.outcome, past.who, now, why


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
    rows = tuple(("ok" if it.ok else "BAD", it.host or "-", it.title, it.detail) for it in found)
    styles = tuple("" if it.ok else "bad" for it in found)
    bad = [it for it in found if not it.ok]
    fixes = [
        Line(f"{it.host + ': ' if it.host else ''}{it.title}: {it.mend}", "strong")
        for it in bad
        if it.mend
    ]
    last = f"{messages.count(len(bad), 'finding')} to fix" if bad else "everything is ready"
    grid = [Grid(("", "host", "what", "detail"), rows, styles)] if rows else []
    return [*grid, *fixes, Line(last, "bad" if bad else "good")]
