"""Compare the files of a venv with its wheels, and report the differences.

Wheels' files are compared with the wheels' own lists, taken from blobs whose digest is verified;
files made by the installer (scripts) with its own list. Bytecode is ignored.
"""

import base64
import csv
import hashlib
import io
import os
import re
import zipfile
from typing import IO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set

from ..protocol.answers import Drift
from ..protocol.manifest import Artifact, Manifest
from ..records import releases
from ..system.paths import Paths
from . import blobs, bytecode, pythons

INSTALLERS = ("_virtualenv.py", "_virtualenv.pth")  # created in site-packages by uv venv itself
INFO, BYTECODE = ".dist-info", ".pyc"
RECORD = re.compile(r"[^/]+\.dist-info/RECORD")
# The entries of a wheel that installers put elsewhere, or rewrite.
ELSEWHERE = re.compile(
    r"[^/]+\.data/|[^/]+\.dist-info/(RECORD(\.jws|\.p7s)?|INSTALLER|REQUESTED|direct_url\.json)$"
)
RECORD_LIMIT = 16 * 1024 * 1024  # bytes; compressed it may be a thousand times smaller
SEEN_AT_MOST = 20  # sentences about files; more add nothing


class _Claim(NamedTuple):
    """The record of a file by one wheel, or by the installer; a shared file has several."""

    digest: str  # "sha256=..." as in RECORD; "" if not recorded
    blob: str = ""  # the wheel with the file, "" for a file made by the installer
    entry: str = ""  # its name in the wheel


Claims = Dict[str, List[_Claim]]  # by path


