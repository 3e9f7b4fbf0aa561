"""Check whether the controller and every host are ready for a deploy, and how to fix what is not.

Changes nothing. A finding is not ok if it would stop a deploy, or if an operator has to fix it by
hand: a stuck transaction, drift. The checks of a release are the host's own preflight.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING

from shipit.agent.protocol import messages
from shipit.errors import InputError
from shipit.release import repairs
from shipit.release.inputs import env_files, resolve, secrets_among, targets
from shipit.render import dotenv_file
from shipit.rollout.connections import connect_all
from shipit.rollout.prepare import ask, attempt_to, prepare, surveyed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.events import Emit
    from shipit.release.inputs import HostInput, ResolvedInput, RunOptions
    from shipit.rollout.connections import Connections

CROWDED = 2**30  # bytes; below it a root fills up within a few releases
OLDEST_SYSTEMD = 240  # the oldest that the agent's own use of systemd-run was written for


@dataclass(frozen=True)
class Finding:
    """The result of one check; host is empty for the controller."""

    host: str
    title: str
    ok: bool
    detail: str
    mend: str = ""  # how to fix it, with the command where there is one; a key in JSON


def examine(run: RunOptions, emit: Emit) -> list[Finding]:
    """Return all findings, the controller's first.

    Raises:
        InputError: the inventory or the playbook cannot be read at all.
    """
    findings: list[Finding] = []
    for found in targets(run):
        try:
            wanted = resolve(found)
        except InputError as error:
            findings += _mistakes(error)
            wanted = []
        else:
            app = found[0].deployment.app
            findings.append(Finding("", "playbook", ok=True, detail=f"{app}: complete"))
            findings += open_to_all(found)
        with connect_all(found, run, emit) as connections:
            findings += _check_hosts(found, wanted, connections, attempt_to("plan", run))
    return findings


def _mistakes(error: InputError) -> Iterator[Finding]:
    for mistake in error.mistakes:
        where = f"{mistake.place}: " if mistake.place else ""
        yield Finding("", mistake.code, ok=False, detail=where + mistake.what, mend=mistake.hint)


def open_to_all(found: Sequence[HostInput]) -> Iterator[Finding]:
    """Yield a finding for each env file with secrets that every user of this machine can read."""
    secret = {
        file.path.resolve()
        for file in env_files(found)
        if any(secrets_among(dotenv_file.read(file.path, file.public)))
    }
    for path in sorted(secret):
        reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        if reachable and path.stat().st_mode & stat.S_IROTH:
            detail = f"{path} holds secrets, and every user of this machine can read it"
            mend = f"chmod 600 {quote(str(path))}"
            yield Finding("", "env-file", ok=False, detail=detail, mend=mend)


def _check_hosts(
    found: Sequence[HostInput],
    wanted: Sequence[ResolvedInput],
    connections: Connections,
    attempt: messages.Attempt,
) -> Iterator[Finding]:
    brought = {each.name for each in found if each.deployment.python.is_brought}
    for name, facts in ask(found, connections, recover=False).items():
        yield from of_facts(name, facts, has_own=name in brought)
    checks = connections.each(lambda _, session: session.status(messages.AskStatus()))
    for name, status in checks.items():
        yield from of_status(name, status)
    try:
        made = prepare(wanted, connections, attempt, recover=False) if wanted else {}
        for name, answer in surveyed(made, connections).items() if made else ():
            yield from _of_survey(name, answer)
    except InputError as error:
        yield from _mistakes(error)
    for name, problem in connections.problems().items():
        yield Finding(name, problem.code, ok=False, detail=problem.what, mend=problem.hint)


def of_facts(name: str, facts: messages.Facts, *, has_own: bool = False) -> Iterator[Finding]:
    """Yield the findings about a host's facts; `has_own`: a Python comes with the release."""
    pythons = ", ".join(one.version for one in facts.interpreters) or "none"
    left_out = "".join(f"; {one.what}" for one in facts.rejected)
    yield Finding(name, "reach", ok=True, detail=f"{facts.hostname}, agent on {facts.agent_python}")
    yield Finding(
        name,
        "python",
        ok=has_own or bool(facts.interpreters),
        detail=f"found: {pythons}{left_out}",
        mend="install one: apt-get install python3; or let one come with the release:"
        " `python: {source: bundle}`",
    )
    yield Finding(
        name,
        "systemd",
        ok=facts.systemd >= OLDEST_SYSTEMD,
        detail=f"version {facts.systemd}" if facts.systemd else "not found",
        mend=f"systemd {OLDEST_SYSTEMD} or newer is needed",
    )
    yield Finding(
        name,
        "disk",
        ok=facts.free_bytes > CROWDED,
        detail=f"{facts.free_bytes / 2**30:.1f} GiB and {facts.free_inodes} inodes free",
        mend="make room, or keep fewer releases: keep_releases",
    )
    if facts.signed_only:
        detail = "takes only what a key in /etc/shipit/allowed_signers has signed"
        yield Finding(name, "signers", ok=True, detail=detail)
    if facts.stuck:
        what = "an earlier transaction could neither be finished nor rolled back"
        yield Finding(name, "stuck", ok=False, detail=what, mend=facts.stuck)
    if facts.holder:
        whose = facts.holder.attempt
        why = f" ({whose.reason})" if whose.reason else ""
        detail = (
            f"{whose.what} by {whose.who}, pid {whose.pid}{why}, for {facts.holder.age:.0f} s,"
            f" now in {facts.holder.phase}"
        )
        mend = "wait for it to end, or follow it: shipit attach PLAYBOOK"
        yield Finding(name, "lock", ok=False, detail=detail, mend=mend)


def of_status(name: str, status: messages.Status) -> Iterator[Finding]:
    for drift in status.drift:
        yield Finding(name, "drift", ok=False, detail=drift.what, mend=repairs.fix_for(drift))


def _of_survey(name: str, findings: messages.Findings) -> Iterator[Finding]:
    for problem in findings.problems:
        yield Finding(name, problem.code, ok=False, detail=problem.what, mend=problem.hint)
    if not findings.problems:
        yield Finding(name, "preflight", ok=True, detail="the release would fit")
