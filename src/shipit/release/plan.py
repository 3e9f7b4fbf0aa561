"""Compare the wanted release with a host's facts, and return what would change. Pure.

`shipit plan` prints this value and `shipit deploy` acts on it, so they cannot differ.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from enum import Enum
from typing import TYPE_CHECKING, Literal

from shipit.agent.protocol.manifest import OVERLAP, REPORT, RESTART, ROLLBACK, lasting
from shipit.agent.protocol.rules import generations
from shipit.bundle.wheel import is_older
from shipit.errors import HostError
from shipit.playbook.parsers import UNITS_OF_TIME
from shipit.servers.limits import gap, may_listen, ports_without_socket, remarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shipit.agent.protocol.answers import Drift
    from shipit.agent.protocol.controls import Hold
    from shipit.agent.protocol.manifest import Manifest, Watch
    from shipit.agent.protocol.messages import Facts
    from shipit.agent.protocol.migrations import MigrationLine
    from shipit.events import Problem
    from shipit.release.build import BuiltRelease

Kind = Literal["added", "changed", "removed"]
UNITS, FILES = "units/", "files/"  # where a release keeps its texts
MIB = 2**20
RESERVE = 64 * MIB  # bytes that a host must keep free, for logs and the next deploy


class Action(Enum):
    """What a deploy does on a host."""

    DEPLOY = "deploy"  # stage the release and switch to it
    SWITCH = "switch"  # the host has it already: verify it and switch to it
    NOTHING = "nothing"  # it already runs


@dataclass(frozen=True)
class PackageChange:
    """A package of the venv; an empty version means that it is missing."""

    name: str
    old: str
    new: str


@dataclass(frozen=True)
class TextChange:
    """A unit or file; the diff is unified, and empty if the old text is unknown."""

    path: str
    kind: Kind
    diff: str = ""


@dataclass(frozen=True)
class EnvChange:
    """A variable of a service's environment. Its value is never in a plan."""

    service: str
    key: str
    kind: Kind


@dataclass(frozen=True)
class HostPlan:
    """What would change on one host; `problems` would prevent its staging."""

    host: str
    action: Action
    release: str
    version: str
    current: str = ""
    current_version: str = ""
    packages: tuple[PackageChange, ...] = ()
    texts: tuple[TextChange, ...] = ()
    env: tuple[EnvChange, ...] = ()
    served: tuple[str, ...] = ()  # what each `serve:` became
    repairs: tuple[Drift, ...] = ()  # drift of the same release that is repaired
    restarts: tuple[str, ...] = ()
    canary: tuple[str, ...] = ()  # which hosts are held first, for how long, and what is asked
    assets: tuple[str, ...] = ()  # which static files clients find where
    hooks: tuple[str, ...] = ()  # what is run when, and where
    drains: tuple[str, ...] = ()  # the load balancer that the host leaves for its switch
    migration: tuple[str, ...] = ()  # what is migrated where, and what is known of it
    migrated: tuple[MigrationLine, ...] = field(default=(), compare=False)  # the host's records
    running: str = field(default="", compare=False)  # the transaction that is open on the host
    handovers: tuple[str, ...] = ()  # units that are started beside their predecessors
    missing: tuple[str, ...] = ()  # file names of the wheels, and the Python, that would be sent
    missing_bytes: int = 0
    pulled_from: str = ""  # the URL that the host fetches them from, without its credentials
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    signed_only: bool = False  # the host takes signed releases alone
    holds: tuple[Hold, ...] = ()  # that apply to it
    watch: str = ""  # what the host does after its commit


def compare(host: str, wanted: BuiltRelease, facts: Facts) -> HostPlan:
    """Return what a deploy of `wanted` would do on a host with these facts."""
    new, old = wanted.manifest, _own_release(facts)
    plan = HostPlan(
        host=host,
        action=_action(wanted, facts),
        release=new.id,
        version=new.version,
        current=old.id if old else "",
        current_version=old.version if old else "",
        signed_only=facts.signed_only,
        migrated=facts.migrations,
        running=facts.holder.attempt.txn if facts.holder else "",
    )
    holds = tuple(hold for hold in facts.holds if hold.applies(new))
    if plan.action is Action.NOTHING:  # what runs is not held, but the app may be
        return replace(plan, holds=tuple(hold for hold in holds if not hold.release))
    # A release of the same contents runs, perhaps in another generation: it is repaired.
    running = next((line.id for line in facts.releases if line.running), "")
    is_repair = generations.contents(running) == generations.contents(new.id)
    missing = {a.filename: a.size for a in new.sent() if a.sha256 not in facts.present}
    return replace(
        plan,
        packages=tuple(_package_changes(old, new)),
        texts=(*_unit_changes(wanted, facts), *_file_changes(old, new)),
        env=tuple(_env_changes(facts.env, wanted.env_digests)),
        served=wanted.served,
        assets=tuple(_assets(old, new)),
        repairs=facts.drift if is_repair else (),
        restarts=tuple(_started_units(wanted, facts, RESTART)),
        handovers=tuple(_started_units(wanted, facts, OVERLAP)),
        drains=tuple(_drains(new, facts)),
        missing=tuple(missing),
        missing_bytes=sum(missing.values()),
        pulled_from=str(wanted.pulled) if wanted.pulled and missing else "",
        notes=(*_notes(new, facts), *_gaps(wanted)),
        holds=holds,
        watch=watched(new.watch) if new.watch else "",
    )


