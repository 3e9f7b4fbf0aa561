"""A plan in a file: what a deploy may do later, and nothing else.

It has release ids, names and kinds of changes; no texts, no values and no digests of them.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.release.plan import HostPlan

FORMAT = 2
PENDING = "pending: "  # begins what a host says that a migration would do; it may change
LIMIT = 64 * 1024 * 1024  # bytes of a file that is read
_HINT = "make a new one: shipit plan PLAYBOOK --out FILE"
# What is compared, and the clause for a difference.
_PARTS = {
    "current": "runs {now} now; it ran {then}",
    "release": "would get {now}; the plan has {then}",
    "action": "would be changed by {now}; the plan has {then}",
    "repairs": "has other drift: {now}; the plan has {then}",
    "packages": "would get other packages: {now}; the plan has {then}",
    "texts": "would get other units or files: {now}; the plan has {then}",
    "env": "would get other variables: {now}; the plan has {then}",
    "restarts": "would restart {now}; the plan has {then}",
    "drains": "would leave another load balancer: {now}; the plan has {then}",
    "migration": "would migrate: {now}; the plan has {then}",
    "hooks": "would run other hooks: {now}; the plan has {then}",
    "handovers": "would hand over {now}; the plan has {then}",
}


class Deployment(NamedTuple):
    """The plan of one deployment of a playbook: what would change on each of its hosts."""

    app: str
    hosts: Mapping[str, Mapping[str, Any]]


Saved = tuple[Deployment, ...]  # in the order of the playbook, which may have an app twice


def write(path: Path, plans: Sequence[tuple[str, Sequence[HostPlan]]], made: str) -> None:
    """Write a plan; `made` is the time.

    Raises:
        InputError: plan-unwritable.
    """
    content = {
        "format": FORMAT,
        "made": made,
        "deployments": [
            {"app": app, "hosts": {each.host: data(each) for each in hosts}} for app, hosts in plans
        ],
    }
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)  # noqa: PTH105
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        what = f"the plan cannot be written: {error.strerror or error}"
        raise InputError(Mistake("plan-unwritable", what, Place(str(path)))) from error


def read(path: Path) -> Saved:
    """Read a plan.

    Raises:
        InputError: plan-unreadable.
    """
    try:
        with path.open("rb") as stream:
            content = json.loads(stream.read(LIMIT))
        if content["format"] == FORMAT:
            return tuple(map(_deployment, _list(content["deployments"])))
        why = f"its format is {content['format']!r}, and {FORMAT} is known"
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = "it was not written by shipit plan --out"
    mistake = Mistake("plan-unreadable", f"no plan: {why}", Place(str(path)), _HINT)
    raise InputError(mistake)


def _list(written: object) -> list[Any]:
    if not isinstance(written, list):
        raise TypeError(written)
    return written


def _deployment(written: Mapping[str, Any]) -> Deployment:
    app, hosts = written["app"], written["hosts"]
    if not isinstance(app, str) or not all(isinstance(each, dict) for each in hosts.values()):
        raise TypeError(app)
    return Deployment(app, hosts)


def refuse_others(saved: Saved, run: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Refuse a run that has not exactly the deployments and hosts of the plan.

    Args:
        saved: the plan.
        run: the app and the hosts of each deployment of the run.

    Raises:
        InputError: plan-of-others, with everything that either side lacks.
    """
    apps, now = [each.app for each in saved], [app for app, _ in run]
    if apps != now:
        what = f"the plan is for the deployments {_shown(apps)}; this run has {_shown(now)}"
        raise InputError(_of_others(what))
    pairs = [(app, planned, names) for (app, planned), (_, names) in zip(saved, run, strict=True)]
    if mistakes := [each for pair in pairs for each in _differing(*pair)]:
        raise InputError(*mistakes)


def _differing(app: str, planned: Iterable[str], names: Sequence[str]) -> Iterator[Mistake]:
    hosts = list(planned)
    if left_out := [host for host in hosts if host not in names]:
        hosts_of = _shown(left_out)
        yield _of_others(f"{app}: the plan is for {hosts_of} as well, which this run leaves out")
    if more := [name for name in names if name not in hosts]:
        yield _of_others(f"{app}: this run is for {_shown(more)} as well, which the plan lacks")


def _of_others(what: str) -> Mistake:
    hint = "deploy with the same playbook, --limit and inventory, or make a new plan"
    return Mistake("plan-of-others", what, hint=hint)


def data(plan: HostPlan) -> dict[str, Any]:
    """Return what is kept of a host's plan."""
    return {
        "current": plan.current,
        "release": plan.release,
        "action": plan.action.value,
        "repairs": [drift.what for drift in plan.repairs],
        "packages": [f"{it.name} {it.old or '-'} -> {it.new or '-'}" for it in plan.packages],
        "texts": [f"{it.kind} {it.path}" for it in plan.texts],
        "env": [f"{it.kind} {it.service}: {it.key}" for it in plan.env],
        "restarts": list(plan.restarts),
        "handovers": list(plan.handovers),
        "drains": list(plan.drains),
        "hooks": list(plan.hooks),
        "migration": [line for line in plan.migration if not line.startswith(PENDING)],
    }


def differences(saved: Mapping[str, Any], now: HostPlan) -> Iterator[str]:
    """Yield how a host's plan differs from the saved one, as clauses about the host."""
    current = data(now)
    for part, clause in _PARTS.items():
        if (saved.get(part) or []) != (current[part] or []):  # an earlier version had fewer parts
            yield clause.format(now=_shown(current[part]), then=_shown(saved.get(part)))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value or "nothing")
