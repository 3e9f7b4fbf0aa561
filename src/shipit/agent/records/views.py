"""Decide which static files clients find at <root>/assets, and where these lie.

`assets` is a symlink to a view: a directory with hard links to the files of some releases. A view
is named after its releases, the one whose files win first; it is whole, and never changed. Which
view belongs to a release follows from the history, so nothing else needs to be written down.
"""

import hashlib
import os
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ..protocol.manifest import Manifest
from ..protocol.rules import generations
from ..system import files
from ..system.paths import Paths
from . import history, releases

DIGITS = 12  # of the digest in a view's name
Layers = Tuple[str, ...]  # releases, the one whose files win first


# --- which releases ----------------------------------------------------------------------------


def kept(committed: Sequence[str], running: str, keep: int) -> Layers:
    """Return a committed release and those before it, `keep` in all; `committed`: latest first."""
    return (running, *[release for release in committed if release != running][: keep - 1])


def wanted(paths: Paths, running: Optional[Manifest]) -> Layers:
    """Return the releases whose files clients find while a release runs.

    Until it is committed nothing leaves: its files only win over those that are found now.
    """
    if running is None or (running.assets is None and not os.path.isdir(paths.views)):
        return ()
    committed = generations.last_of_each(history.verified(history.entries(paths)))[::-1]
    if committed[:1] == [running.id]:
        found = kept(committed, running.id, running.assets.keep) if running.assets else ()
    else:
        head = releases.manifest(paths, committed[0]) if committed else None
        found = (running.id, *wanted(paths, head))
    return _with_files(paths, found)


def wanted_beside(paths: Paths, running: Optional[Manifest], staged: str) -> Layers:
    """Return the same once another release is staged: its files are found unless others win."""
    return _with_files(paths, (*wanted(paths, running), staged))


def _with_files(paths: Paths, found: Iterable[str]) -> Layers:
    return tuple(release for release in dict.fromkeys(found) if has_files(paths, release))


def has_files(paths: Paths, release: str) -> bool:
    """Whether a release has static files; those that its command still makes are not root's."""
    try:
        status = os.lstat(paths.release(release).assets)
    except FileNotFoundError:
        return False
    return status.st_uid == os.geteuid()


# --- which files -------------------------------------------------------------------------------


def union(layers: Sequence[Iterable[str]]) -> Dict[str, int]:
    """Return for each path the layer that it is taken from: the first one that has it.

    A path is left out if an earlier layer has a file where it needs a directory, or the reverse.
    """
    found: Dict[str, int] = {}
    folders: Set[str] = set()
    for number, names in enumerate(layers):
        own = [
            name
            for name in names
            if name not in found and name not in folders and not found.keys() & _above(name)
        ]
        found.update(dict.fromkeys(own, number))
        folders.update(parent for name in own for parent in _above(name))
    return found


def _above(name: str) -> Set[str]:
    """Return the directories of a relative path."""
    parts = name.split("/")[:-1]
    return {"/".join(parts[: depth + 1]) for depth in range(len(parts))}


def links(paths: Paths, layers: Layers) -> Dict[str, str]:
    """Return the files of a view: its path in there, and the file of the release."""
    tops = [paths.release(release).assets for release in layers]
    chosen = union([_files(top) for top in tops])
    return {name: os.path.join(tops[number], name) for name, number in chosen.items()}


def _files(top: str) -> List[str]:
    found = files.below(top)
    return [os.path.relpath(it.path, top) for it in found if it.is_file(follow_symlinks=False)]


# --- where -------------------------------------------------------------------------------------


def name(layers: Layers) -> str:
    """Return the name of a view, below `paths.views`."""
    digest = hashlib.sha256("\n".join(layers).encode()).hexdigest()
    return f"{layers[0]}.{digest[:DIGITS]}"


def path(paths: Paths, layers: Layers) -> str:
    return os.path.join(paths.views, name(layers))


def target(paths: Paths, layers: Layers) -> str:
    """Return the target of the symlink to a view."""
    return os.path.join(os.path.basename(paths.views), name(layers))


def linked(paths: Paths) -> str:
    """Return the name of the view that clients find; "" for none, or what shipit has not made."""
    try:
        folder, _, found = os.readlink(paths.assets).partition("/")
    except OSError:
        return ""
    return found if folder == os.path.basename(paths.views) else ""


def is_taken(paths: Paths) -> bool:
    """Whether something else than shipit has made what lies where views and their link do."""
    return os.path.islink(paths.views) or (os.path.lexists(paths.assets) and not linked(paths))