def _own_release(facts: Facts) -> Manifest | None:
    """Return the running release, unless another tool has deployed it."""
    return facts.current if facts.current and facts.current.adopted is None else None


def refuse_if_it_does_not_fit(plan: HostPlan, facts: Facts) -> None:
    """Refuse wheels that would fill the host's disk; the host itself checks more precisely.

    Raises:
        HostError: disk-too-small.
    """
    if plan.missing_bytes and plan.missing_bytes + RESERVE > facts.free_bytes:
        raise HostError(
            "disk-too-small",
            f"{facts.fullest} has {facts.free_bytes / MIB:.0f} MiB free; more than"
            f" {(plan.missing_bytes + RESERVE) / MIB:.0f} MiB are needed",
            host=plan.host,
            step="hello",
            hint="make room on the host, or keep fewer releases (keep_releases)",
        )


def refuse_if_older(plan: HostPlan) -> None:
    """Refuse to replace a release by one of an older version (PEP 440).

    Raises:
        HostError: older-release.
    """
    if is_older(plan.version, than=plan.current_version):
        raise HostError(
            "older-release",
            f"{plan.version} is older than {plan.current_version}, which runs here",
            host=plan.host,
            step="hello",
            hint=f"shipit rollback --to {plan.version} if it was deployed before;"
            " --allow-older deploys it anyway",
        )


def _action(wanted: BuiltRelease, facts: Facts) -> Action:
    release = wanted.manifest.id
    runs = facts.current is not None and facts.current.id == release
    same_env = not any(_env_changes(facts.env, wanted.env_digests))
    whole = same_env and facts.units == wanted.below(UNITS)
    if runs and facts.healthy and not facts.stuck and whole and not facts.drift:
        return Action.NOTHING
    verified = {line.id for line in facts.releases if line.present and line.outcome == "committed"}
    return Action.SWITCH if release in verified else Action.DEPLOY


def _package_changes(old: Manifest | None, new: Manifest) -> Iterator[PackageChange]:
    before, after = _packages(old) if old else {}, _packages(new)
    for name, _ in _kinds(before, after):
        yield PackageChange(name, before.get(name, ""), after.get(name, ""))


def _packages(manifest: Manifest) -> dict[str, str]:
    return {a.name: a.version for a in (manifest.app_wheel, *manifest.wheels)}


def _unit_changes(wanted: BuiltRelease, facts: Facts) -> Iterator[TextChange]:
    release, running = wanted.manifest.id, facts.current.id if facts.current else ""
    before = {_stable_name(name, running): text for name, text in facts.units.items()}
    after = {_stable_name(name, release): text for name, text in wanted.below(UNITS).items()}
    for name, kind in _kinds(before, after):
        yield TextChange(UNITS + name, kind, _diff(name, before, after))


def _stable_name(name: str, release: str) -> str:
    """Return a unit's name as it is in each release: `app-web@*.service`."""
    return name.replace(f"@{release}", "@*")


