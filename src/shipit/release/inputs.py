"""Resolve what every host should get, as far as the input alone determines it.

All input is checked here, all mistakes are reported at once, and no host is contacted before.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Generic, TypeVar

from shipit import secrets
from shipit.bundle import select
from shipit.errors import ErrorCollector, InputError, Mistake, collect, merged
from shipit.inventory import model
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.playbook import reader
from shipit.release import programs
from shipit.render import units
from shipit.render.units import ReleaseNames
from shipit.secrets import Secret
from shipit.vault import NONE, Passwords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.bundle.select import Sources
    from shipit.inventory.model import Host
    from shipit.playbook.models import Deployment, EnvFile
    from shipit.playbook.reader import Draft
    from shipit.render.units import Values

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class RunOptions:
    """The options of the command line. Times are in seconds."""

    playbook: Path
    inventory: tuple[Path, ...] = ()
    config: AnsibleConfig = field(default_factory=AnsibleConfig)
    passwords: Passwords = NONE
    beside_playbook: bool = True  # whether variables beside the playbook count
    limit: str | None = None
    extra_vars: Mapping[str, object] = field(default_factory=dict)
    forks: int = 30
    become_password: Secret | None = None
    reason: str = ""
    lock_wait: float = 0.0
    allow_older: bool = False


@dataclass(frozen=True)
class HostInput:
    """A host and the deployment rendered for it: enough for status, logs and rollback."""

    draft: Draft
    host: Host
    deployment: Deployment
    extra_vars: Mapping[str, object]

    @property
    def name(self) -> str:
        return self.host.name

    def filled(self, value: object) -> object:
        """Return a variable of the host with its templates rendered."""
        return units.value(value, self.host, self.extra_vars)

    def rendered(self, names: ReleaseNames) -> Deployment:
        """Return the deployment rendered for this host and a release with these names."""
        return units.deployment(self.draft, self.host, self.extra_vars, names)


@dataclass(frozen=True)
class ResolvedInput:
    """What a host should get; the selection of wheels depends on the host's facts."""

    target: HostInput
    sources: Sources
    secrets: Mapping[str, Secret]
    from_files: Mapping[str, Values] = field(default_factory=dict)  # by service

    def hidden(self) -> Iterator[Secret]:
        """Yield every value that must not be shown."""
        yield from self.secrets.values()
        for values in self.from_files.values():
            yield from secrets_among(values)

    def names(self, release: str) -> ReleaseNames:
        root = self.target.deployment.root
        return ReleaseNames(release, self.sources.app.version, f"{root}/releases/{release}")


PLACEHOLDER = ReleaseNames(
    "0.0.0-00000000", "0.0.0", "/nowhere"
)  # stands in until a release is known


def targets(run: RunOptions, *, must_exist: bool = False) -> list[list[HostInput]]:
    """Return the hosts of each deployment of the playbook, in order.

    Args:
        run: the options of the command line.
        must_exist: whether the files that the playbook names must exist: a deploy needs them, a
            rollback does not.

    Raises:
        InputError: with all mistakes in the inventory and the playbook.
    """
    drafts = reader.read(run.playbook, run.passwords, must_exist=must_exist)
    known = inventory_of(run)
    found = collect(lambda draft: _targets_of(draft, known, run), drafts)
    mistakes = [*roots_that_meet(found), *units_that_meet(found)]
    if mistakes:
        raise InputError(*merged(mistakes))
    return found


def inventory_of(run: RunOptions) -> model.Inventory:
    """Read the inventory of this run.

    Raises:
        InputError: with all mistakes in it.
    """
    reading = model.Reading(
        run.passwords,
        run.playbook.resolve().parent,
        run.config,
        beside_playbook=run.beside_playbook,
    )
    return model.load(run.inventory, reading)


def roots_that_meet(found: Sequence[Sequence[HostInput]]) -> Iterator[Mistake]:
    """Yield a mistake where the roots of two deployments on one host are equal or nested."""
    for (_, ones), (number, others) in combinations(enumerate(found, 1), 2):
        by_name = {target.name: target for target in ones}
        for other in others:
            one = by_name.get(other.name)
            if one and _meet(one.deployment.root, other.deployment.root):
                mine, its = other.deployment, one.deployment
                what = (
                    f"the root {mine.root} of {mine.app} (deployment {number}) overlaps with"
                    f" {its.root} of {its.app} on the same host: each would remove the other"
                )
                key = "root" if "root" in other.draft.values else "app"
                hint = "give each deployment its own `root:`, none inside another"
                place = other.draft.place((key,))
                yield Mistake("roots-meet", what, place, hint, (other.name,))


def units_that_meet(found: Sequence[Sequence[HostInput]]) -> Iterator[Mistake]:
    """Yield a mistake where two deployments have the same unit: a-b and c, a and b-c."""
    for (number, ones), (_, others) in combinations(enumerate(found, 1), 2):
        by_name = {target.name: target for target in ones}
        for other in others:
            one = by_name.get(other.name)
            if one is None or _meet(one.deployment.root, other.deployment.root):
                continue  # reported as overlapping roots
            theirs = _units_of(one)
            for unit, service in _units_of(other).items():
                if unit in theirs:
                    what = f"{unit} is the unit of {theirs[unit]} in deployment {number}, too"
                    place = other.draft.place(("services", service), of_key=True)
                    yield Mistake("units-meet", what, place, "give one another name", (other.name,))


