"""Compare every byte of a release on the disk with what its manifest says, and name what differs.

Wheels' files are compared with the wheels' own lists, taken from blobs whose digest is proven;
what the installer made (scripts) with the list that it wrote. Bytecode is not looked at.
"""

import base64
import csv
import hashlib
import io
import os
import re
import stat
import zipfile
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from . import releases, store
from .contents import Artifact, EnvDigest, Manifest
from .paths import Paths

# RFC 7914; the controller makes the digests with the same numbers.
SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
SCRYPT_MEMORY = 64 * 1024 * 1024  # bytes; OpenSSL's own limit is just what these numbers need
INSTALLERS = ("_virtualenv.py", "_virtualenv.pth")  # put into site-packages by uv venv itself
SEEN_AT_MOST = 20  # sentences about files; more say nothing new


def found(paths: Paths, manifest: Manifest) -> Tuple[str, ...]:
    """Return a sentence for everything on the disk that is not as the manifest says."""
    checks = (_pointer, _texts, _installed, _env, _venv)
    return tuple(sentence for check in checks for sentence in check(paths, manifest))


def quick(paths: Paths, manifest: Manifest) -> Iterator[str]:
    """Yield what keeps a release from being switched to, as far as a few small files tell it."""
    for check in (_texts, _env, _programs):
        yield from check(paths, manifest)


def _programs(paths: Paths, manifest: Manifest) -> Iterator[str]:
    """Look whether the venv still has its Python, and every wheel that was installed in it."""
    python = paths.release(manifest.id).python
    if not os.access(python, os.X_OK):
        link = os.readlink(python) if os.path.islink(python) else "nothing"
        yield f"{python} leads to {link}, which is no interpreter any more"
    packages = _site_packages(paths.release(manifest.id).venv)
    there = _distributions(packages) if packages else ()
    for item in (manifest.app_wheel, *manifest.wheels):
        if _normal(item.name) not in there:
            yield f"{item.name} is not installed in {paths.release(manifest.id).venv} any more"


def _distributions(packages: str) -> Set[str]:
    folders = [name for name in os.listdir(packages) if name.endswith(".dist-info")]
    whole = [name for name in folders if os.path.exists(os.path.join(packages, name, "RECORD"))]
    return {_normal(name[: -len(".dist-info")].rpartition("-")[0]) for name in whole}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _pointer(paths: Paths, manifest: Manifest) -> Iterator[str]:
    target = releases.pointed(paths)
    if target != manifest.id:
        yield f"{paths.current} points at {target or 'no release'} instead of {manifest.id}"


def _texts(paths: Paths, manifest: Manifest) -> Iterator[str]:
    for text in manifest.texts:
        path = paths.release(manifest.id).text(text.name)
        content = releases.read_text(path)
        if content is None:
            yield f"{path} is missing"
            continue
        if releases.digest(content) != text.sha256:
            yield f"{path} was changed"
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode != text.mode:
            yield f"{path} has mode {mode:04o} instead of {text.mode:04o}"


def _installed(paths: Paths, manifest: Manifest) -> Iterator[str]:
    digests = releases.text_digests(manifest)
    for unit in manifest.units:
        path = os.path.join(paths.units, unit.name)
        content = releases.read_text(path)
        if content is None:
            yield f"{path} is missing"
        elif releases.digest(content) != digests.get(f"units/{unit.name}"):
            yield f"{path} was changed"


def _env(paths: Paths, manifest: Manifest) -> Iterator[str]:
    release = paths.release(manifest.id)
    for env in manifest.env:
        path = release.env_file(env.service)
        content = releases.read_text(path)
        if content is None:
            yield f"{path} is missing"
            continue
        status = os.stat(path)
        if status.st_uid != 0 or stat.S_IMODE(status.st_mode) != 0o600:  # noqa: PLR2004
            yield f"{path} can be read by others than root (mode and owner must be 0600, root)"
        if not _has_digest(content, env):
            yield f"{path} was changed"