def _diff(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    lines = unified_diff(
        before.get(name, "").splitlines(),
        after.get(name, "").splitlines(),
        name if name in before else "/dev/null",
        name if name in after else "/dev/null",
        lineterm="",
    )
    return "\n".join(lines)


def _file_changes(old: Manifest | None, new: Manifest) -> Iterator[TextChange]:
    before, after = (
        {t.name: (t.sha256, t.mode) for t in texts if t.name.startswith(FILES)}
        for texts in (old.texts if old else (), new.texts)
    )
    for path, kind in _kinds(before, after):
        yield TextChange(path, kind)


def _env_changes(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> Iterator[EnvChange]:
    for service in sorted({*before, *after}):
        for key, kind in _kinds(before.get(service, {}), after.get(service, {})):
            yield EnvChange(service, key, kind)


def _kinds(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[tuple[str, Kind]]:
    """Yield the names whose values differ, in order, with the kind of change."""
    for name in sorted({*before, *after}):
        if name not in before:
            yield name, "added"
        elif name not in after:
            yield name, "removed"
        elif before[name] != after[name]:
            yield name, "changed"


def _started_units(wanted: BuiltRelease, facts: Facts, handover: str) -> Iterator[str]:
    """Yield the units that will be started again: processes always, others if changed."""
    after = wanted.below(UNITS)
    for unit in wanted.manifest.units:
        before = lasting(unit.name, facts.units.get(unit.name, ""))
        changed = unit.watched or before != lasting(unit.name, after[unit.name])
        if unit.start and changed and unit.handover == handover:
            yield _stable_name(unit.name, wanted.manifest.id)


def _drains(new: Manifest, facts: Facts) -> Iterator[str]:
    """Yield what happens in the load balancer; without a release there is nothing to drain."""
    if (balancer := new.balancer) is None:
        return
    if balancer.haproxy:
        sockets = ", ".join(balancer.haproxy.sockets)
        where = f"this host in the backend {balancer.haproxy.backend} of haproxy at {sockets}"
        before, after = f"{where}, waits up to {balancer.wait:g} s", f"{where}, until it is up"
    else:
        before, after = (
            " ".join(hook.command) for hook in (balancer.drain, balancer.undrain) if hook
        )
    if facts.current:
        yield f"before its switch: {before}"
    yield f"back once it is healthy: {after}"


def _gaps(wanted: BuiltRelease) -> Iterator[str]:
    """Yield a note for each service that loses requests in a handover, and why."""
    manifest, gaps = wanted.manifest, {}
    listen = {unit.service: unit.listen for unit in manifest.units if unit.listen}
    watched = {unit.service: unit for unit in manifest.units if unit.watched}
    for service, unit in watched.items():
        overlaps, held = unit.handover == OVERLAP, service in listen
        gaps[service] = gap(unit.command, has_socket=held, overlaps=overlaps)
        versions = _packages(manifest)
        for text in remarks(unit.command, versions, has_socket=held, overlaps=overlaps):
            yield f"{service}: {text}"
    yield from (f"{service}: {text}" for service, text in gaps.items() if text)
    suspects = " or ".join(
        service
        for service, unit in watched.items()
        if not gaps[service] and service not in listen and may_listen(unit.command)
    )
    if suspects:
        addresses = [address for each in listen.values() for address in each]
        for port in ports_without_socket(manifest.gate.checks, addresses):
            yield (
                f"port {port} of a health check has no `socket`: if {suspects} listens there,"
                " connections are refused while it restarts"
            )


def _assets(old: Manifest | None, new: Manifest) -> Iterator[str]:
    where = f"{new.root}/assets"
    if (wanted := new.assets) is None:
        if old and old.assets:
            yield f"{where} is removed: the release has no static files"
        return
    packages = "site-packages/" if wanted.is_in_package else ""
    source = f"from {packages}{wanted.folder} of the release"
    if wanted.command:
        source = f"{shlex.join(wanted.command.command)} (on each host as {wanted.command.user})"
    kept = f"with those of up to {wanted.keep - 1} before it" if wanted.keep > 1 else "alone"
    yield f"{source}, in {where}, {kept}"


def watched(watch: Watch) -> str:
    """Return what a host does after its commit, and what follows if it finds a failure."""
    follows = {REPORT: "a failure is reported", ROLLBACK: "a failure is rolled back"}
    window = f"{short(watch.seconds)} after the commit: {follows[watch.on_failure]}"
    boot = f"at boots: {follows[watch.at_boot]}"
    return f"for {window}; {boot}" if watch.seconds else boot


def short(seconds: float) -> str:
    """Return a duration as a playbook has it: `90s`, `10m`, `2h`."""
    unit = next((u for u in ("h", "m") if seconds % UNITS_OF_TIME[u] == 0), "s")
    return f"{seconds / UNITS_OF_TIME[unit]:g}{unit}"


def _notes(new: Manifest, facts: Facts) -> Iterator[str]:
    if facts.recovered:
        yield facts.recovered
    if facts.current and facts.current.gate != new.gate:
        yield "the health checks (`health:`) change"
    old = _own_release(facts)
    if new.python and (old is None or old.python != new.python):
        yield f"Python {new.python.version} comes with the release; the host's is not used"
    if old and old.python and not new.python:
        yield f"the host's own Python is used: {new.interpreter}"
    if old and old.user != new.user:
        yield (
            f"the services' user changes from {old.user} to {new.user}: their directories and"
            " shared/ change owner in the switch (docs/handover.md); a trial has empty ones"
        )
    if facts.current and facts.current.adopted is not None:
        yield f"first release on this host: a failure leaves `current` at {facts.current.adopted}"
    elif facts.current is None and not facts.drift:
        yield "first release on this host: a failure leaves it clean"
    elif facts.current and facts.current.id == new.id and not facts.healthy:
        yield (
            "this release is installed, but it is damaged or not all of its units run: it is"
            " repaired, and they are started again"
        )
