"""Turn events into text: numbers with their units, events as lines, the summary of a run.

Pure functions; the text is the same for a terminal, a pipe and a log. Columns are two spaces apart
and carry no time of day, so that the lines of two runs can be compared.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from shipit.events import (
    BatchBegan,
    CanaryChecked,
    CanaryEnded,
    CanaryHeld,
    Event,
    Fetching,
    HookOutput,
    HostEnded,
    HostResult,
    Noted,
    Outcome,
    PlaybookEnded,
    Probed,
    Pulled,
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
MB = 1e6
MINUTE = 60
EVIDENCE_LINES = 40  # of a failed unit's log; its end is the most useful part
NAMES_SHOWN = 8

OUTCOMES: Mapping[int, str] = {
    0: "ok",
    1: "bug",
    2: "input-error",
    3: "discarded",
    4: "rolled_back",
    5: "needs-operator",
    6: "changes",
    130: "interrupted",
}  # the exit statuses of docs/cli.md, each as one word

_NOTHING_BEFORE = "rolled back; no release had run there"
_HOST_SUMMARIES: Mapping[Outcome, str] = {
    Outcome.COMMITTED: "it runs the wanted release",
    Outcome.UNCHANGED: "it ran the wanted release already",
    Outcome.DISCARDED: "not switched; the previous release keeps running",
    Outcome.ROLLED_BACK: "rolled back to its previous release",
    Outcome.UNREACHABLE: "could not be reached; not switched",
    Outcome.UNKNOWN: "lost after the switch; it rolls back when its lease ends, unless committed",
    Outcome.STUCK: "its rollback failed; an operator is needed",
}


def outcome(exit_status: int) -> str:
    """Return an exit status as one stable word."""
    return OUTCOMES.get(exit_status, "bug")


def size(count: int) -> str:
    """Return a readable number of bytes: `512 B`, `1.4 MiB`."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < KIB:
            break
        amount, unit = amount / KIB, larger
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def fetching(event: Fetching, duration: float) -> str:
    """Return how far a download is after some seconds: `fetching x: 88.1 of 137.0 MB, 12.0 MB/s`.

    In the decimal units of indexes and of notes.
    """
    of = f" of {event.total / MB:.1f}" if event.total else ""
    rate = f", {event.done / MB / duration:.1f} MB/s" if duration >= 1 else ""
    return f"{event.what}: {event.done / MB:.1f}{of} MB{rate}"


def seconds(duration: float) -> str:
    """Return a readable duration, given in seconds: `0.4s`, `2m05s`."""
    if duration < MINUTE:
        return f"{duration:.1f}s"
    whole = round(duration)
    return f"{whole // MINUTE}m{whole % MINUTE:02d}s"


