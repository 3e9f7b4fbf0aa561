"""A plan in a file: what a deploy may do later, and nothing else.

It has release ids, names and kinds of changes; no texts, no values and no digests of them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.release.plan import HostPlan

FORMAT = 1
PENDING = "pending: "  # begins what a host says that a migration would do; it may change
LIMIT = 64 * 1024 * 1024  # bytes of a file that is read
Saved = dict[str, dict[str, Any]]  # app -> host -> what would change there
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
    "migration": "would migrate: {now}; the plan has {then}",
    "hooks": "would run other hooks: {now}; the plan has {then}",
    "handovers": "would hand over {now}; the plan has {then}",
}


def write(path: Path, plans: Sequence[tuple[str, Sequence[HostPlan]]], made: str) -> None:
    """Write a plan; `made` is the time.

    Raises:
        InputError: plan-unwritable.
    """
    content = {
        "format": FORMAT,
        "made": made,
        "apps": {app: {each.host: data(each) for each in hosts} for app, hosts in plans},
    }
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(json.dumps(content, indent=1) + "\n")
        beside.replace(path)
    except OSError as error:
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
        apps = content["apps"] if content["format"] == FORMAT else None
        if apps is not None and all(_is_saved(hosts) for hosts in apps.values()):
            return dict(apps)
        why = f"its format is {content['format']!r}, and {FORMAT} is known"
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = "it was not written by shipit plan --out"
    mistake = Mistake("plan-unreadable", f"no plan: {why}", Place(str(path)), _HINT)
    raise InputError(mistake)


def _is_saved(hosts: object) -> bool:
    return isinstance(hosts, dict) and all(isinstance(each, dict) for each in hosts.values())


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
        "hooks": list(plan.hooks),
        "migration": [line for line in plan.migration if not line.startswith(PENDING)],
    }


def differences(saved: Mapping[str, Any] | None, now: HostPlan) -> Iterator[str]:
    """Yield how a host's plan differs from the saved one, as clauses about the host."""
    if saved is None:
        yield "is not in the plan"
        return
    current = data(now)
    for part, clause in _PARTS.items():
        if saved.get(part) != current[part]:
            yield clause.format(now=_shown(current[part]), then=_shown(saved.get(part)))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value or "nothing")


def missing(saved: Mapping[str, object], hosts: Sequence[str]) -> list[str]:
    """Return the hosts of a plan that a run leaves out."""
    return [host for host in saved if host not in hosts]
