"""Build the release that one host should get, from the resolved input and the host's facts.

The order is: the newest Python that fits, the wheels for it, an id from all contents (a new
generation of it, if the host's own has drifted), then every text rendered again with that id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shipit.bundle import select
from shipit.bundle.target import Target
from shipit.errors import HostError, InputError
from shipit.release import manifest, repairs
from shipit.release.inputs import PLACEHOLDER
from shipit.release.plan import Wanted, keyed
from shipit.render import units
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.agent.protocol import manifest as manifests
    from shipit.agent.protocol import messages
    from shipit.bundle.select import Bundle
    from shipit.playbook.models import Deployment
    from shipit.release.inputs import ResolvedInput
    from shipit.release.manifest import Origin, Parts, SlowDigests
    from shipit.render.units import ReleaseNames


@dataclass(frozen=True)
class Blob:
    """A file that the host lacks."""

    sha256: str
    path: Path
    size: int


@dataclass(frozen=True)
class ReleaseFiles:
    """A release that is ready to be staged."""

    manifest: manifests.Manifest
    texts: Mapping[str, str]
    env: Mapping[str, str] = field(repr=False)  # holds secrets
    blobs: tuple[Blob, ...] = ()
    user_given: bool = False  # the playbook names the user


@dataclass(frozen=True)
class BuiltRelease:
    """A release for one host: to compare, and to send."""

    wanted: Wanted
    files: ReleaseFiles = field(repr=False)


def build(
    resolved: ResolvedInput, facts: messages.Facts, origin: Origin, digests: SlowDigests, nonce: str
) -> BuiltRelease:
    """Return the release for a host.

    Raises:
        HostError: the host has no Python that fits (no-python-fits).
        InputError: a wheel is missing or does not run there.
    """
    interpreter, chosen = choose(resolved, facts)
    unnamed, _ = _parts(resolved, resolved.names(PLACEHOLDER.id), chosen, interpreter)
    name = repairs.name_of(manifest.release_id(unnamed, digests), facts)
    parts, env = _parts(resolved, resolved.names(name), chosen, interpreter)
    made = manifest.build(name, parts, origin, digests)
    texts = parts.texts.texts
    secret_digests = {
        service: {key: keyed(nonce, value) for key, value in values.items()}
        for service, values in env.items()
    }
    return BuiltRelease(
        Wanted(made, texts, secret_digests),
        ReleaseFiles(
            made, texts, parts.env, _blobs(chosen, facts), _names_its_user(parts.deployment)
        ),
    )


def _names_its_user(deployment: Deployment) -> bool:
    return "user" in deployment.model_fields_set


def choose(resolved: ResolvedInput, facts: messages.Facts) -> tuple[messages.Interpreter, Bundle]:
    """Return the newest Python of the host that the app accepts and that there are wheels for.

    Raises:
        HostError: the host has no Python that the playbook accepts (no-python-fits).
        InputError: no fitting Python has all wheels; names what the newest one lacks.
    """
    wanted = resolved.target.deployment
    fitting = [i for i in facts.interpreters if _target(facts, i).fits(wanted.python)]
    if not fitting:
        raise _no_python(resolved, facts)
    lacking: list[InputError] = []
    for interpreter in sorted(fitting, key=lambda one: _numbers(one.version), reverse=True):
        try:
            chosen = select.select(resolved.sources, _target(facts, interpreter), wanted.installer)
        except InputError as error:
            lacking.append(error)
        else:
            return interpreter, chosen
    raise lacking[0]


def _no_python(resolved: ResolvedInput, facts: messages.Facts) -> HostError:
    found = ", ".join(f"{i.version} ({i.path})" for i in facts.interpreters) or "none"
    left_out = "".join(f"; {one.what}" for one in facts.rejected)
    fixes = "".join(f"; or: {one.hint}" for one in facts.rejected)
    return HostError(
        "no-python-fits",
        f"the app needs Python {resolved.target.deployment.python}; found: {found}{left_out}",
        host=resolved.target.name,
        step="hello",
        hint=f"install one on the host, or change `python:` in the playbook{fixes}",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def _target(facts: messages.Facts, interpreter: messages.Interpreter) -> Target:
    major, minor, *_ = _numbers(interpreter.version)
    return Target(
        python=(major, minor),
        implementation=interpreter.implementation,
        machine=interpreter.machine,
        libc=facts.libc,
        full_version=interpreter.version,
    )


def _parts(
    resolved: ResolvedInput, names: ReleaseNames, chosen: Bundle, interpreter: messages.Interpreter
) -> tuple[Parts, Mapping[str, Mapping[str, str]]]:
    """Return the release's parts rendered with these names, and the revealed env values."""
    deployment = resolved.target.rendered(names)
    texts = units.release_texts(
        deployment, resolved.target.host, resolved.secrets, names, resolved.from_files
    )
    env = {
        service: {key: units.revealed(value) for key, value in values.items()}
        for service, values in texts.env.items()
    }
    parts = manifest.Parts(
        deployment=deployment,
        bundle=chosen,
        texts=texts,
        gate=units.gate(deployment),
        smoke=units.smoke(deployment),
        interpreter=interpreter,
        env={service: units.env_file(values) for service, values in env.items()},
        keys={service: tuple(sorted(values)) for service, values in env.items()},
        secret={
            service: tuple(
                sorted(key for key, value in values.items() if isinstance(value, Secret))
            )
            for service, values in texts.env.items()
        },
    )
    return parts, env


def _blobs(chosen: Bundle, facts: messages.Facts) -> tuple[Blob, ...]:
    present = set(facts.present)
    return tuple(
        Blob(wheel.sha256, wheel.path, wheel.size)
        for wheel in chosen.all()
        if wheel.sha256 not in present
    )
