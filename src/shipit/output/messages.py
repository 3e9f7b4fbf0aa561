"""Say in words what happened: numbers with their units, events as lines, the verdict on a run.

Promises pure functions from events to text, the same for a terminal, a pipe and a log. Columns are
two spaces apart and carry no time of day, so that the lines of two runs can be compared.
It draws nothing (console) and knows no host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.events import (
    BatchBegan,
    DeploymentEnd,
    Event,
    HostEnded,
    HostResult,
    Noted,
    Outcome,
    PlaybookEnded,
    Probed,
    RunBegan,
    RunEnded,
    Sent,
    StepBegan,
    StepEnded,
)
from shipit.output.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shipit.agent.protocol.messages import Holder
    from shipit.events import Problem

KIB = 1024
MINUTE = 60
EVIDENCE_LINES = 40  # of a failed unit's log; the end of it tells most
NAMES_SHOWN = 8

OUTCOMES: Mapping[int, str] = {
    0: "ok",
    1: "bug",
    2: "input-error",
    3: "untouched",
    4: "returned",
    5: "needs-a-person",
    130: "interrupted",
}  # the exit statuses of docs/cli.md in one word, for machines

_NOTHING_BEFORE = "it was switched, and is as before: no release had run there"
_DONE_ABOUT: Mapping[Outcome, str] = {
    Outcome.DEPLOYED: "it runs the wanted release",
    Outcome.UNCHANGED: "it ran the wanted release already",
    Outcome.UNTOUCHED: "nothing was switched; what ran there before still does",
    Outcome.RETURNED: "it was switched, and is back on its old release",
    Outcome.UNREACHABLE: "it could not be reached; nothing was switched",
    Outcome.UNKNOWN: "lost after the switch; unless committed, it goes back when its lease ends",
    Outcome.STUCK: "it could not be brought back by itself; a person is needed",
}


def outcome(exit_status: int) -> str:
    """Return an exit status as one stable word."""
    return OUTCOMES.get(exit_status, "bug")


def size(count: int) -> str:
    """Return a number of bytes as a person reads it: `512 B`, `1.4 MiB`."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < KIB:
            break
        amount, unit = amount / KIB, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def seconds(duration: float) -> str:
    """Return a duration in seconds as a person reads it: `0.4s`, `2m05s`."""
    if duration < MINUTE:
        return f"{duration:.1f}s"
    whole = round(duration)
    return f"{whole // MINUTE}m{whole % MINUTE:02d}s"


