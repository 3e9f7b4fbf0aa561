"""What a bundle contains: bundle.json, as values. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename

from shipit.bundle.interpreter import FILE
from shipit.bundle.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_LONGEST = 120  # characters; of a file's name, 255 bytes are allowed
_WORD = re.compile(r"[A-Za-z0-9_-]+")  # a service, or a variable
_SHA256 = re.compile(r"[0-9a-f]{64}")
_WHEEL = re.compile(r"[A-Za-z0-9_.+!-]{1,250}\.whl")
_VERSION = re.compile(r"3\.\d{1,3}\.\d{1,3}")
_TARGET = re.compile(r"linux-(\w+)-(gnu|musl)(\d+)\.(\d+)-(cp|pp)(\d)(\d+)")
_TEXTS = ("name", "version", "folder", "app", "commit", "revision", "lock", "lock_sha256")
# The types of bundle.json: [each] in a list; "*" is each other key.
_SHAPE = {
    **dict.fromkeys(_TEXTS, str),
    "is_dirty": bool,
    "built_with": {"*": str},
    "env": {"*": [str]},
    "artifacts": [
        {"size": int, **dict.fromkeys(("filename", "sha256", "python", "source"), str)},
    ],
    "targets": [
        {"wheels": [str], **dict.fromkeys(("target", "installer", "python"), str)},
    ],
}
_CALLED = {
    str: "a plain text",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}
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
        _refuse_another_format(values.pop("format"))
        _expect(values, _SHAPE, "bundle.json")
        artifacts = [Artifact(**each) for each in values.pop("artifacts")]
        targets = tuple(
            ForTarget(**{**each, "wheels": tuple(each["wheels"])}) for each in values.pop("targets")
        )
        known = {each.sha256: each for each in artifacts}
        env = {name: tuple(keys) for name, keys in values.pop("env", {}).items()}
        made = Manifest(artifacts=known, targets=targets, env=env, **values)
        _check(made)
    except BrokenError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise BrokenError(f"bundle.json is not understood: {error}") from error
    return made


def _refuse_another_format(number: object) -> None:
    if number != FORMAT:
        raise BrokenError("it was made by another version of shipit")


def _expect(value: object, shape: Any, where: str) -> None:  # noqa: ANN401 - a part of _SHAPE
    """Refuse a value that has another type than its shape, or a text with control characters."""
    kind = shape if isinstance(shape, type) else type(shape)
    if type(value) is not kind or (isinstance(value, str) and not value.isprintable()):
        raise BrokenError(f"bundle.json is not understood: {where} is not {_CALLED[kind]}")
    if isinstance(value, list):
        for each in value:
            _expect(each, shape[0], where)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in shape and not ("*" in shape and key.isprintable()):
                raise BrokenError(f"bundle.json is not understood: {where} has a key {key!r}")
            _expect(each, shape.get(key, shape.get("*")), f"{where}.{key}")


def _check(made: Manifest) -> None:
    for artifact in made.artifacts.values():
        _check_artifact(artifact)
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


def _check_artifact(artifact: Artifact) -> None:
    name = FILE if artifact.python else _WHEEL
    if not (_SHA256.fullmatch(artifact.sha256) and name.fullmatch(artifact.filename)):
        raise BrokenError(f"bundle.json names a wheel {artifact.filename!r}")
    if artifact.size < 0:
        raise BrokenError(f"bundle.json has {artifact.size} as the size of {artifact.filename}")
    if not artifact.python:
        parse_wheel_filename(artifact.filename)  # of which others read the name and the version
    elif not _VERSION.fullmatch(artifact.python):
        raise BrokenError(f"bundle.json names a Python {artifact.python!r}")


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
