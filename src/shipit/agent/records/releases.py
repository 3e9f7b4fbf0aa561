"""Read releases from the disk: their manifests, which one is committed, and safe paths inside one.

Changes only the mode of manifests that an older version left readable by all users.
"""

import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Dict, Iterable, List, Optional

from ..protocol import messages
from ..protocol.codec import from_json, parse
from ..protocol.manifest import Manifest, Unit
from ..protocol.messages import Failure
from ..protocol.rules import unit_text
from ..system import files
from ..system.failures import Refused
from ..system.paths import Paths
from . import history

MANIFEST_MODE = 0o600  # a short secret could be guessed from its digests of env files
TEXT_LIMIT = messages.LINE_LIMIT  # characters; all texts of a release are sent in one line


def manifest(paths: Paths, release: str) -> Optional[Manifest]:
    """Return a release's manifest; None if it is missing or broken."""
    return _parsed(paths, read_text(paths.release(release).manifest) or "")


def _parsed(paths: Paths, text: str) -> Optional[Manifest]:
    try:
        found = _decoded(text)
    except ValueError:
        return None
    return replace(found, units=tuple(_listening(paths, found, unit) for unit in found.units))


@lru_cache(maxsize=8)  # a deploy reads those of the same two or three releases some thirty times
def _decoded(text: str) -> Manifest:
    return from_json(Manifest, parse(text.encode("utf-8", "surrogateescape")))


def _listening(paths: Paths, of: Manifest, unit: Unit) -> Unit:
    """Return a unit with its addresses, which earlier versions left to the text of a socket."""
    if unit.listen or not unit.name.endswith(".socket"):
        return unit
    text = read_text(os.path.join(paths.release(of.id).units, unit.name)) or ""
    return replace(unit, listen=unit_text.listen(text))


def hide_manifests(paths: Paths) -> None:
    """Make manifests of an older version readable by root alone."""
    for name in listed(paths):
        with suppress(FileNotFoundError):
            os.chmod(paths.release(name).manifest, MANIFEST_MODE)


def verified(paths: Paths, release: str) -> Optional[Manifest]:
    """Return a release's manifest as it was committed; None if it is missing.

    Raises:
        Refused: release-damaged: it was changed since.
    """
    path = paths.release(release).manifest
    expected, text = history.manifest_digest(history.entries(paths), release), read_text(path)
    if text is None:
        return None
    if expected and digest(text) != expected:
        raise Refused(_damaged(release, f"{path} was changed since it was committed"))
    return _parsed(paths, text)


def manifest_digest(paths: Paths, release: str) -> str:
    """Return the digest of a release's manifest on the disk; "" if it is missing."""
    text = read_text(paths.release(release).manifest)
    return "" if text is None else digest(text)


def verified_texts(paths: Paths, of: Manifest, names: Iterable[str]) -> Dict[str, str]:
    """Return texts of a release by their paths in it, verified by its manifest.

    Raises:
        Refused: release-damaged: one of them is missing or was changed.
    """
    digests = text_digests(of)
    return {name: _verified_text(paths, of, name, digests.get(name, "")) for name in names}


def _verified_text(paths: Paths, of: Manifest, name: str, expected: str) -> str:
    path = paths.release(of.id).text(name)
    text = read_text(path)
    if text is None:
        raise Refused(_damaged(of.id, f"{path} is missing"))
    if digest(text) != expected:
        raise Refused(_damaged(of.id, f"{path} was changed since it was staged"))
    return text


def has_its_texts(paths: Paths, of: Manifest) -> bool:
    """Whether all rendered texts of a release match its manifest."""
    try:
        verified_texts(paths, of, [text.name for text in of.texts])
    except Refused:
        return False
    return True


def _damaged(release: str, what: str) -> Failure:
    hint = "restore the file; or deploy the same version again, or another one"
    return Failure("release-damaged", f"release {release} is damaged: {what}", "", hint)


def listed(paths: Paths) -> List[str]:
    """Return the ids of the releases on this host, complete or not; skip stray files."""
    try:
        with os.scandir(paths.releases) as found:
            folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in folders if not name.startswith("."))


