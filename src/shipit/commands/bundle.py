"""The use cases build, inspect, verify and diff: make bundles, and look into them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.archive import build as building
from shipit.archive import compare, file, remote, signature, smoke
from shipit.archive import manifest as manifests
from shipit.archive import signers as checking
from shipit.archive.manifest import BrokenError, name_of, target_of
from shipit.bundle.wheel import files_of
from shipit.errors import HostError, InputError, Mistake
from shipit.events import Noted, ignore
from shipit.project import cache
from shipit.project.programs import GIT, Program
from shipit.project.sources import ProjectSources
from shipit.release import offline
from shipit.release.build import choose, numbers, target_on, with_python
from shipit.release.inputs import resolve, targets
from shipit.rollout.connections import connect_all
from shipit.rollout.prepare import ask, wheels_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shipit.archive.compare import Change
    from shipit.archive.file import Bundle
    from shipit.bundle import select
    from shipit.bundle.select import Sources
    from shipit.bundle.target import Target
    from shipit.events import Emit
    from shipit.playbook.project import PinnedFile
    from shipit.release.inputs import ResolvedInput, RunOptions
    from shipit.release.sources import Named


@dataclass(frozen=True)
class Difference:
    """What differs between two bundles; commits are those between them, the newest first."""

    changes: Sequence[Change]
    commits: Sequence[str] = ()


@dataclass(frozen=True)
class Signature:
    """Who has signed a bundle: the key, "" for none, and the name that a file of signers has.

    `unknown` says why the key is not known.
    """

    key: str
    name: str
    unknown: str = ""


def build(run: RunOptions, emit: Emit, names: Sequence[str], folder: Path) -> list[Path]:
    """Write the bundle of each project of a playbook; return their paths.

    Args:
        run: the options of the command line.
        emit: receives events.
        names: the targets; without any, the playbook's hosts are asked.
        folder: where to.

    Raises:
        InputError: a deployment has no project, or one cannot be built for a target.
        HostError: a host that has to be asked gives no answer.
    """
    known = _targets(names)
    wheels = wheels_by(run, emit, [*known.values()])

    def unsigned(named: Named) -> Sources:  # it is signed once it is there
        return wheels(replace(named, signers=None))

    readers = replace(offline.readers(), wheels=unsigned)
    made = []
    for found in targets(run):
        for wanted in _by_sources(resolve(found, readers)):
            sources = wanted[0].sources
            if not isinstance(sources, ProjectSources):
                place = wanted[0].draft.place(())
                what = "this deployment has no `project` to build a bundle from"
                raise InputError(Mistake("no-project", what, place, "write project: .."))
            chosen = _for_targets(wanted[0], known) if known else _for_hosts(wanted, run, emit)
            smoke.check(chosen, sources.fetcher.store, lambda text: emit(Noted(text)))
            made.append(building.write(folder, sources, chosen, _variables(wanted)))
    return made


def _variables(wanted: Sequence[ResolvedInput]) -> dict[str, tuple[str, ...]]:
    """Return the names of each service's variables, on any of the hosts."""
    found: dict[str, set[str]] = {}
    for each in wanted:
        for service, values in each.stand_in.env.items():
            found.setdefault(service, set()).update(values)
    return {service: tuple(sorted(found[service])) for service in sorted(found)}


def _by_sources(wanted: Sequence[ResolvedInput]) -> list[list[ResolvedInput]]:
    """Return the hosts of each project: a template in `project:` may differ between hosts."""
    found: dict[int, list[ResolvedInput]] = {}
    for each in wanted:  # one project has been read once
        found.setdefault(id(each.sources), []).append(each)
    return [*found.values()]


def _targets(names: Sequence[str]) -> dict[str, Target]:
    try:
        return {name: target_of(name) for name in names}
    except BrokenError as error:
        hint = "the targets of hosts: shipit build PLAYBOOK, without --target"
        raise InputError(Mistake("target-unknown", str(error), None, hint)) from error


def _for_targets(wanted: ResolvedInput, known: Mapping[str, Target]) -> dict[str, select.Bundle]:
    """Return the wheels for each target that was named."""
    installer, python = wanted.deployment.installer, wanted.deployment.python
    if not python.is_brought:
        return {name: wanted.sources.select(target, installer) for name, target in known.items()}
    return {
        name: with_python(wanted, target.machine, target.libc, target.python)[1]
        for name, target in known.items()
    }


def _for_hosts(
    wanted: Sequence[ResolvedInput], run: RunOptions, emit: Emit
) -> dict[str, select.Bundle]:
    """Return the wheels for each kind of host among those of the playbook."""
    with connect_all(wanted, run, emit) as connections:
        answers = ask(wanted, connections, recover=False)
        if problems := connections.problems():
            name, problem = next(iter(problems.items()))
            what = f"its Python and platform are not known: {problem.what}"
            hint = f"--limit '!{name}' leaves it out; --target names a kind of host"
            raise HostError(problem.code, what, host=name, step="hello", hint=hint)
    made = []
    for each in wanted:
        interpreter, bundle = choose(each, answers[each.name])
        made.append((target_on(answers[each.name], interpreter), bundle))
    # Of one kind the oldest Python counts: what is right for it runs on all.
    made.sort(key=lambda pair: numbers(pair[0].full_version), reverse=True)
    try:
        return {name_of(target): bundle for target, bundle in made}
    except BrokenError as error:
        hint = "leave such hosts out: --limit; their wheels can be shipped by `project:` alone"
        raise InputError(Mistake("target-unknown", str(error), None, hint)) from error


def read(pinned: PinnedFile, emit: Emit = ignore) -> Bundle:
    """Read and verify a bundle, a file or one at a URL.

    Raises:
        InputError: it is missing, broken, cannot be fetched, or is another than its digest says.
    """
    store = cache.Cache(cache.default_folder(os.environ))
    return remote.read(pinned, store, emit)


def sign(path: Path, key: Path | None) -> Path:
    """Sign a bundle; return the path of its signature.

    Raises:
        InputError: it is not whole; there is no key, or it cannot be used.
    """
    found = file.read(path, cache.Cache(cache.default_folder(os.environ)))
    return signature.sign(path, manifests.to_json(found.manifest), key)


def signed_by(found: Bundle, signers: Path | None) -> Signature:
    """Return who has signed a bundle.

    Raises:
        InputError: the signature is not one of this bundle, or by none of these signers.
    """
    name = checking.signer(found, signers) if signers else ""
    return Signature(checking.key_of(found), name, "" if found.signed else found.unfetched)


def diff(old: Bundle, new: Bundle) -> Difference:
    """Return what differs between two bundles, with the commits if this folder's git has them."""
    files = [files_of(each.wheels[each.manifest.app]) for each in (old, new)]
    changes = compare.changes(old.manifest, new.manifest, *files)
    return Difference(changes, _commits(old.manifest.commit, new.manifest.commit))


def _commits(old: str, new: str) -> Sequence[str]:
    if not old or not new or old == new:
        return ()
    asked = ["git", "log", "--oneline", "--no-decorate", f"{old}..{new}"]
    try:
        status, output, _ = Program("ask git", asked, Path.cwd(), GIT).attempt()
    except InputError:  # no git on this machine
        return ()
    return output.splitlines() if status == 0 else ()


def facts(bundle: Bundle) -> Mapping[str, object]:
    """Return what a bundle is, for JSON."""
    made = bundle.manifest
    return {
        **vars(made),
        "sha256": bundle.sha256,
        "artifacts": [vars(each) for each in made.artifacts.values()],
        "targets": [vars(each) for each in made.targets],
    }
