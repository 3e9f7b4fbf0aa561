"""Look at the machines of a rehearsal from outside: what runs there, and does it answer?

What runs is what `shipit status` says. Whether it answers is asked anew, by a program that is no
part of the agent. Only HTTP checks can be asked so; the other kinds are the agent's alone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.commands import inspect
from shipit.events import Problem
from shipit.lab.lab import LabError
from shipit.rehearsal.programs import probe_url
from shipit.rehearsal.scenario import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.agent.protocol.messages import Status
    from shipit.events import Event
    from shipit.playbook.reader import Check
    from shipit.rehearsal.hosts import Assignment
    from shipit.rehearsal.providers.base import Machines
    from shipit.release.inputs import ResolvedInput, RunOptions

PATIENCE_SECONDS = 15.0  # for a service that has just been started once more
PAUSE_SECONDS = 0.2
_OVERHEAD_SECONDS = 30.0  # of starting a program on a machine


def observe(
    run: RunOptions, wanted: Sequence[Sequence[ResolvedInput]], cast: Assignment, machines: Machines
) -> dict[tuple[str, str], Observation]:
    """Return what is seen, by app and host."""
    seen: dict[tuple[str, str], Observation] = {}
    for each, (app, answers) in zip(wanted, inspect.status(run, _unheard), strict=True):
        for wish in each:
            name = wish.target.name
            seen[app, name] = _sight(wish, answers[name], cast.machines[name], machines)
    return seen


def _unheard(_event: Event) -> None:
    """Leave out what looking is made of: what went wrong is in the answers."""


def _sight(
    wish: ResolvedInput, answer: Status | Problem, machine: str, machines: Machines
) -> Observation:
    if isinstance(answer, Problem):
        return Observation("", wrong=(answer.what,))
    if not answer.release:
        return Observation("")
    health = wish.target.rendered(wish.names(answer.release)).health
    told = [_asked(machines, machine, check) for check in health.checks if check.http]
    wrong = (answer.stuck, *(each.what for each in answer.drift), *told)
    return Observation(answer.release, told.count(""), tuple(text for text in wrong if text))


def _asked(machines: Machines, machine: str, check: Check) -> str:
    """Ask for a check's URL until the answer is good or patience ends; says what is wrong."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while wrong := misfit(check, _answer(machines, machine, check)):
        if time.monotonic() > deadline:
            return f"{check.http}: {wrong}"
        time.sleep(PAUSE_SECONDS)
    return ""


def _answer(machines: Machines, machine: str, check: Check) -> Mapping[str, object]:
    headers = json.dumps(check.sent)
    argv = ("python3", "-I", "-", check.http, str(check.timeout), headers)
    program = Path(probe_url.__file__).read_text()
    seconds = check.timeout + _OVERHEAD_SECONDS
    try:
        done = machines.run(machine, *argv, input=program, timeout=seconds)
    except LabError as error:
        return {"error": str(error)}
    if done.returncode:
        return {"error": done.stderr.strip()}
    answer = json.loads(done.stdout)
    return answer if isinstance(answer, dict) else {"error": f"not understood: {done.stdout}"}


def misfit(check: Check, answer: Mapping[str, object]) -> str:
    """Say what is wrong with an answer; nothing if it is as the check wants it."""
    if "error" in answer:
        return str(answer["error"])
    status, body = answer.get("status"), str(answer.get("body"))
    if status != check.status:
        return f"expected status {check.status}, got {status}"
    if check.body not in body:
        return f"expected {check.body!r} in the answer"
    if check.json_fields and not _holds(_parsed(body), check.json_fields):
        return f"expected the fields {dict(check.json_fields)}, got {body}"
    return ""


def _parsed(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _holds(found: object, wanted: object) -> bool:
    """Whether all that is wanted is there; more fields may be."""
    if not isinstance(wanted, dict):
        return found == wanted
    return isinstance(found, dict) and all(
        key in found and _holds(found[key], value) for key, value in wanted.items()
    )
