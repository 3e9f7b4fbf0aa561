"""Make the wheel of the project itself: built by its build system, or its files as they are."""

from __future__ import annotations

import re
import stat
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from shipit.bundle.wheel import DAMAGED
from shipit.errors import InputError, Mistake, Place
from shipit.project import cache, files, programs, tree, zip_file
from shipit.project.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shipit.playbook.project import Project
    from shipit.project.cache import Cache
    from shipit.project.revision import Revision
    from shipit.project.source import Source


# What builds leave in a project, besides the usual by-products: setuptools, maturin, scikit-build.
_OF_A_BUILD = re.compile(r"(^|/)[^/]+\.egg-info/|^(target|_skbuild)/")


def make(
    source: Source,
    project: Project,
    at: Revision,
    store: Cache,
    note: Callable[[str], None],
    watch: Callable[[], None] | None = None,
) -> Path:
    """Return the wheel of a project; it is made unless one of the same files is in the cache.

    Args:
        source: the project.
        project: the playbook's `project:`.
        at: the revision that it is at.
        store: the cache.
        note: receives what took time, and what is left out.
        watch: is called a few times a second while it is built; what it raises ends the build.

    Raises:
        InputError: it cannot be built (build-failed), or its files cannot be shipped.
    """
    if source.is_package:
        return built(source.folder, source.name, at, store, note, watch)
    found = files.listing(source.folder, project.include, project.exclude)
    if found.left_out:
        some, more = found.left_out[:3], len(found.left_out) - 3
        names = ", ".join(some) + (f" and {more} more" if more > 0 else "")
        note(f"not shipped, as git does not track them: {names} (`include:` ships them)")
    if not found.files:
        what, hint = "the project has no files to ship", "git add them; or `include:` them"
        raise InputError(Mistake("project-files", what, Place(str(source.folder)), hint))
    number = source.version or at.version
    with store.workspace() as work:
        wheel = work / tree.wheel_name(source.name, number)
        tree.write(wheel, source.name, number, source.python, found.files)
        return store.keep(wheel)


def built(
    folder: Path,
    name: str,
    at: Revision,
    store: Cache,
    note: Callable[[str], None],
    watch: Callable[[], None] | None = None,
) -> Path:
    """Return the wheel that the build system of a folder makes, normalized.

    Raises:
        InputError: build-failed.
    """
    key = cache.key_of("built", version("uv"), name, at.name, at.commit, list(inputs(folder)))
    if known := store.answer(key):
        return known[0]
    with store.workspace() as work:
        out = work / "out"
        argv = [*programs.uv(), "build", "--no-progress", "--out-dir", str(out), str(folder)]
        epoch = {"SOURCE_DATE_EPOCH": str(at.time)}
        building = Program(f"build the wheel of {name}", argv, folder, programs.BUILD, epoch)
        hint = f"run it by hand until it works: uv build {folder}"
        building.checked("build-failed", Place(str(folder)), hint, watch)
        kept = normalized(out, work, store, name, Place(str(folder)))
    store.remember(key, [kept])
    note(f"built {kept.name}")
    return kept


def sdist(folder: Path, name: str, at: Revision, work: Path) -> Path:
    """Return the source archive that the build system of a folder makes, in a workspace.

    Raises:
        InputError: build-failed.
    """
    out, place = work / "source", Place(str(folder))
    argv = [*programs.uv(), "build", "--sdist", "--no-progress", "--out-dir", str(out), str(folder)]
    epoch = {"SOURCE_DATE_EPOCH": str(at.time)}
    building = Program(f"pack the source of {name}", argv, folder, programs.BUILD, epoch)
    building.checked("build-failed", place, f"run it by hand until it works: uv build {folder}")
    made = sorted(out.glob("*.tar.gz"))
    if len(made) != 1:
        what = f"cannot pack the source of {name}: the build made {len(made)} archives"
        raise InputError(Mistake("build-failed", what, place))
    return made[0]


def normalized(out: Path, work: Path, store: Cache, name: str, place: Place) -> Path:
    """Return the one wheel that a build has put into a folder, normalized and kept.

    Raises:
        InputError: it made another number of wheels, or a broken one (build-failed).
    """
    made = sorted(out.glob("*.whl"))
    if len(made) != 1:
        what = f"cannot build the wheel of {name}: the build made {len(made)} wheels"
        raise InputError(Mistake("build-failed", what, place))
    wheel = work / made[0].name
    try:
        zip_file.normalize_wheel(made[0], wheel)
    except DAMAGED as error:
        what = f"cannot build the wheel of {name}: the build made a broken one: {error}"
        raise InputError(Mistake("build-failed", what, place)) from error
    return store.keep(wheel)


def inputs(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield what a build may read: each file of the folder, with its size and its times.

    Not their contents: a folder may hold gigabytes of data. A file that is written anew in the same
    way makes a build, which makes the same wheel. What is behind a symlink to a folder is not
    known, so such a project is always built.
    """
    for name in sorted(files.walked(folder, hidden=True)):
        with suppress(FileNotFoundError):  # it has just been removed, or links to nothing
            found = (folder / name).stat()
            if stat.S_ISDIR(found.st_mode):
                yield name, 0, 0, time.time_ns()
            elif not _OF_A_BUILD.search(name):
                yield name, found.st_size, found.st_mtime_ns, found.st_ctime_ns