def count(number: int, thing: str) -> str:
    """Return `1 host` or `2 hosts`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def names(hosts: Iterable[str], limit: int = NAMES_SHOWN) -> str:
    """Return names separated by commas; of many, the first ones and the number of the others."""
    every = list(hosts)
    more = [f"and {len(every) - limit} more"] if len(every) > limit else []
    return ", ".join(every[:limit] + more)


def canary(event: CanaryHeld | CanaryChecked | CanaryEnded) -> str:
    """Return what has happened to a canary."""
    match event:
        case CanaryHeld(hosts, until, least, how):
            return f"canary {names(hosts)}: held for {seconds(least)}, until {until}; {how}"
        case CanaryChecked(check, ended, detail):
            return ": ".join(filter(None, (f"canary check {check}", ended, detail)))
        case CanaryEnded(how, why):
            return f"canary {how}: {why}"


def line(event: Event, width: int = 0) -> str:  # noqa: C901 - one case for each event
    """Return an event as one line, with host names padded to `width`; "" for other events."""
    columns: tuple[str, ...]
    match event:
        case RunBegan(what, app, hosts):
            return f"{what} {app} on {count(len(hosts), 'host')}: {names(hosts)}"
        case BatchBegan(number, of, hosts, act):
            verb = "roll back " if act == "roll_back" else ""
            return f"{verb}batch {number}/{of}: {names(hosts)}"
        case CanaryHeld() | CanaryChecked() | CanaryEnded():
            return one_line(canary(event))
        case Noted(text, ""):  # a report of several lines has its own form
            return text.rstrip("\n") if "\n" in text else f"note: {text}"
        case Noted(text, host):
            columns = (text,)
        case StepBegan(host, step, detail):
            columns = (step, "...", detail)
        case StepEnded(host, step, duration, ok):
            columns = (step, seconds(duration), "" if ok else "failed")
        case Sent(host, done, total):
            verb = "pulled" if isinstance(event, Pulled) else "sent"
            columns = (f"{verb} {size(done)} of {size(total)}",)
        case HookOutput(host, hook, text):
            columns = (f"{hook} | {text}",)
        case Probed(host, check, ok, detail):
            columns = ("probe", check, "ok" if ok else "not yet", detail)
        case HostEnded(host, ended, release, duration):
            columns = (str(ended), release or "-", seconds(duration))
        case _:
            return ""
    return "  ".join([f"{host:{width}}", *map(one_line, filter(None, columns))])


def problem(failed: Problem, *, whole: bool = False) -> list[str]:
    """Return why a host failed, as several lines: what, the evidence, and what to do next.

    Only the end of long evidence is included, unless `whole`.
    """
    step = f"  {one_line(failed.step)}" if failed.step else ""
    head = f"{failed.host}{step}  failed: {failed.what} [{failed.code}]"
    first, *rest = head.splitlines()
    evidence = failed.evidence.rstrip().splitlines()
    hidden = 0 if whole else max(0, len(evidence) - EVIDENCE_LINES)
    above = [f"  | ... {count(hidden, 'earlier line')} (-v shows all)"] if hidden else []
    shown = [f"  | {text}" for text in evidence[hidden:]]
    hint = [f"  next: {text}" for text in failed.hint.splitlines()]
    return [first, *(f"  | {text}" for text in rest), *above, *shown, *hint]


def host_summary(host: str, result: HostResult) -> str:
    """Return one line on how a host ended, and why."""
    what = result.problem.what.splitlines() if result.problem else []
    why = f"{one_line(what[0])}; " if what else ""
    is_first = result.outcome is Outcome.ROLLED_BACK and not result.release
    return f"{host}: {why}{_NOTHING_BEFORE if is_first else _HOST_SUMMARIES[result.outcome]}"


def lock_owner(by: Holder) -> str:
    """Return who holds a lock: what for, from where, since when, and why."""
    attempt = by.attempt
    who, _, machine = attempt.who.partition("@")
    why = f": {attempt.reason}" if attempt.reason else ""
    from_where = f"{machine or 'an unknown machine'}, pid {attempt.pid}"
    return f"{attempt.what} by {who} ({from_where}) for {seconds(by.age)}, in {by.phase}{why}"


def verdict(ended: RunEnded) -> str:
    """Return a one-sentence summary of a run."""
    sentence = _SENTENCES.get(ended.exit_status)
    return sentence(ended) if sentence else f"ended with exit status {ended.exit_status}"


def playbook_verdict(ended: PlaybookEnded) -> str:
    """Return a one-sentence summary of all deployments of a playbook."""
    each = ended.deployments
    if ended.exit_status == 0:
        return f"all {len(each)} deployments are done: {names(end.app for end in each)}"
    done = sum(end.exit_status == 0 for end in each)
    ends = (
        f"{end.app}: {'not begun' if end.exit_status is None else outcome(end.exit_status)}"
        for end in each
    )
    return f"{done} of {len(each)} deployments are done: {'; '.join(ends).replace('_', ' ')}"


def interrupted(*, is_run: bool) -> str:
    """Return the message for a Ctrl-C that the rollout has not handled."""
    if not is_run:
        return "interrupted; nothing was changed"
    return "interrupted; a switched host rolls back when its lease ends"


def tally(ended: RunEnded) -> str:
    """Return the number of hosts per outcome: `2 committed, 1 rolled back`."""
    numbers = Counter(result.outcome for result in ended.hosts.values())
    return ", ".join(f"{numbers[kind]} {kind}" for kind in Outcome if numbers[kind])


def _success(ended: RunEnded) -> str:
    releases = sorted({result.release for result in ended.hosts.values()})
    what = releases[0] if len(releases) == 1 else "the wanted release"
    total = len(ended.hosts)
    whole = f"all {total} hosts run {what}" if total > 1 else f"{names(ended.hosts)} runs {what}"
    already = all(result.outcome is Outcome.UNCHANGED for result in ended.hosts.values())
    return f"nothing to do: {whole} already" if already else whole


def _nothing_changed(ended: RunEnded) -> str:
    away = [name for name, it in ended.hosts.items() if it.outcome is Outcome.UNREACHABLE]
    old = "no host was changed; the previous release keeps running"
    return f"{old}; could not be reached: {names(away)}" if away else old


def _rolled_back(ended: RunEnded) -> str:
    switched = [it for it in ended.hosts.values() if it.outcome is Outcome.ROLLED_BACK]
    if switched and not any(it.release for it in switched):
        return "the first release is removed again"
    return "every host is rolled back to its previous release"


def _hosts_to_check(ended: RunEnded) -> str:
    lost = [name for name, it in ended.hosts.items() if it.outcome.needs_operator]
    return names(lost or [name for name, it in ended.hosts.items() if not it.outcome.is_wanted])


def _interruption(ended: RunEnded) -> str:
    kinds = {result.outcome for result in ended.hosts.values()}
    if not kinds - {Outcome.DISCARDED, Outcome.UNREACHABLE, Outcome.UNCHANGED}:
        return "nothing was switched"
    if not kinds - {Outcome.ROLLED_BACK, Outcome.DISCARDED, Outcome.UNREACHABLE, Outcome.UNCHANGED}:
        return "every host is rolled back to its previous release"
    return tally(ended)


_SENTENCES: Mapping[int, Callable[[RunEnded], str]] = {
    0: _success,
    2: lambda _: "the input is wrong; no host was changed",
    3: lambda ended: f"failed before any switch; {_nothing_changed(ended)}",
    4: lambda ended: f"failed after the switch; {_rolled_back(ended)}",
    5: lambda ended: f"mixed: {tally(ended)}; check {_hosts_to_check(ended)}",
    130: lambda ended: f"interrupted; {_interruption(ended)}",
}
