"""Compare every byte of a release on the disk with its manifest, and name what differs."""

import hashlib
import os
import stat
import time
from typing import Iterator, Tuple

from ..protocol.answers import Drift
from ..protocol.manifest import EnvDigest, Manifest
from ..records import history, releases
from ..system.paths import Paths
from . import unchanged, venv_drift

# RFC 7914; the controller uses the same parameters.
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
SCRYPT_MEMORY = 64 * 1024 * 1024  # bytes; OpenSSL's own limit is exactly what these parameters need


def of(paths: Paths, release: str) -> Tuple[Drift, ...]:
    """Return every difference from the committed release, and record whether there is any.

    The record makes the next deploy read every byte again.
    """
    began, manifest = time.time_ns(), releases.manifest(paths, release)
    if manifest is None:
        path = paths.release(release).manifest
        return (Drift("manifest-missing", path, f"{path} is missing or broken"),)
    wrong = (*_manifest(paths, manifest), *found(paths, manifest))
    if wrong:
        unchanged.forget(paths, release)
    elif manifest.adopted is None:
        unchanged.stamp(paths, release, began)
    return wrong


def _manifest(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    path = paths.release(manifest.id).manifest
    expected = history.manifest_digest(history.entries(paths), manifest.id)
    if expected and releases.manifest_digest(paths, manifest.id) != expected:
        yield Drift("manifest-changed", path, f"{path} was changed since it was committed")


def found(paths: Paths, manifest: Manifest) -> Tuple[Drift, ...]:
    """Return every difference between the disk and the manifest."""
    whole = (_pointer, _texts, _installed, _env, venv_drift.found)
    checks = whole if manifest.adopted is None else (_pointer,)  # another tool may change its files
    return tuple(drift for check in checks for drift in check(paths, manifest))


def quick(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    """Yield damage that prevents a switch, found from a few small files."""
    python = (venv_drift.interpreter, venv_drift.brought)
    for check in (_texts, _env, *python, venv_drift.missing_packages):
        if manifest.adopted is None:
            yield from check(paths, manifest)


def _pointer(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    if not releases.is_pointed_at(paths, manifest):
        code = "current-moved" if manifest.adopted is None else "adopted-moved"
        leads = releases.pointed(paths) or "no release"
        what = f"{paths.current} points at {leads} instead of {manifest.adopted or manifest.id}"
        yield Drift(code, paths.current, what)


def _texts(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    for text in manifest.texts:
        path = paths.release(manifest.id).text(text.name)
        content = releases.read_text(path)
        if content is None:
            yield Drift("text-missing", path, f"{path} is missing")
            continue
        if releases.digest(content) != text.sha256:
            yield Drift("text-changed", path, f"{path} was changed")
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode != text.mode:
            what = f"{path} has mode {mode:04o} instead of {text.mode:04o}"
            yield Drift("text-changed", path, what)


def _installed(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    digests = releases.text_digests(manifest)
    for unit in manifest.units:
        path = os.path.join(paths.units, unit.name)
        content = releases.read_text(path)
        if content is None:
            yield Drift("unit-missing", path, f"{path} is missing")
        elif releases.digest(content) != digests.get(f"units/{unit.name}"):
            yield Drift("unit-changed", path, f"{path} was changed")


def _env(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    release = paths.release(manifest.id)
    for env in manifest.env:
        path = release.env_file(env.service)
        content = releases.read_text(path)
        if content is None:
            yield Drift("env-missing", path, f"{path} is missing")
            continue
        status = os.stat(path)
        if status.st_uid != 0 or stat.S_IMODE(status.st_mode) != 0o600:  # noqa: PLR2004
            who = "users other than root (mode and owner must be 0600, root)"
            yield Drift("env-readable", path, f"{path} can be read by {who}")
        if not _has_digest(content, env):
            yield Drift("env-changed", path, f"{path} was changed")


def _has_digest(content: str, env: EnvDigest) -> bool:
    """Whether the text matches the digest; True if this Python can't compute it."""
    scrypt = getattr(hashlib, "scrypt", None)  # a Python built without it
    if scrypt is None:
        return True
    text = content.encode("utf-8", "surrogateescape")
    digest = scrypt(text, salt=env.salt.encode(), maxmem=SCRYPT_MEMORY, **SCRYPT)
    return bool(digest.hex() == env.digest)
