"""Check the machines of a rehearsal from outside: which release runs, and does it answer?

The release comes from `shipit status`. The HTTP health checks are repeated by a program that is not
part of the agent; other kinds of checks are not repeated.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.commands import inspect
from shipit.events import Problem
from shipit.lab.commands import LabError
from shipit.rehearsal.programs import ask_url
from shipit.rehearsal.scenario import Observation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.messages import Status
    from shipit.playbook.health import Check
    from shipit.rehearsal.environment import Environment
    from shipit.rehearsal.providers.base import Machines
    from shipit.release.inputs import ResolvedInput

PATIENCE_SECONDS = 15.0  # for a service that has just been restarted
PAUSE_SECONDS = 0.2
_OVERHEAD_SECONDS = 30.0  # of starting a program on a machine


def observe(environment: Environment) -> dict[tuple[str, str], Observation]:
    """Return the observations by app and host."""
    names, machines = environment.assignment.machines, environment.machines
    found = inspect.status(environment.run, lambda _: None)  # its answers contain the problems
    return {
        (app, host): _observe_host(resolved, answers[host], names[host], machines)
        for each, (app, answers) in zip(environment.wanted, found, strict=True)
        for resolved in each
        for host in [resolved.name]
    }


def _observe_host(
    resolved: ResolvedInput, answer: Status | Problem, machine: str, machines: Machines
) -> Observation:
    if isinstance(answer, Problem):
        return Observation("", wrong=(answer.what,))
    if not answer.release:
        return Observation("")
    health = resolved.deployed(answer.release).health
    problems = [_check_answer(machines, machine, check) for check in health.checks if check.http]
    wrong = (answer.stuck, *(each.what for each in answer.drift), *problems)
    return Observation(answer.release, problems.count(""), tuple(text for text in wrong if text))


def _check_answer(machines: Machines, machine: str, check: Check) -> str:
    """Request a check's URL until the answer is good or time is up; return what is wrong."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while wrong := misfit(check, _answer(machines, machine, check)):
        if time.monotonic() > deadline:
            return f"{check.http}: {wrong}"
        time.sleep(PAUSE_SECONDS)
    return ""


def _answer(machines: Machines, machine: str, check: Check) -> Mapping[str, object]:
    argv = ("python3", "-I", "-", check.http, str(check.timeout), json.dumps(check.sent))
    program = Path(ask_url.__file__).read_text()
    try:
        done = machines.run(
            machine, *argv, input=program, timeout=check.timeout + _OVERHEAD_SECONDS
        )
    except LabError as error:
        return {"error": str(error)}
    if done.returncode:
        return {"error": done.stderr.strip()}
    answer = json.loads(done.stdout)
    return answer if isinstance(answer, dict) else {"error": f"not understood: {done.stdout}"}


def misfit(check: Check, answer: Mapping[str, object]) -> str:
    """Return what is wrong with an answer; "" if it passes the check."""
    if "error" in answer:
        return str(answer["error"])
    status, body = answer.get("status"), str(answer.get("body"))
    if status != check.status:
        return f"expected status {check.status}, got {status}"
    if check.body not in body:
        return f"expected {check.body!r} in the answer"
    if check.json_fields:
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not _holds(found, check.json_fields):
            return f"expected the fields {dict(check.json_fields)}, got {body}"
    return ""


def _holds(found: object, wanted: object) -> bool:
    """Whether every wanted field has its value; more fields are allowed."""
    if not isinstance(wanted, dict):
        return found == wanted
    return isinstance(found, dict) and all(
        key in found and _holds(found[key], value) for key, value in wanted.items()
    )
