"""Choose the release to roll back to: one for all hosts of the run. Pure.

Ids may differ between hosts, as units are rendered for each. So releases on two hosts are the same
if they have the same id (in any generation), were committed by the same transaction (a deploy or
rollback has one on all of its hosts), or else have the same version and the same wheels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.agent.protocol.rules import generations
from shipit.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shipit.agent.protocol.answers import ReleaseLine
    from shipit.agent.protocol.messages import Facts

Name = tuple[str, ...]  # the kind of a name, and the name


@dataclass(frozen=True)
class Candidates:
    """The releases to which one host may be rolled back.

    Attributes:
        recent: the running release, then those before it, the latest first.
        verified: all on the host that were committed, the newest last.
    """

    recent: tuple[ReleaseLine, ...]
    verified: tuple[ReleaseLine, ...]

    def places(self) -> dict[Name, int]:
        """Return how far back each name is; 0 is the running release. Omits ambiguous names."""
        found: dict[Name, set[int]] = {}
        for place, line in enumerate(self.recent):
            for name in names(line):
                found.setdefault(name, set()).add(place)
        return {name: min(places) for name, places in found.items() if len(places) == 1}


@dataclass(frozen=True)
class Choice:
    """The release that each host is rolled back to, or why it can't be."""

    goals: Mapping[str, ReleaseLine]
    refused: Mapping[str, HostError]
    note: str = ""  # for the operator

    def of(self, host: str) -> ReleaseLine:
        """Return the release that a host is rolled back to.

        Raises:
            HostError: no-rollback-target, no-common-release or ambiguous-release.
        """
        if host in self.refused:
            raise self.refused[host]
        return self.goals[host]


def names(line: ReleaseLine) -> Iterator[Name]:
    """Yield the names of a release that are valid on all hosts, the most reliable first."""
    yield "id", generations.contents(line.id)
    yield from (("txn", txn) for txn in line.commits)
    if line.bundle:
        yield "wheels", line.version, line.bundle


def candidates(facts: Facts) -> Candidates:
    """Return the releases to which a host with these facts may be rolled back."""
    by_id = {line.id: line for line in facts.releases}
    running = [line for line in facts.releases if line.running]
    before = [by_id[release] for release in reversed(facts.behind) if release in by_id]
    verified = [line for line in facts.releases if line.present and line.outcome == "committed"]
    whole = generations.last_of_each(line.id for line in verified)
    return Candidates(
        (running[-1], *before) if running else (), tuple(by_id[release] for release in whole)
    )


def choose(fleet: Mapping[str, Candidates], to: str | None) -> Choice:
    """Choose each host's release: the release or version `to`, or the last one in common."""
    return _last_in_common(fleet) if to is None else _named(fleet, to)


# --- the last one that all had in common -------------------------------------------------------


def _last_in_common(fleet: Mapping[str, Candidates]) -> Choice:
    """Choose the latest release that all hosts had in common before the running one.

    If there is none, but most hosts have one in common, only the others are refused, so that the
    error names them: no host is rolled back then, because a rollback is for all or none.
    """
    places = {host: each.places() for host, each in fleet.items()}
    together = _most(places)
    found = _least_far_back([places[host] for host in together])
    goals = {host: fleet[host].recent[places[host][found]] for host in together} if found else {}
    refused = {host: _without_common(host, fleet[host]) for host in fleet if host not in goals}
    for host, line in goals.items():
        if not line.present:
            what = f"{line.id}, the target of the rollback, is not on this host any more"
            hint = "deploy it again, or name another one that all have: --to RELEASE"
            refused[host] = HostError("no-rollback-target", what, host=host, hint=hint)
    is_usual = all(places[host][found] == 1 for host in goals if found)
    version = "" if is_usual else next(iter(goals.values())).version
    what = "is the last release that all hosts had in common: all are rolled back to it"
    return Choice(goals, refused, f"{version} {what}" if version else "")


def _most(places: Mapping[str, Mapping[Name, int]]) -> tuple[str, ...]:
    """Return more than half of the hosts that have an earlier release in common, or none."""
    hosts_of: dict[Name, list[str]] = {}
    for host, each in places.items():
        for name in each:
            hosts_of.setdefault(name, []).append(host)
    groups = {
        tuple(hosts)
        for name, hosts in hosts_of.items()
        if 2 * len(hosts) > len(places) and any(places[host][name] for host in hosts)
    }
    widest = max(map(len, groups), default=0)
    largest = [group for group in groups if len(group) == widest]
    return largest[0] if len(largest) == 1 else ()


def _least_far_back(hosts: Sequence[Mapping[Name, int]]) -> Name | None:
    shared = [name for name in (hosts[0] if hosts else ()) if all(name in each for each in hosts)]
    earlier = [name for name in shared if any(each[name] for each in hosts)]
    nearest = [min((each[name] for name in earlier), default=0) for each in hosts]
    return next((name for name in earlier if [each[name] for each in hosts] == nearest), None)


def _without_common(host: str, own: Candidates) -> HostError:
    if len(own.recent) <= 1:
        return _no_target(host, "no earlier verified release on this host", own)
    what = f"the hosts have no last release in common; here are {_listed(own.verified)}"
    hint = "name one that all have: --to RELEASE; or roll back some hosts alone: --limit"
    return HostError("no-common-release", what, host=host, hint=hint)


# --- the one that was named --------------------------------------------------------------------


def _named(fleet: Mapping[str, Candidates], to: str) -> Choice:
    """Choose the release with that id, or the same one on another host, or that version."""
    wanted = generations.contents(to)
    lines = (line for each in fleet.values() for line in each.verified)
    alike = [line for line in lines if generations.contents(line.id) == wanted]
    goals: dict[str, ReleaseLine] = {}
    refused: dict[str, HostError] = {}
    for host, each in fleet.items():
        found = _matching(each.verified, to, alike)
        if len(found) == 1:
            goals[host] = found[0]
        elif found:
            what = f"{to} may mean any of {len(found)} releases here: {_listed(found)}"
            hint = f"name one by its id: --to {[line.id for line in found if not line.running][-1]}"
            refused[host] = HostError("ambiguous-release", what, host=host, hint=hint)
        else:
            refused[host] = _no_target(host, f"no verified release {to} on this host", each)
    return Choice(goals, refused)


def _matching(
    verified: Sequence[ReleaseLine], to: str, alike: Iterable[ReleaseLine]
) -> list[ReleaseLine]:
    wanted = {name for line in alike for name in names(line)}
    for kind in ("id", "txn", "wheels"):
        sure = {name for name in wanted if name[0] == kind}
        if found := [line for line in verified if sure & set(names(line))]:
            return found
    return [line for line in verified if line.version == to]


def _no_target(host: str, what: str, own: Candidates) -> HostError:
    hint = f"verified releases: {_listed([line for line in own.verified if not line.running])}"
    return HostError("no-rollback-target", what, host=host, hint=hint)


def _listed(lines: Sequence[ReleaseLine]) -> str:
    return ", ".join(map(_described, lines)) or "none"


def _described(line: ReleaseLine) -> str:
    when = f" of {line.at}" if line.at else ""
    return f"{line.id}{when}{' (runs now)' if line.running else ''}"
