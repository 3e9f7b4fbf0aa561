"""Resolve what every host should get, as far as the input alone determines it.

All input is checked here, all mistakes are reported at once, and no host is contacted before.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import chain, combinations
from typing import TYPE_CHECKING, TypeVar

from shipit import secrets
from shipit.errors import ErrorCollector, InputError, Mistake, collect, merged
from shipit.inventory import model
from shipit.inventory.ansible_cfg import AnsibleConfig
from shipit.playbook import reader
from shipit.release import canary_hosts, programs
from shipit.release.sources import Named
from shipit.release.sources import load as load_sources
from shipit.render import units
from shipit.render.dotenv_file import read as read_dotenv
from shipit.render.release_names import ReleaseNames
from shipit.secrets import Secret
from shipit.vault import NONE, Passwords

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Hashable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from pathlib import Path

    from shipit.bundle.select import Sources
    from shipit.inventory.model import Host
    from shipit.playbook.models import Deployment
    from shipit.playbook.project import PinnedFile
    from shipit.playbook.reader import Draft
    from shipit.playbook.service import EnvFile
    from shipit.render.units import ReleaseTexts, Values

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
    override_hold: bool = False
    override_freeze: bool = False
    migrate_again: bool = False
    force_past_migration: bool = False
    bundle: PinnedFile | None = None  # shipped instead of what the playbook names
    builder: str = ""  # the host that builds what this machine cannot build for the hosts
    is_interactive: bool = False  # whether a question can be asked on the terminal


@dataclass(frozen=True)
class HostInput:
    """A host and the deployment rendered for it: enough for status, logs and rollback."""

    draft: Draft
    host: Host
    extra_vars: Mapping[str, object]
    deployment: Deployment
    varies: bool = True  # from release to release

    @classmethod
    def of(cls, draft: Draft, host: Host, extra_vars: Mapping[str, object]) -> HostInput:
        """Render the deployment of a draft for a host; no release is known yet."""
        return cls(draft, host, extra_vars, *units.rendered(draft, host, extra_vars, PLACEHOLDER))

    @property
    def name(self) -> str:
        return self.host.name

    def filled(self, value: object) -> object:
        """Return a variable of the host with its templates rendered."""
        return units.value(value, self.host, self.extra_vars)


@dataclass(frozen=True, kw_only=True)
class ResolvedInput(HostInput):
    """What a host should get; the selection of wheels depends on the host's facts."""

    sources: Sources
    secrets: Mapping[str, Secret]
    from_files: Mapping[str, Values] = field(default_factory=dict)  # by service
    tokens: Mapping[int, Secret] = field(default_factory=dict)  # of the canary's checks, by index

    def hidden(self) -> Iterator[Secret]:
        """Yield every value that must not be shown."""
        yield from self.secrets.values()
        yield from self.tokens.values()
        for values in self.from_files.values():
            yield from secrets_among(values)

    @cached_property
    def stand_in(self) -> ReleaseTexts:
        """The release as rendered with a stand-in for its id, which is made from the contents."""
        return self.rendered(PLACEHOLDER.id)

    def rendered(self, release: str) -> ReleaseTexts:
        """Return everything of a release with this id, rendered.

        Raises:
            InputError: with all mistakes in templates, files and environment.
        """
        deployment, names = self.deployed(release), self._names(release)
        return units.release_texts(deployment, self.host, self.secrets, names, self.from_files)

    def deployed(self, release: str) -> Deployment:
        """Return the deployment as it is in a release with this id."""
        if not self.varies:
            return self.deployment
        return units.deployment(self.draft, self.host, self.extra_vars, self._names(release))

    def _names(self, release: str) -> ReleaseNames:
        path = f"{self.deployment.root}/releases/{release}"
        return ReleaseNames(release, self.sources.app.version, path, self.sources.folder)


# Stands in until a release is known.
PLACEHOLDER = ReleaseNames("0.0.0-00000000", "0.0.0", "/nowhere")


def targets(run: RunOptions, *, must_exist: Collection[str] = ()) -> list[list[HostInput]]:
    """Return the hosts of each deployment of the playbook, in order.

    Args:
        run: the options of the command line.
        must_exist: the keys of the playbook whose files must exist: a deploy needs all of them, a
            rollback none.

    Raises:
        InputError: with all mistakes in the inventory and the playbook.
    """
    drafts = reader.read(run.playbook, run.passwords, must_exist=must_exist)
    known = inventory_of(run)
    found = collect(lambda draft: _targets_of(draft, known, run), drafts)
    first = (each[0] for each in found)
    unknown = (canary_hosts.unknown(it.draft, it.deployment.canary, it.host) for it in first)
    if mistakes := (*_that_meet(found), *chain.from_iterable(unknown)):
        raise InputError(*merged(mistakes))
    return found


def inventory_of(run: RunOptions) -> model.Inventory:
    """Read the inventory of this run.

    Raises:
        InputError: with all mistakes in it.
    """
    folder, beside = run.playbook.resolve().parent, run.beside_playbook
    reading = model.Reading(run.passwords, folder, run.config, beside_playbook=beside)
    return model.load(run.inventory, reading)