def _units_of(target: HostInput) -> dict[str, str]:
    """Return the services by unit name."""
    app = target.deployment.app
    return {f"{app}-{name}.service": name for name in target.deployment.services}


def _meet(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _targets_of(draft: Draft, known: model.Inventory, run: RunOptions) -> list[HostInput]:
    def target(host: Host) -> HostInput:
        if run.passwords and host.locked:  # none of the given passwords opens its files
            raise InputError(*host.locked)
        deployment = units.deployment(draft, host, run.extra_vars, PLACEHOLDER)
        return HostInput(draft, host, deployment, run.extra_vars)

    try:
        chosen = known.select(draft.hosts, run.limit)
    except InputError as error:
        place = draft.place(("hosts",))
        placed = (replace(each, place=each.place or place) for each in error.mistakes)
        raise InputError(*placed) from error
    return collect(target, chosen)


def resolve(found: Sequence[HostInput]) -> list[ResolvedInput]:
    """Return what each host should get; read wheels, fetch secrets and try the templates.

    Raises:
        InputError: with all mistakes in lock, wheels, templates and secrets.
    """
    sources = Memoized(select.load)
    resolved, dotenv = Memoized(secrets.resolve), Memoized(units.dotenv)

    def secrets_of(target: HostInput) -> dict[str, Secret]:
        found = target.deployment.secrets.items()
        place = target.draft.place
        folder = target.draft.folder
        fetched = collect(lambda kv: resolved(kv[1], folder, place(("secrets", kv[0]))), found)
        return dict(zip(target.deployment.secrets, fetched, strict=True))

    def resolve_host(target: HostInput) -> ResolvedInput:
        wanted, errors = target.deployment, ErrorCollector()
        own = errors.attempt(lambda: sources(wanted.wheel, wanted.lock, wanted.wheelhouse))
        if own:
            errors.attempt(lambda: _refuse_unknown_programs(target, own))
        known = errors.attempt(lambda: secrets_of(target))
        from_files = errors.attempt(lambda: _from_files(target, dotenv)) or {}
        # Templates are tried even if wheels or secrets are wrong: with placeholders.
        unknown = dict.fromkeys(wanted.secrets, Secret(PLACEHOLDER.id))
        made = ResolvedInput(target, own, known or {}, from_files) if own else None
        names = made.names(PLACEHOLDER.id) if made else PLACEHOLDER
        errors.attempt(lambda: _try_texts(target, unknown if known is None else known, names))
        return errors.result(made)

    return collect(resolve_host, found)


def _from_files(target: HostInput, read: Memoized[dict[str, str | Secret]]) -> dict[str, Values]:
    """Return each service's variables of env files: its own override the app's, later earlier."""
    wanted = target.deployment

    def of(service: str) -> Values:
        made = collect(lambda file: read(file.path, file.public), wanted.env_files_of(service))
        return {name: value for values in made for name, value in values.items()}

    return dict(zip(wanted.services, collect(of, wanted.services), strict=True))


def secrets_among(values: Values) -> Iterator[Secret]:
    return (value for value in values.values() if isinstance(value, Secret))


def env_files(found: Iterable[HostInput]) -> set[EnvFile]:
    return {
        file
        for target in found
        for service in target.deployment.services
        for file in target.deployment.env_files_of(service)
    }


def secrets_at_hand(found: Sequence[HostInput], *, run_commands: bool) -> frozenset[Secret]:
    """Return the secrets that are available now, so that they can be hidden in logs.

    Logs and rollbacks need no secrets: an unavailable one is left out. A rollback runs no commands
    for them, because these may prompt or take long.
    """
    references = {
        (reference, target.draft.folder)
        for target in found
        for reference in target.deployment.secrets.values()
        if run_commands or not str(reference).startswith("command:")
    }
    known: set[Secret] = set()
    for reference, folder in references:
        with suppress(InputError):
            known.add(secrets.resolve(reference, folder))
    for file in env_files(found):
        with suppress(InputError):
            known.update(secrets_among(units.dotenv(file.path, file.public)))
    return frozenset(known)


def _try_texts(target: HostInput, resolved: Mapping[str, Secret], names: ReleaseNames) -> None:
    units.release_texts(target.rendered(names), target.host, resolved, names)


def _refuse_unknown_programs(target: HostInput, sources: Sources) -> None:
    if mistakes := tuple(programs.unknown(target.draft, target.deployment, sources)):
        raise InputError(*mistakes)


class Memoized(Generic[U]):
    """Calls a function once per set of arguments; remembers its result or mistake."""

    def __init__(self, make: Callable[..., U]) -> None:
        self._make = make
        self._made: dict[tuple[object, ...], U | InputError] = {}

    def __call__(self, *arguments: object) -> U:
        if arguments not in self._made:
            self._made[arguments] = self._attempt(arguments)
        made = self._made[arguments]
        if isinstance(made, InputError):
            raise made
        return made

    def _attempt(self, arguments: tuple[object, ...]) -> U | InputError:
        try:
            return self._make(*arguments)
        except InputError as error:
            return error
