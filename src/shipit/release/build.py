"""Build the release that one host should get, from the resolved input and the host's facts.

The order is: the newest Python that fits, the wheels for it, an id from all contents (a new
generation of it, if the host's own has drifted), then every text rendered with that id.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shipit.bundle.target import Target
from shipit.errors import HostError, InputError, Mistake, Place
from shipit.release import manifest, programs, pulling, repairs, serving
from shipit.render.env_file import revealed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from shipit.agent.protocol import answers, messages
    from shipit.agent.protocol.manifest import Manifest, Signed
    from shipit.bundle.interpreter import Interpreter, Libc
    from shipit.bundle.select import Bundle
    from shipit.bundle.wheel import Wheel
    from shipit.release.inputs import ResolvedInput
    from shipit.release.manifest import Digest
    from shipit.release.pulling import RemoteBundle


@dataclass(frozen=True)
class Blob:
    """A wheel of a release, or its Python, under its sha256; the size is in bytes."""

    sha256: str
    path: Path
    size: int


@dataclass(frozen=True)
class BuiltRelease:
    """A release for one host: to compare, and to send.

    Attributes:
        texts: path in the release -> text, for units and files.
        env: the text of each service's env file; holds secrets.
        env_digests: service -> variable -> `keyed` digest of its value.
        blobs: all wheels, and its own Python; after `without`, those that the host lacks.
        user_given: whether the playbook names the user.
        served: what each `serve:` became, a line each.
        signed: what was signed of the bundle that it is from.
        pulled: where the host fetches the blobs itself, unless they are sent.
    """

    manifest: Manifest
    texts: Mapping[str, str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    env_digests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    blobs: tuple[Blob, ...] = ()
    user_given: bool = False
    served: tuple[str, ...] = ()
    signed: Signed | None = None
    pulled: RemoteBundle | None = None

    def without(self, present: Collection[str]) -> BuiltRelease:
        """Return the release for a host that has the blobs with these digests already."""
        return replace(self, blobs=tuple(b for b in self.blobs if b.sha256 not in present))

    def below(self, folder: str) -> dict[str, str]:
        """Return the texts in a folder of the release, by their names there."""
        inside = (path for path in self.texts if path.startswith(folder))
        return {path.removeprefix(folder): self.texts[path] for path in inside}


def build(
    resolved: ResolvedInput,
    facts: messages.Facts,
    attempt: messages.Attempt,
    digest: Digest,
    nonce: str,
) -> BuiltRelease:
    """Return the release for a host.

    Raises:
        HostError: the host has no Python that fits (no-python-fits).
        InputError: a wheel is missing or does not run there, none has a service's program, or a
            server is locked in a version that `serve:` does not support.
    """
    interpreter, bundle = choose(resolved, facts)
    if lacking := list(programs.unknown(resolved.draft, resolved.deployment, bundle.programs())):
        raise InputError(*lacking)
    serving.refuse_unsupported(resolved.draft, resolved.deployment, bundle)
    contents = manifest.release_id(resolved.stand_in, bundle, interpreter, digest)
    name = repairs.name_of(contents, facts)
    made = resolved.rendered(name)
    return BuiltRelease(
        manifest.build(name, made, bundle, interpreter, attempt, digest),
        made.texts,
        made.env_files,
        {
            service: {key: manifest.keyed(nonce, revealed(value)) for key, value in values.items()}
            for service, values in made.env.items()
        },
        tuple(Blob(each.sha256, each.path, each.size) for each in _sent(bundle)),
        "user" in made.deployment.model_fields_set,
        tuple(serving.shown(made.deployment)),
        resolved.sources.signed,
        pulling.of(resolved),
    )


def _sent(bundle: Bundle) -> tuple[Wheel | Interpreter, ...]:
    return (*bundle.all(), *([bundle.python] if bundle.python else []))


def choose(resolved: ResolvedInput, facts: messages.Facts) -> tuple[answers.Interpreter, Bundle]:
    """Return the Python for the venv, and the wheels for it.

    It comes with the release, or is the newest of the host that the app accepts and that there are
    wheels for.

    Raises:
        HostError: the host has no Python that the playbook accepts (no-python-fits).
        InputError: no fitting Python has all wheels; names what the newest one lacks.
    """
    wanted = resolved.deployment
    if wanted.python.is_brought:
        _, bundle = with_python(resolved, facts.machine, facts.libc)
        return manifest.interpreter_of(bundle, facts.machine), bundle
    fitting = [i for i in facts.interpreters if target_on(facts, i).fits(wanted.python.version)]
    if not fitting:
        found = ", ".join(f"{i.version} ({i.path})" for i in facts.interpreters) or "none"
        left_out = "".join(f"; {one.what}" for one in facts.rejected)
        fixes = "".join(f"; or: {one.hint}" for one in facts.rejected)
        raise HostError(
            "no-python-fits",
            f"the app needs Python {wanted.python.version}; found: {found}{left_out}",
            host=resolved.name,
            step="hello",
            hint=f"install one on the host, change `python:` in the playbook, or let a Python come"
            f" with the release (`source: bundle`){fixes}",
        )
    lacking: list[InputError] = []
    for interpreter in sorted(fitting, key=lambda one: numbers(one.version), reverse=True):
        try:
            chosen = resolved.sources.select(target_on(facts, interpreter), wanted.installer)
        except InputError as error:
            lacking.append(error)
        else:
            return interpreter, chosen
    raise lacking[0]


def with_python(
    resolved: ResolvedInput, machine: str, libc: Libc, python: tuple[int, int] | None = None
) -> tuple[Target, Bundle]:
    """Return the Python that comes with a release for a kind of host, and the wheels for it.

    Raises:
        InputError: there is no such Python, or a wheel is missing for it.
    """
    wanted, sources = resolved.deployment, resolved.sources
    if sources.interpreters is None:
        raise AssertionError("a playbook with `source: bundle` has interpreters")
    found = sources.interpreters.best(machine, libc, python)
    target = found.target(libc)
    if not target.fits(wanted.python.version):
        what = f"Python {found.version} comes with it; the app needs {wanted.python.version}"
        hint = "build the bundle with this `python:` of the playbook, or change that"
        raise InputError(Mistake("wrong-python", what, Place(str(found.path)), hint))
    return target, replace(sources.select(target, wanted.installer), python=found)


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a Python's version, to compare it with others."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())


def target_on(facts: messages.Facts, interpreter: answers.Interpreter) -> Target:
    """Return what decides which wheels run on a host, with one of its Pythons."""
    major, minor, *_ = numbers(interpreter.version)
    return Target(
        python=(major, minor),
        implementation=interpreter.implementation,
        machine=interpreter.machine,
        libc=facts.libc,
        full_version=interpreter.version,
    )