def _has_digest(content: str, env: EnvDigest) -> bool:
    """Whether the text is the one that was digested; True where this Python can't tell."""
    scrypt = getattr(hashlib, "scrypt", None)  # a Python built without it
    if scrypt is None:
        return True
    text = content.encode("utf-8", "surrogateescape")
    digest = scrypt(text, salt=env.salt.encode(), maxmem=SCRYPT_MEMORY, **SCRYPT)
    return bool(digest.hex() == env.digest)


# --- the venv ----------------------------------------------------------------------------------


class _Entry(NamedTuple):
    digest: str  # sha256, URL-safe base64 without padding, as in RECORD
    size: int


def _venv(paths: Paths, manifest: Manifest) -> Iterator[str]:
    venv = paths.release(manifest.id).venv
    packages = _site_packages(venv)
    if packages is None:
        yield f"{venv} has no site-packages"
        return
    expected = _recorded(packages)
    for item in (manifest.app_wheel, *manifest.wheels):
        listed = _wheel_list(paths, item)
        if listed is None:
            yield f"{paths.blob(item.sha256)} ({item.filename}) is missing or was changed"
        else:
            expected.update(listed)
    sentences = [*_changed(packages, expected), *_added(packages, expected)]
    yield from sentences[:SEEN_AT_MOST]
    if len(sentences) > SEEN_AT_MOST:
        yield f"{venv}: {len(sentences) - SEEN_AT_MOST} more files differ"


def _site_packages(venv: str) -> Optional[str]:
    lib = os.path.join(venv, "lib")
    names = sorted(os.listdir(lib)) if os.path.isdir(lib) else []
    places = [os.path.join(lib, name, "site-packages") for name in names]
    return next(filter(os.path.isdir, places), None)


def _recorded(packages: str) -> Dict[str, _Entry]:
    """Return what the installer says it has put there, by path relative to site-packages."""
    expected: Dict[str, _Entry] = {}
    for name in sorted(os.listdir(packages)):
        if name.endswith(".dist-info"):
            record = releases.read_text(os.path.join(packages, name, "RECORD")) or ""
            expected.update(_entries(record))
            expected[f"{name}/RECORD"] = _Entry("", 0)
    return expected


def _wheel_list(paths: Paths, item: Artifact) -> Optional[Dict[str, _Entry]]:
    """Return what a wheel itself says of the files that lie in site-packages as they are in it."""
    blob = paths.blob(item.sha256)
    if not os.path.exists(blob) or store.digest_of(blob) != item.sha256:
        return None
    with zipfile.ZipFile(blob) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        record = archive.read(names[0]).decode() if names else ""
    entries = _entries(record)
    return {path: entry for path, entry in entries.items() if ".data/" not in path}


def _entries(record: str) -> Dict[str, _Entry]:
    rows = [row for row in csv.reader(io.StringIO(record)) if len(row) == 3]  # noqa: PLR2004
    return {
        path: _Entry(digest[len("sha256=") :], int(size or 0))
        for path, digest, size in rows
        if digest.startswith("sha256=") or not digest
        if not path.endswith(".pyc")
    }


def _changed(packages: str, expected: Mapping[str, _Entry]) -> Iterator[str]:
    for relative, entry in sorted(expected.items()):
        path = os.path.normpath(os.path.join(packages, relative))
        try:
            status = os.stat(path)
        except FileNotFoundError:
            if entry.digest:
                yield f"{path} is missing"
            continue
        if entry.digest and (status.st_size != entry.size or _base64(path) != entry.digest):
            yield f"{path} was changed"


def _base64(path: str) -> str:
    raw = bytes.fromhex(store.digest_of(path))
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _added(packages: str, expected: Mapping[str, _Entry]) -> Iterator[str]:
    known = {os.path.normpath(os.path.join(packages, relative)) for relative in expected}
    known.update(os.path.join(packages, name) for name in INSTALLERS)
    for directory, below, names in os.walk(packages):
        below[:] = [name for name in below if name != "__pycache__"]
        for path in _paths(directory, names):
            if path not in known and not path.endswith(".pyc"):
                yield f"{path} was added"


def _paths(directory: str, names: List[str]) -> List[str]:
    return [os.path.join(directory, name) for name in sorted(names)]