def unit_names(paths: Paths, release: str) -> List[str]:
    """Return the names of a release's units; empty if it is no release."""
    raw = files.read_json(paths.release(release).manifest)
    units = raw.get("units", []) if isinstance(raw, dict) else []
    return [str(unit["name"]) for unit in units]


def units_without_manifest(paths: Paths, release: str) -> List[str]:
    """Return the names of a release's units if its manifest is lost."""
    folder = paths.release(release).units
    if not release or manifest(paths, release) or not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if name.startswith(f"{paths.app}-"))


def committed(paths: Paths) -> Optional[Manifest]:
    """Return the manifest of the committed release, by the history."""
    top = history.head(history.entries(paths))
    return manifest(paths, top.release) if top else None


def target_of_current(paths: Paths) -> str:
    """Return the target of `current`, "" if it is not a symlink."""
    try:
        return os.readlink(paths.current)
    except OSError:
        return ""


def pointed(paths: Paths) -> str:
    """Return the id that `current` points at, "" if it is not a symlink into releases/."""
    head, _, release = target_of_current(paths).rpartition("/")
    return release if head in ("releases", paths.releases) else ""


def pointed_if_intact(paths: Paths) -> str:
    """Return the id that `current` points at, "" without its manifest: if the history is lost."""
    release = pointed(paths)
    return release if manifest(paths, release) else ""


def is_pointed_at(paths: Paths, wanted: Manifest) -> bool:
    """Whether `current` points at this release."""
    if wanted.adopted is None:
        return pointed(paths) == wanted.id
    return target_of_current(paths) == wanted.adopted


def unit_texts(paths: Paths, manifest: Manifest) -> Dict[str, str]:
    """Return the texts of a release's units from its directory, without missing ones."""
    directory = paths.release(manifest.id).units
    return _texts(directory, [unit.name for unit in manifest.units])


def env_texts(paths: Paths, manifest: Manifest) -> Dict[str, str]:
    """Return the texts of a release's env files by service, "" for a missing one."""
    release = paths.release(manifest.id)
    return {env.service: read_text(release.env_file(env.service)) or "" for env in manifest.env}


def installed_texts(paths: Paths, names: Iterable[str]) -> Dict[str, str]:
    """Return the texts of those units that are installed."""
    return _texts(paths.units, names)


def _texts(directory: str, names: Iterable[str]) -> Dict[str, str]:
    texts = {name: read_text(os.path.join(directory, name)) for name in names}
    return {name: text for name, text in texts.items() if text is not None}


def text_path(paths: Paths, release: str, name: str) -> str:
    """Return the path of a rendered text, after checking that it is inside the release.

    Raises:
        Refused: dest-outside.
    """
    top = paths.release(release).top
    parts = name.split("/")
    plain = all(part not in ("", ".", "..") and "\0" not in part for part in parts)
    if not plain or parts[0] not in ("units", "trial", "files") or len(parts) == 1:
        raise Refused(_outside(name, "it must be below units/, trial/ or files/, without '..'"))
    for depth in range(1, len(parts) + 1):
        path = os.path.join(top, *parts[:depth])
        if os.path.islink(path):
            raise Refused(_outside(name, f"{path} is a symlink"))
    return os.path.join(top, *parts)


def _outside(name: str, why: str) -> Failure:
    what = f"{name} would be written outside of the release: {why}"
    return Failure("dest-outside", what, "preflight", "correct its dest in the playbook")


def text_digests(manifest: Manifest) -> Dict[str, str]:
    """Return the digests of the rendered texts by their path in the release."""
    return {text.name: text.sha256 for text in manifest.texts}


def text_modes(manifest: Manifest) -> Dict[str, int]:
    """Return the modes of the rendered texts by their path in the release."""
    return {text.name: text.mode for text in manifest.texts}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def read_text(path: str) -> Optional[str]:
    """Return a file's text, up to TEXT_LIMIT; None if there is no such file.

    A service may write to a rendered file if its mode allows. A file that grew beyond the limit is
    cut: its digest differs in any case.
    """
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read(TEXT_LIMIT)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
