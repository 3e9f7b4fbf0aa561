"""Write and read the file of a bundle: a zip whose every byte follows from its contents.

    bundle.json       what it contains (see `manifest`)
    sbom.cdx.json     its bill of materials
    wheels/SHA256/NAME
    pythons/SHA256/NAME   the archives of Pythons that come with it

It is believed only as a whole: a file that differs in one byte from what would be written for its
contents is refused.
"""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shipit.archive import manifest as manifests
from shipit.archive import signature
from shipit.archive.manifest import BrokenError
from shipit.bundle.wheel import DAMAGED
from shipit.errors import InputError, Mistake, Place
from shipit.project import zip_file
from shipit.project.cache import key_of, sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shipit.agent.protocol.manifest import Signed
    from shipit.archive.manifest import Manifest
    from shipit.project.cache import Cache
    from shipit.secrets import SecretUrl

MANIFEST, SBOM = "bundle.json", "sbom.cdx.json"
_LENGTHS = 26  # bytes of an entry's head before the lengths of its name and its extra field
_MOST = 64 << 20  # bytes of a text in it


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified.

    Attributes:
        name: where it comes from, for people: its path, or its URL without credentials.
        sha256: of the file.
        url: where it was fetched.
        signed: its bundle.json, and the signature in the file beside it, if there is one.
        damaged: why the signature in that file cannot be used.
        unfetched: why its signature could not be fetched.
        wheels: where each wheel and each Python lies in the cache, by its sha256.
    """

    path: Path
    sha256: str
    manifest: Manifest
    sbom: str
    wheels: Mapping[str, Path]
    signed: Signed | None = None
    damaged: Mistake | None = None
    unfetched: str = ""
    name: str = ""
    url: SecretUrl | None = None


def write(path: Path, made: Manifest, sbom: str, wheels: Mapping[str, Path]) -> None:
    """Write a bundle; `wheels` has the path of each artifact, by its sha256."""
    unfinished = path.with_name(f".{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, text in ((MANIFEST, manifests.to_json(made)), (SBOM, sbom)):
                zip_file.add(archive, zip_file.of_bytes(name, text.encode()))
            for sha256, each in sorted(made.artifacts.items()):
                zip_file.add(archive, zip_file.of_file(each.entry, wheels[sha256]))
            archive.close()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path, store: Cache, sha256: str = "", name: str = "") -> Bundle:
    """Read and verify a bundle; its wheels are put into the cache.

    Args:
        path: the file.
        store: the cache.
        sha256: the digest that the file must have, if one is known.
        name: of where it comes from, if that is not the path.

    Raises:
        InputError: it is not there (missing-bundle), is another file (wrong-hash) or is not whole
            (broken-bundle).
    """
    name = name or str(path)
    where = Place(name)
    if not path.is_file():
        hint = "make it: shipit build PLAYBOOK"
        raise InputError(Mistake("missing-bundle", "there is no such bundle", where, hint))
    try:
        digest = sha256_of(path)
        if sha256 not in ("", digest):
            what = f"the bundle has sha256:{digest}; expected sha256:{sha256}"
            hint = "get the bundle that was meant; if the change is wanted, change the digest"
            raise InputError(Mistake("wrong-hash", what, where, hint))
        return replace(_read(path, digest, store), name=name)
    except DAMAGED as error:
        reason = f"it is no whole bundle: {str(error) or type(error).__name__}"
        hint = "get it again from where it was built; shipit verify checks it"
        raise InputError(Mistake("broken-bundle", reason, where, hint)) from error


def _read(path: Path, digest: str, store: Cache) -> Bundle:
    with zipfile.ZipFile(path) as archive:
        text = _text(archive, MANIFEST)
        made = manifests.from_json(text)
        sbom = _text(archive, SBOM)
        key = key_of("bundle", digest)
        if (known := store.answer(key)) is None:
            known = _verified(path, digest, archive, made, sbom, store)
            store.remember(key, known)
    wheels = {wheel.parent.name: wheel for wheel in known}
    return Bundle(path, digest, made, sbom, wheels, *signature.beside(path, text))


def offsets(bundle: Bundle) -> dict[str, int]:
    """Return where each wheel begins in the file of a bundle, by its sha256; none is compressed."""
    found = {}
    with zipfile.ZipFile(bundle.path) as archive, bundle.path.open("rb") as stream:
        for sha256, artifact in bundle.manifest.artifacts.items():
            head = archive.getinfo(artifact.entry).header_offset
            stream.seek(head + _LENGTHS)
            name, extra = struct.unpack("<HH", stream.read(4))
            found[sha256] = head + _LENGTHS + 4 + name + extra
    return found


def _text(archive: zipfile.ZipFile, name: str) -> str:
    entry = archive.getinfo(name)
    if entry.file_size > _MOST:
        raise BrokenError(f"{name} has {entry.file_size} bytes")
    try:
        return archive.read(entry).decode()
    except UnicodeDecodeError as error:
        raise BrokenError(f"{name} is not UTF-8 text") from error


def _verified(
    path: Path, digest: str, archive: zipfile.ZipFile, made: Manifest, sbom: str, store: Cache
) -> list[Path]:
    """Put the wheels into the cache, if the file is what would be written for its contents."""
    if sum(artifact.size for artifact in made.artifacts.values()) > path.stat().st_size:
        raise BrokenError("its wheels are larger than the file: they are compressed")
    with store.workspace() as work:
        found: dict[str, Path] = {}
        for sha256, artifact in made.artifacts.items():
            if archive.getinfo(artifact.entry).file_size != artifact.size:
                raise BrokenError(f"{artifact.filename} has another size than bundle.json says")
            found[sha256] = work / sha256 / artifact.filename
            found[sha256].parent.mkdir()
            with archive.open(artifact.entry) as content, found[sha256].open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
            if sha256_of(found[sha256]) != sha256:
                raise BrokenError(f"{artifact.filename} is not the wheel that bundle.json names")
        again = work / "again.zip"
        write(again, made, sbom, found)
        if sha256_of(again) != digest:
            raise BrokenError(f"{path.name} differs from what its contents make")
        return [store.keep(wheel) for wheel in found.values()]