def count(number: int, thing: str) -> str:
    """Return `1 host` or `2 hosts`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def names(hosts: Iterable[str], limit: int = NAMES_SHOWN) -> str:
    """Return names with commas; of many, the first ones and how many more there are."""
    every = list(hosts)
    more = [f"and {len(every) - limit} more"] if len(every) > limit else []
    return ", ".join(every[:limit] + more)


def line(event: Event, width: int = 0) -> str:
    """Return an event as one line; host names are padded to `width`. Empty if there is none."""
    match event:
        case RunBegan(what, app, hosts):
            return f"{what} {app} on {count(len(hosts), 'host')}: {names(hosts)}"
        case BatchBegan(number, of, hosts):
            return f"batch {number}/{of}: {names(hosts)}"
        case Noted(text, host) if host:
            return f"{host:{width}}  {one_line(text)}"
        case Noted(text, _):  # a report has its own form
            return text.rstrip("\n") if "\n" in text else f"note: {text}"
        case HostEnded(host, ended, release, duration):
            runs = f"{one_line(release) or '-'}  {seconds(duration)}"
            return f"{host:{width}}  {ended.value}  {runs}"
        case _:
            return _step_line(event, width)


def _step_line(event: Event, width: int) -> str:
    match event:
        case StepBegan(host, step, detail):
            more = f"  {one_line(detail)}" if detail else ""
            return f"{host:{width}}  {one_line(step)}  ...{more}"
        case StepEnded(host, step, duration, ok):
            failed = "" if ok else "  failed"
            return f"{host:{width}}  {one_line(step)}  {seconds(duration)}{failed}"
        case Sent(host, done, total):
            return f"{host:{width}}  sent {size(done)} of {size(total)}"
        case Probed(host, check, ok, detail):
            answer = "ok" if ok else "not yet"
            more = f"  {one_line(detail)}" if detail else ""
            return f"{host:{width}}  probe  {one_line(check)}  {answer}{more}"
        case _:
            return ""


def problem(failed: Problem, *, whole: bool = False) -> list[str]:
    """Return why a host failed, over several lines: what, the evidence, and what to do next.

    Only the end of long evidence is shown unless the whole is asked for.
    """
    step = f"  {one_line(failed.step)}" if failed.step else ""
    head = f"{failed.host}{step}  failed: {failed.what} [{failed.code}]"
    evidence = failed.evidence.rstrip().splitlines()
    hidden = 0 if whole else max(0, len(evidence) - EVIDENCE_LINES)
    above = [f"  | ... {count(hidden, 'earlier line')} (-v shows all)"] if hidden else []
    shown = [f"  | {text}" for text in evidence[hidden:]]
    first, *rest = head.splitlines()
    hint = [f"  next: {text}" for text in failed.hint.splitlines()]
    return [first, *(f"  | {text}" for text in rest), *above, *shown, *hint]


def done_about(host: str, result: HostResult) -> str:
    """Return what was done about a host that did not end as wanted."""
    told = result.problem.what.splitlines() if result.problem else []
    why = f"{one_line(told[0])}; " if told else ""
    is_first = result.outcome is Outcome.RETURNED and not result.release
    return f"{host}: {why}{_NOTHING_BEFORE if is_first else _DONE_ABOUT[result.outcome]}"


def held(by: Holder) -> str:
    """Return whose a live lock is: what, who, from where, since when, why."""
    attempt = by.attempt
    who, _, machine = attempt.who.partition("@")
    why = f": {attempt.reason}" if attempt.reason else ""
    from_where = f"{machine or 'an unknown machine'}, pid {attempt.pid}"
    return f"{attempt.what} by {who} ({from_where}) for {seconds(by.age)}, in {by.phase}{why}"


def verdict(ended: RunEnded) -> str:
    """Return one sentence on the whole run."""
    sentence = _SENTENCES.get(ended.exit_status)
    return sentence(ended) if sentence else f"ended with exit status {ended.exit_status}"


def playbook_verdict(ended: PlaybookEnded) -> str:
    """Return one sentence on all deployments of a playbook."""
    each = ended.deployments
    if ended.exit_status == 0:
        return f"all {len(each)} deployments are done: {names(end.app for end in each)}"
    done = sum(end.exit_status == 0 for end in each)
    told = "; ".join(f"{end.app}: {_end_of(end)}" for end in each)
    return f"{done} of {len(each)} deployments are done: {told}"


def _end_of(end: DeploymentEnd) -> str:
    return "not begun" if end.exit_status is None else outcome(end.exit_status)


def interrupted(*, is_run: bool) -> str:
    """Return what to say of a Ctrl-C that the rollout did not treat."""
    if not is_run:
        return "interrupted; nothing was changed"
    return "interrupted; a host that was switched goes back by itself when its lease ends"


def tally(ended: RunEnded) -> str:
    """Return how many hosts ended how: `2 deployed, 1 returned`."""
    numbers = dict.fromkeys(Outcome, 0)
    for result in ended.hosts.values():
        numbers[result.outcome] += 1
    return ", ".join(f"{number} {kind.value}" for kind, number in numbers.items() if number)


def _success(ended: RunEnded) -> str:
    releases = sorted({result.release for result in ended.hosts.values()})
    what = releases[0] if len(releases) == 1 else "the wanted release"
    total = len(ended.hosts)
    whole = f"all {total} hosts run {what}" if total > 1 else f"{names(ended.hosts)} runs {what}"
    already = all(result.outcome is Outcome.UNCHANGED for result in ended.hosts.values())
    return f"nothing to do: {whole} already" if already else whole


def _undisturbed(ended: RunEnded) -> str:
    away = [name for name, it in ended.hosts.items() if it.outcome is Outcome.UNREACHABLE]
    old = "every host still runs what it ran before"
    return f"{old}; could not be reached: {names(away)}" if away else old


def _back(ended: RunEnded) -> str:
    switched = [it for it in ended.hosts.values() if it.outcome is Outcome.RETURNED]
    if switched and not any(it.release for it in switched):
        return "nothing of it is left where it was the first release"
    return "every host is back on its old release"


def _lost(ended: RunEnded) -> str:
    lost = [name for name, it in ended.hosts.items() if it.outcome.needs_a_person]
    return names(lost or [name for name, it in ended.hosts.items() if not it.outcome.is_wanted])


def _interruption(ended: RunEnded) -> str:
    kinds = {result.outcome for result in ended.hosts.values()}
    if not kinds - {Outcome.UNTOUCHED, Outcome.UNREACHABLE, Outcome.UNCHANGED}:
        return "nothing was switched"
    if not kinds - {Outcome.RETURNED, Outcome.UNTOUCHED, Outcome.UNREACHABLE, Outcome.UNCHANGED}:
        return "every host is back on its old release"
    return tally(ended)


_SENTENCES: Mapping[int, Callable[[RunEnded], str]] = {
    0: _success,
    2: lambda _: "the input is wrong; nothing was touched",
    3: lambda ended: f"failed before any switch; {_undisturbed(ended)}",
    4: lambda ended: f"failed after the switch; {_back(ended)}",
    5: lambda ended: f"mixed: {tally(ended)}; look after {_lost(ended)}",
    130: lambda ended: f"interrupted; {_interruption(ended)}",
}
