"""Render a playbook for one host: its values, units, files and environment.

Every template is rendered strictly (see `templating`). All mistakes of a host are reported
together, each with its place. Secrets get into the environment only: no template can see them.
Rendering contacts no host.

Variables, later ones override earlier ones: the inventory's, the playbook's `vars`, the command
line's (-e). Always defined: app, root, user, release.id, release.version, release.path,
inventory_hostname, group_names; a unit's template also has `service`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shipit.agent.protocol import manifest
from shipit.agent.protocol.rules import unit_text
from shipit.errors import ErrorCollector, InputError, Mistake, Place
from shipit.playbook import reader
from shipit.playbook.parsers import RESERVED
from shipit.render import commands, host_vars, templating, unit_names
from shipit.render.ansible_filters import without_omitted
from shipit.render.env_file import env_file
from shipit.render.templating import TemplateFaultError, Variables
from shipit.secrets import Unopened
from shipit.servers import serving
from shipit.servers.argv import BROUGHT
from shipit.vault import LOCKED, WAYS

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.agent.protocol.assets import Assets
    from shipit.agent.protocol.balancers import LoadBalancer
    from shipit.agent.protocol.hooks import Hook
    from shipit.agent.protocol.migrations import Migration
    from shipit.inventory.model import Host
    from shipit.playbook.models import Deployment, RenderedFile
    from shipit.playbook.reader import Draft
    from shipit.render.release_names import ReleaseNames
    from shipit.render.unit_names import Named
    from shipit.secrets import Secret

Values = Mapping[str, "str | Secret"]  # of environment variables, by name
NO_FILES: Mapping[str, Values] = {}
ASSETS_VARIABLE = "SHIPIT_ASSETS"  # of commands and services: the release's own static files
_UNIT_MODE = 0o644
_DEFAULTS = {"root": "/opt/{{ app }}", "user": "{{ app }}"}  # as in playbook.models


@dataclass(frozen=True)
class ReleaseTexts:
    """A release rendered for one host.

    Attributes:
        deployment: as rendered with the release's names.
        units: in the order they are started: sockets, services, timers.
        texts: by path in the release: units/<name>, trial/<name> and files/<dest>.
        modes: of those texts, by the same paths.
        env: service -> variable -> value.
        env_files: the text of each service's env file; holds secrets.
        hooks, migration: that hosts run.
        balancer: that hosts leave for their switch.
        assets: the static files that they keep beside those of earlier releases.
    """

    deployment: Deployment
    units: tuple[manifest.Unit, ...]
    texts: Mapping[str, str]
    modes: Mapping[str, int]
    env: Mapping[str, Values] = field(repr=False)
    env_files: Mapping[str, str] = field(repr=False)
    hooks: tuple[Hook, ...] = ()
    migration: Migration | None = None
    balancer: LoadBalancer | None = None
    assets: Assets | None = None


def deployment(
    draft: Draft, host: Host, extra_vars: Mapping[str, object], release: ReleaseNames
) -> Deployment:
    """Return a deployment rendered for one host and a release with these names."""
    return rendered(draft, host, extra_vars, release)[0]


def rendered(
    draft: Draft, host: Host, extra_vars: Mapping[str, object], release: ReleaseNames
) -> tuple[Deployment, bool]:
    """Return a deployment rendered for one host, and whether it uses the release's names.

    Its `vars` are those of the playbook and of the command line, not rendered.

    Raises:
        InputError: with all mistakes in it.
    """
    if taken := sorted(set(extra_vars) & set(RESERVED)):
        what = f"-e can't set {', '.join(taken)}: it is reserved in templates"
        raise InputError(Mistake("extra-vars", what, hint="give the variable another name"))
    own = draft.values.get("vars")
    variables = {**(own if isinstance(own, dict) else {}), **extra_vars}
    names = {key: draft.values.get(key, _DEFAULTS.get(key, "")) for key in ("app", "root", "user")}
    secrets = draft.values.get("secrets")
    scope = host_vars.scope(
        host,
        {**variables, **names, "release": release.variables()},
        [str(name) for name in secrets] if isinstance(secrets, dict) else (),
    )
    filling = _Filling(draft, host, scope)
    written = {key: value for key, value in draft.values.items() if key != "vars"}
    found = {key: filling.of(value, (key,)) for key, value in written.items()}
    if filling.mistakes:
        raise InputError(*filling.mistakes)
    return reader.typed(draft, {**found, "vars": variables}), scope.has_used("release")


class _Filling:
    """Renders the values of a draft and collects the mistakes."""

    def __init__(self, draft: Draft, host: Host, scope: Variables) -> None:
        self._draft, self._host, self._scope = draft, host, scope
        self.mistakes: list[Mistake] = []

    def of(self, value: object, loc: tuple[str | int, ...]) -> object:
        if isinstance(value, dict):
            return without_omitted({k: self.of(item, (*loc, k)) for k, item in value.items()})
        if isinstance(value, list):
            return [self.of(item, (*loc, index)) for index, item in enumerate(value)]
        try:
            found = self._scope.fill(value)
            if loc[:1] != ("secrets",):
                templating.refuse_secret(found)
            return found  # noqa: TRY300 - the check belongs to the filling
        except TemplateFaultError as fault:
            own = self._draft.values.get("vars")
            is_own = isinstance(own, dict) and fault.variable in own
            place = self._draft.place(("vars", fault.variable) if is_own else loc)
            mistake = _mistake(fault, self._host, place)
            # It may be in a vault that no password opens, and a rollback needs no secret.
            may_be_there = fault.code == "template-undefined" and self._host.locked
            if loc[:1] == ("secrets",) and (fault.code in LOCKED or may_be_there):
                return Unopened(mistake)
            self.mistakes.append(mistake)
            return value


def _mistake(fault: TemplateFaultError, host: Host, place: Place | None) -> Mistake:
    found = templating.mistake(fault, place)
    if fault.code == "template-undefined" and host.locked:
        files = ", ".join(str(mistake.place) for mistake in host.locked)
        found = replace(found, hint=f"{found.hint}; it may be in {files}: {WAYS}")
    return replace(found, hosts=(host.name,))


def value(written: object, host: Host, extra_vars: Mapping[str, object]) -> object:
    """Return one of a host's own variables, rendered.

    Raises:
        InputError: a template in it can't be rendered.
    """
    try:
        return host_vars.scope(host, extra_vars).fill(written)
    except TemplateFaultError as fault:
        raise InputError(_mistake(fault, host, None)) from fault


# --- texts -------------------------------------------------------------------------------------


def release_texts(
    deployment: Deployment,
    host: Host,
    secrets: Mapping[str, Secret],
    release: ReleaseNames,
    from_files: Mapping[str, Values] = NO_FILES,
) -> ReleaseTexts:
    """Return the units, files and environment of a release.

    Args:
        deployment: as rendered for this host and release.
        host: whose variables templates may use.
        secrets: by the names that they have in the deployment's `secrets`.
        release: the same names that the deployment was rendered with.
        from_files: what the env files give each service.

    Raises:
        InputError: with all mistakes in templates, files and environment.
    """
    names = {"app": deployment.app, "root": deployment.root, "user": deployment.user}
    values = {**deployment.vars, **names, "release": release.variables()}
    scope = host_vars.scope(host, values, tuple(deployment.secrets))
    writer = _Writer(host, scope)
    for service in unit_names.named(deployment, release.id):
        writer.units(service, release)
    for file in deployment.files:
        writer.file(file)
    writer.texts |= _brought(deployment)
    own = {ASSETS_VARIABLE: release.assets} if deployment.assets else {}
    of_all: Values = {**deployment.env, **{key: secrets[key] for key in deployment.secrets}}
    env: dict[str, Values] = {
        name: {**from_files.get(name, {}), **of_all, **service.env, **own}
        for name, service in deployment.services.items()
    }
    env_files = {
        name: writer.errors.attempt(env_file, values) or "" for name, values in env.items()
    }
    if mistakes := dict.fromkeys(writer.errors.mistakes):
        raise InputError(*mistakes)
    modes = dict.fromkeys(writer.texts, _UNIT_MODE)
    modes |= {f"files/{file.dest}": file.mode for file in deployment.files}
    named = unit_names.units(deployment, release.id)
    made = (replace(u, command=unit_text.command(writer.texts[f"units/{u.name}"])) for u in named)
    return ReleaseTexts(
        deployment,
        tuple(made),
        writer.texts,
        modes,
        env,
        env_files,
        commands.hooks(deployment, release),
        commands.migration(deployment, release),
        commands.balancer(deployment, release),
        commands.assets(deployment, release),
    )


def _brought(deployment: Deployment) -> dict[str, str]:
    """Return the programs that the release brings along for `serve:`, by path in the release."""
    names = {name for service in deployment.services.values() for name in service.programs}
    return {f"files/{BROUGHT}/{name}": serving.program_text(name) for name in sorted(names)}


class _Writer:
    """Renders templates to texts and collects the mistakes."""

    def __init__(self, host: Host, scope: Variables) -> None:
        self._host, self._scope = host, scope
        self._own = templating.own_templates()
        self.texts: dict[str, str] = {}
        self.errors = ErrorCollector()

    def units(self, of: Named, release: ReleaseNames) -> None:
        places = (release.path, release.workdir)
        template = of.service.unit or self._own / "service.j2"
        for unit in of.units:
            about = unit_names.about(of, unit, of.socket, *places)
            self._write(f"units/{unit}", template, {"service": about})
        about = unit_names.about(of, of.units[0], of.socket, *places)
        for kind, name in (("socket", of.socket), ("timer", of.timer)):
            if about[kind]:
                self._write(f"units/{name}", self._own / f"{kind}.j2", {"service": about})
        if of.trial:
            about = unit_names.about_trial(of, *places)
            self._write(f"trial/{of.trial}", template, {"service": about})
            self._shares(of, template, str(about["socket_unit"]))

    def _shares(self, of: Named, template: Path, socket: str) -> None:
        """Check that a custom unit takes the socket that it is given."""
        text = self.texts.get(f"trial/{of.trial}", f"Sockets={socket}")
        if f"Sockets={socket}" not in text.split():
            what = f"services.{of.name} overlaps, but its unit does not share the socket"
            hint = (
                "write Sockets={{ service.socket_unit }} and NonBlocking=yes into its [Service],"
                " or handover: restart into the playbook"
            )
            mistake = Mistake("unit-shares-no-socket", what, Place(str(template)), hint)
            self.errors.mistakes.append(mistake)

    def file(self, file: RenderedFile) -> None:
        if file.src.suffix == ".j2":
            self._write(f"files/{file.dest}", file.src, {})
            return
        try:
            self.texts[f"files/{file.dest}"] = file.src.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            what = f"the file cannot be used: {reason}"
            self.errors.mistakes.append(Mistake("file-unreadable", what, Place(str(file.src))))

    def _write(self, path: str, template: Path, extra: Mapping[str, object]) -> None:
        try:
            self.texts[path] = self._scope.fill_file(template, extra)
        except TemplateFaultError as fault:
            self.errors.mistakes.append(_mistake(fault, self._host, None))


# --- the gate ----------------------------------------------------------------------------------


def gate(deployment: Deployment) -> manifest.Gate:
    """Return the agent's gate: when a release counts as healthy.

    Checks of the kind `unit` are left out: the agent watches every long-running unit anyway.
    """
    health = deployment.health
    checks = tuple(
        manifest.Check.of(
            check.kind,
            str(getattr(check, check.kind)),
            status=check.status,
            json=dict(check.json_fields) if check.json_fields else None,
            body=check.body,
            timeout=check.timeout,
            headers=check.sent or None,
        )
        for check in health.checks
        if check.kind != "unit"
    )
    return manifest.Gate(checks, health.interval, health.deadline, health.min_healthy, health.bake)


def watch(deployment: Deployment) -> manifest.Watch | None:
    """Return how hosts watch the release after its commit."""
    if (wanted := deployment.watch) is None:
        return None
    return manifest.Watch(wanted.duration, wanted.every, wanted.on_failure, wanted.at_boot)