def found(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    """Yield every file that differs from the wheels and the installer's list."""
    venv = paths.release(manifest.id).venv
    yield from interpreter(paths, manifest)
    yield from brought(paths, manifest, is_whole=True)
    packages = bytecode.site_packages(venv)
    if packages is None:
        yield Drift("venv-missing", venv, f"{venv} has no site-packages")
        return
    shipped: Claims = {}
    for item in (manifest.app_wheel, *manifest.wheels):
        listed = _shipped(paths, item)
        if listed is None:
            blob = paths.blob(item.sha256)
            yield Drift("blob-damaged", blob, f"{blob} ({item.filename}) is missing or was changed")
        else:
            _add(shipped, packages, listed)
    # Compare with the wheel itself: the list on the disk may have been changed with the file.
    expected = {**_recorded(packages), **shipped}
    differing = [*_changed(expected), *_added(packages, expected)]
    yield from differing[:SEEN_AT_MOST]
    if len(differing) > SEEN_AT_MOST:
        more = len(differing) - SEEN_AT_MOST
        yield Drift("file-changed", venv, f"{venv}: {more} more files differ")


def interpreter(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    """Check the venv's Python, and the interpreter that created the venv."""
    python = paths.release(manifest.id).python
    real = os.path.realpath(python)
    if not os.access(python, os.X_OK):
        link = os.readlink(python) if os.path.islink(python) else "nothing"
        what = f"{python} leads to {link}, which is no longer an interpreter"
        yield Drift("interpreter-gone", python, what)
    elif real != os.path.realpath(manifest.interpreter):
        what = f"{python} leads to {real} instead of {manifest.interpreter}"
        yield Drift("interpreter-changed", python, what)


def brought(paths: Paths, manifest: Manifest, *, is_whole: bool = False) -> Iterator[Drift]:
    """Check an interpreter that came with the release; `is_whole`: each byte, touched or not."""
    if manifest.python is None:
        return
    sha256 = manifest.python.sha256
    if is_whole or not pythons.is_untouched(paths, sha256):
        for what in pythons.differences(paths, sha256)[:SEEN_AT_MOST]:
            yield Drift("interpreter-changed", paths.python(sha256), what)


def missing_packages(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    """Check by the names of folders whether every wheel is installed."""
    venv = paths.release(manifest.id).venv
    packages = bytecode.site_packages(venv)
    there = _distributions(packages) if packages else ()
    for item in (manifest.app_wheel, *manifest.wheels):
        if _normal(item.name) not in there:
            yield Drift("package-missing", venv, f"{item.name} is no longer installed in {venv}")


def _distributions(packages: str) -> Set[str]:
    folders = [name for name in os.listdir(packages) if name.endswith(INFO)]
    whole = [name for name in folders if os.path.exists(os.path.join(packages, name, "RECORD"))]
    return {_normal(name[: -len(INFO)].rpartition("-")[0]) for name in whole}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _add(claims: Claims, packages: str, listed: Mapping[str, _Claim]) -> None:
    for relative, claim in listed.items():
        path = os.path.normpath(os.path.join(packages, relative))
        claims.setdefault(path, []).append(claim)


def _recorded(packages: str) -> Claims:
    """Return the files that the installer recorded."""
    claims: Claims = {}
    for name in sorted(os.listdir(packages)):
        if name.endswith(INFO):
            record = releases.read_text(os.path.join(packages, name, "RECORD")) or ""
            listed = {path: _Claim(digest) for path, digest in _entries(record).items()}
            _add(claims, packages, listed)
            _add(claims, packages, {f"{name}/RECORD": _Claim("")})
    return claims


def _shipped(paths: Paths, item: Artifact) -> Optional[Dict[str, _Claim]]:
    """Return the files in site-packages that a wheel has unchanged; None if the wheel is missing.

    The wheel's own RECORD only saves reading them: it may be incomplete or wrong.
    """
    blob = paths.blob(item.sha256)
    if not os.path.exists(blob) or blobs.digest_of(blob) != item.sha256:
        return None
    with zipfile.ZipFile(blob) as archive:
        names = archive.namelist()
        # Only a list at the top is the wheel's own: vendored packages have others further down.
        record = next((name for name in names if RECORD.fullmatch(name)), "")
        is_list = record and archive.getinfo(record).file_size <= RECORD_LIMIT
        recorded = _entries(archive.read(record).decode("utf-8", "replace")) if is_list else {}
    return {
        name: _Claim(recorded.get(name, ""), blob, name)
        for name in names
        if not name.endswith(("/", BYTECODE)) and not ELSEWHERE.match(name)
    }


def _entries(record: str) -> Dict[str, str]:
    """Return the digests of a RECORD by path; its sizes add nothing.

    An invalid RECORD has none: the files are then compared byte by byte.
    """
    try:
        rows = [[*row, ""] for row in csv.reader(io.StringIO(record)) if row]
    except csv.Error:  # a field of more than 128 KiB, or a NUL
        return {}
    return {path: digest for path, digest, *_ in rows if not path.endswith(BYTECODE)}


def _changed(expected: Claims) -> Iterator[Drift]:
    for path, claims in sorted(expected.items()):
        if os.path.isfile(path):
            if not any(_is_as(path, claim) for claim in claims):
                yield Drift("file-changed", path, f"{path} was changed")
        elif any(claim.digest or claim.blob for claim in claims):
            yield Drift("file-missing", path, f"{path} is missing")


def _is_as(path: str, claim: _Claim) -> bool:
    if claim.digest and _digest(path, claim.digest.partition("=")[0]) == claim.digest.rstrip("="):
        return True
    if not claim.blob:
        return not claim.digest
    with zipfile.ZipFile(claim.blob) as archive, archive.open(claim.entry) as wanted:
        return _streamed(wanted, "sha256") == _digest(path, "sha256")


def _digest(path: str, algorithm: str) -> str:
    with open(path, "rb") as stream:
        return _streamed(stream, algorithm)


def _streamed(stream: IO[bytes], algorithm: str) -> str:
    """Return a digest in RECORD's format, "" for an algorithm that this Python lacks."""
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        return ""
    digest = blobs.hashed(stream, algorithm).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _added(packages: str, expected: Claims) -> Iterator[Drift]:
    known = {*expected, *(os.path.join(packages, name) for name in INSTALLERS)}
    for directory, below, names in os.walk(packages):
        below[:] = [name for name in below if name != "__pycache__"]
        links = [name for name in below if os.path.islink(os.path.join(directory, name))]
        for path in (os.path.join(directory, name) for name in sorted([*names, *links])):
            if path not in known and not path.endswith(BYTECODE):
                yield Drift("file-added", path, f"{path} was added")
