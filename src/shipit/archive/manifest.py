"""What a bundle contains: bundle.json, as values. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from shipit.bundle.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_LONGEST = 120  # characters; of a file's name, 255 bytes are allowed
_WORD = re.compile(r"[A-Za-z0-9_-]+")  # a service, or a variable
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_.+!-]+\.whl")
_ARCHIVE = re.compile(r"[A-Za-z0-9_.+-]+\.tar\.gz")
_VERSION = re.compile(r"3\.\d{1,3}\.\d{1,3}")
_TARGET = re.compile(r"linux-(\w+)-(gnu|musl)(\d+)\.(\d+)-(cp|pp)(\d)(\d+)")
_LIBCS = {"gnu": "glibc", "musl": "musl"}
_IMPLEMENTATIONS = {"cp": "cpython", "pp": "pypy"}


class BrokenError(ValueError):
    """A bundle.json that does not say what a bundle contains."""


@dataclass(frozen=True)
class Artifact:
    """A wheel in a bundle, or the archive of a Python.

    Attributes:
        size: in bytes.
        python: the version of a Python; empty for a wheel.
        source: what a dependency's wheel was built from: the sha256 of a source distribution, a
            repository with a commit, or a folder; empty for a wheel of the lock.
    """

    filename: str
    sha256: str
    size: int
    python: str = ""
    source: str = ""

    @property
    def entry(self) -> str:
        """Its name in the file."""
        return f"{'pythons' if self.python else 'wheels'}/{self.sha256}/{self.filename}"


@dataclass(frozen=True)
class ForTarget:
    """What one kind of host gets; wheels are named by their sha256, sorted by package.

    Attributes:
        target: its name (see `name_of`).
        wheels: the dependencies.
        installer: the wheel of uv or pip that makes the venv.
        python: the archive of the Python that makes it; empty if that is the host's.
    """

    target: str
    wheels: tuple[str, ...]
    installer: str
    python: str = ""


@dataclass(frozen=True)
class Manifest:
    """A bundle.

    Attributes:
        name: the app's, normalized.
        version: the app's.
        folder: the one below a release that its services start in.
        app: the sha256 of the app's own wheel.
        artifacts: all wheels and Pythons, by their sha256.
        targets: the kinds of hosts that it is for.
        commit: of the source; empty outside of git.
        revision: what `git describe` calls the commit.
        is_dirty: whether files differed from the commit.
        lock: the file name of the lock.
        lock_sha256: of its content.
        built_with: the versions of shipit, uv and pip.
        env: the names of the variables that the playbook gave each service; no value.
    """

    name: str
    version: str
    folder: str
    app: str
    artifacts: Mapping[str, Artifact]
    targets: tuple[ForTarget, ...]
    commit: str
    revision: str
    is_dirty: bool
    lock: str
    lock_sha256: str
    built_with: Mapping[str, str]
    env: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """The usual name of its file; one of many targets has their number."""
        targets = "+".join(each.target for each in self.targets)
        if len(targets) > _LONGEST:
            targets = f"{len(self.targets)}-targets"
        return f"{self.name}-{self.version}-{targets}.shipit"


def to_json(manifest: Manifest) -> str:
    """Return the text of bundle.json; equal manifests have equal texts."""
    values = asdict(manifest)
    values["artifacts"] = sorted(values["artifacts"].values(), key=lambda each: each["sha256"])
    for each in (*values["artifacts"], *values["targets"]):
        for key in ("python", "source"):  # a bundle without them is what it was before
            if not each.get(key, "-"):
                del each[key]
    if not manifest.env:
        del values["env"]
    return json.dumps({"format": FORMAT, **values}, indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> Manifest:
    """Read bundle.json.

    Raises:
        BrokenError: it is of another format, a value is wrong, or a name leads nowhere.
    """
    try:
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != FORMAT:
            raise BrokenError("it was made by another version of shipit")
        artifacts = [Artifact(**each) for each in values.pop("artifacts")]
        targets = tuple(
            ForTarget(
                str(each["target"]),
                tuple(map(str, each["wheels"])),
                str(each["installer"]),
                str(each.get("python", "")),
            )
            for each in values.pop("targets")
        )
        known = {each.sha256: each for each in artifacts}
        env = {name: tuple(map(str, keys)) for name, keys in values.pop("env", {}).items()}
        made = Manifest(artifacts=known, targets=targets, env=env, **values)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, BrokenError):
            raise
        raise BrokenError(f"bundle.json is not understood: {error}") from error
    _check(made)
    return made


def _check(made: Manifest) -> None:
    for artifact in made.artifacts.values():
        name = _ARCHIVE if artifact.python else _FILE
        if not (_SHA256.fullmatch(artifact.sha256) and name.fullmatch(artifact.filename)):
            raise BrokenError(f"bundle.json names a wheel {artifact.filename!r}")
        source = str(artifact.source)
        if source != artifact.source or not source.isprintable():
            raise BrokenError(f"bundle.json names a source {artifact.source!r}")
        if artifact.python and not _VERSION.fullmatch(artifact.python):
            raise BrokenError(f"bundle.json names a Python {artifact.python!r}")
    wheels = {made.app, *(sha for each in made.targets for sha in (*each.wheels, each.installer))}
    pythons = {each.python for each in made.targets if each.python}
    listed = {sha for sha, artifact in made.artifacts.items() if artifact.python}
    if wheels | pythons != set(made.artifacts) or pythons != listed:
        raise BrokenError("bundle.json names other wheels than it lists")
    for word in (word for name, keys in made.env.items() for word in (name, *keys)):
        if not _WORD.fullmatch(word):
            raise BrokenError(f"bundle.json names a variable {word!r}")
    if not made.targets:
        raise BrokenError("bundle.json names no target")
    for each in made.targets:
        target_of(each.target)


# --- targets


def name_of(target: Target) -> str:
    """Return the name of a kind of host, such as linux-x86_64-gnu2.36-cp311.

    Raises:
        BrokenError: there is no name for it: another implementation, or what a host claims is odd.
    """
    libc, major, minor = target.libc
    families = {name: short for short, name in _LIBCS.items()}
    pythons = {name: short for short, name in _IMPLEMENTATIONS.items()}
    python = "{}{}{}".format(pythons.get(target.implementation), *target.python)
    name = f"linux-{target.machine}-{families.get(libc)}{major}.{minor}-{python}"
    if not _TARGET.fullmatch(name):
        raise BrokenError(f"no bundle can be built for {target}")
    return name


def target_of(name: str) -> Target:
    """Return the kind of host that a name stands for.

    Raises:
        BrokenError: it is no such name.
    """
    if not (match := _TARGET.fullmatch(name)):
        raise BrokenError(f"{name!r} is no target such as linux-x86_64-gnu2.36-cp311")
    machine, libc, major, minor, python, first, second = match.groups()
    return Target(
        python=(int(first), int(second)),
        implementation=_IMPLEMENTATIONS[python],
        machine=machine,
        libc=(_LIBCS[libc], int(major), int(minor)),
        full_version=f"{first}.{second}",
    )


def with_python(
    manifest: Manifest, machine: str, libc: tuple[str, int, int], python: tuple[int, int] | None
) -> ForTarget | None:
    """Return what a kind of host gets that comes with a Python: the newest one."""

    def merit(each: ForTarget) -> tuple[tuple[int, int], tuple[str, int, int]]:
        target = target_of(each.target)
        return target.python, target.libc

    found = []
    for each in manifest.targets:
        target = target_of(each.target)
        host = replace(target, machine=machine, libc=libc, python=python or target.python)
        if each.python and _runs_on(target, host):
            found.append(each)
    return max(found, key=merit, default=None)


def best_for(manifest: Manifest, host: Target) -> ForTarget | None:
    """Return what a host gets: of its Python and processor, with the newest libc that it has."""

    def libc(each: ForTarget) -> tuple[str, int, int]:
        return target_of(each.target).libc

    fitting = [each for each in manifest.targets if _runs_on(target_of(each.target), host)]
    return max(fitting, key=libc, default=None)


def _runs_on(target: Target, host: Target) -> bool:
    is_kind = (target.python, target.implementation, target.machine) == (
        host.python,
        host.implementation,
        host.machine,
    )
    return is_kind and target.libc[0] == host.libc[0] and target.libc[1:] <= host.libc[1:]