def _that_meet(found: Sequence[Sequence[HostInput]]) -> Iterator[Mistake]:
    """Yield a mistake where two deployments on one host have nested roots or the same unit.

    Units may have one name although their apps have two: a-b and c, a and b-c.
    """
    for one, number, other, second in _neighbours(found):
        mine, its, place = other.deployment, one.deployment, other.draft.place
        if f"{mine.root}/".startswith(f"{its.root}/") or f"{its.root}/".startswith(f"{mine.root}/"):
            what = (
                f"the root {mine.root} of {mine.app} (deployment {second}) overlaps with"
                f" {its.root} of {its.app} on the same host: each would remove the other"
            )
            where = place(("root" if "root" in other.draft.values else "app",))
            hint = "give each deployment its own `root:`, none inside another"
            yield Mistake("roots-meet", what, where, hint, (other.name,))
            continue
        theirs = {f"{its.app}-{service}": service for service in its.services}
        for service in mine.services:
            if (unit := f"{mine.app}-{service}") in theirs:
                what = f"{unit}.service is the unit of {theirs[unit]} in deployment {number}, too"
                where = place(("services", service), of_key=True)
                yield Mistake("units-meet", what, where, "give one another name", (other.name,))


def _neighbours(
    found: Sequence[Sequence[HostInput]],
) -> Iterator[tuple[HostInput, int, HostInput, int]]:
    """Yield every two deployments of one host, each with its number in the playbook."""
    for (first, ones), (second, others) in combinations(enumerate(found, 1), 2):
        by_name = {one.name: one for one in ones}
        for other in others:
            if other.name in by_name:
                yield by_name[other.name], first, other, second


def _targets_of(draft: Draft, known: model.Inventory, run: RunOptions) -> list[HostInput]:
    def target(host: Host) -> HostInput:
        if run.passwords and host.locked:  # none of the given passwords opens its files
            raise InputError(*host.locked)
        return HostInput.of(draft, host, run.extra_vars)

    try:
        chosen = known.select(draft.hosts, run.limit)
    except InputError as error:
        place = draft.place(("hosts",))
        placed = (replace(each, place=each.place or place) for each in error.mistakes)
        raise InputError(*placed) from error
    return collect(target, chosen)


@dataclass(frozen=True)
class Readers:
    """How the wheels, the secrets and the env files of a playbook are read.

    Attributes:
        wheels: of what the playbook names; None if there is nothing to choose from.
        secret: of a reference, the playbook's folder and the place of the reference.
        dotenv: of a file and the names of its public variables.
    """

    wheels: Callable[[Named], Sources | None] = load_sources
    secret: Callable[..., Secret] = secrets.resolve
    dotenv: Callable[..., Values] = read_dotenv


def resolve(found: Sequence[HostInput], readers: Readers = Readers()) -> list[ResolvedInput]:
    """Return what each host should get; read wheels, fetch secrets and try the templates.

    Hosts without wheels to choose from are left out; their templates are tried, too.

    Raises:
        InputError: with all mistakes in lock, wheels, templates and secrets.
    """
    load, secret = memoized(readers.wheels), memoized(readers.secret)
    dotenv = memoized(readers.dotenv)

    def resolve_host(target: HostInput) -> tuple[ResolvedInput, ...]:
        wanted, errors = target.deployment, ErrorCollector()
        sources = errors.attempt(load, Named.by(wanted))
        if sources and (brought := sources.programs()) is not None:
            errors.mistakes += programs.unknown(target.draft, wanted, brought)
        known = errors.attempt(_secrets, target, secret)
        if known is None:  # templates are tried even if wheels or secrets are wrong
            known = dict.fromkeys(wanted.secrets, Secret(PLACEHOLDER.id))
        from_files = errors.attempt(_from_files, target, dotenv) or {}
        tokens = errors.attempt(_tokens, target, secret) or {}
        if sources is None:
            tried = (wanted, target.host, known, PLACEHOLDER)
            errors.attempt(units.release_texts, *tried, from_files)
            return errors.result(())
        made = ResolvedInput(
            **vars(target), sources=sources, secrets=known, from_files=from_files, tokens=tokens
        )
        errors.attempt(lambda: made.stand_in)
        return errors.result((made,))

    return [made for each in collect(resolve_host, found) for made in each]


def _secrets(target: HostInput, read: Callable[..., Secret]) -> dict[str, Secret]:
    """Return the deployment's secrets by the names of their variables."""
    draft, wanted = target.draft, target.deployment.secrets

    def of(name: str) -> Secret:
        return read(wanted[name], draft.folder, draft.place(("secrets", name)))

    return dict(zip(wanted, collect(of, wanted), strict=True))


def _tokens(target: HostInput, read: Callable[..., Secret]) -> dict[int, Secret]:
    """Return the tokens of the checks of the canary, by their index."""
    draft, canary = target.draft, target.deployment.canary
    wanted = {n: check.token for n, check in enumerate(canary.checks if canary else ())}
    wanted = {number: token for number, token in wanted.items() if token}

    def of(number: int) -> Secret:
        place = draft.place(("canary", "checks", number, "token"))
        return read(wanted[number], draft.folder, place)

    return dict(zip(wanted, collect(of, wanted), strict=True))


def _from_files(target: HostInput, read: Callable[..., Values]) -> dict[str, Values]:
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
            known.update(secrets_among(read_dotenv(file.path, file.public)))
    return frozenset(known)


def memoized(make: Callable[..., U]) -> Callable[..., U]:
    """Return a function that calls `make` once per arguments; remembers its result or mistake."""

    @cache
    def attempted(*given: Hashable) -> U | InputError:
        try:
            return make(*given)
        except InputError as error:
            return error

    def call(*given: Hashable) -> U:
        if isinstance(made := attempted(*given), InputError):
            raise made
        return made

    return call
