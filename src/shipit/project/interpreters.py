"""Where the Pythons that come with releases are from: archives of the user's, or uv.

uv knows the builds of python-build-standalone with their digests, and downloads them: it takes
mirrors, proxies and certificates from where the user has them. What is shipped is the archive, as
it was published: an installation by uv has the path of this machine in its files.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from shipit.bundle.interpreter import Interpreter, newest, open_archive
from shipit.errors import InputError, Mistake, Place, collect
from shipit.project import programs
from shipit.project.cache import Cache, default_folder, key_of, sha256_of
from shipit.project.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.bundle.interpreter import Interpreters, Libc
    from shipit.playbook.project import Python, PythonArchive

LIST = 60.0  # seconds
# uv's names of processors and libcs, where they are others; one of its libcs is for one processor.
_MACHINES = {"armv7l": "armv7", "i686": "x86", "ppc64le": "powerpc64le", "riscv64": "riscv64gc"}
_LIBCS = {"glibc": "gnu", "armv7l glibc": "gnueabihf"}
_LISTED = "UV_PYTHON_DOWNLOADS_JSON_URL"
_SUFFIX = ".tar.gz"  # of archives that hosts can unpack; uv also knows some .tar.zst
_UNPINNED = "none-"  # how uv begins the name of an archive without a digest


def load(wanted: Python, note: Callable[[str], None]) -> Interpreters:
    """Return the interpreters that a playbook names, which come with the release.

    Raises:
        InputError: an archive is another than its digest says, or no Python that can be used.
    """
    store = Cache(default_folder(os.environ))
    if not wanted.archives:
        return FetchedInterpreters(wanted.version, store, note)
    archives = collect(lambda each: _of_playbook(each, store), wanted.archives)
    return ArchivedInterpreters(wanted.version, tuple(archives))


def _of_playbook(named: PythonArchive, store: Cache) -> Interpreter:
    if not named.path.is_file():
        what = "there is no such archive of a Python"
        raise InputError(Mistake("missing-interpreter", what, Place(str(named.path))))
    if (found := sha256_of(named.path)) != named.sha256:
        what = f"{named.path.name} has sha256:{found}; expected sha256:{named.sha256}"
        hint = "get the archive that was meant; if the change is wanted, change the digest"
        raise InputError(Mistake("wrong-hash", what, Place(str(named.path)), hint))
    return opened(named.path, found, store)


def opened(path: Path, sha256: str, store: Cache) -> Interpreter:
    """Read an archive whose digest was verified; what it is, is read once and kept in the cache.

    Raises:
        InputError: it is no Python that can be used (not-an-interpreter).
    """
    key = key_of("interpreter", sha256)
    if known := store.answer(key):
        return Interpreter(**{**json.loads(known[0].read_text()), "path": path})
    found = open_archive(path, sha256)
    with store.workspace() as work:
        facts = work / "interpreter.json"
        facts.write_text(json.dumps({**asdict(found), "path": ""}))
        store.remember(key, [store.keep(facts)])
    return found


@dataclass(frozen=True)
class ArchivedInterpreters:
    """Archives that the playbook names."""

    version: str
    archives: tuple[Interpreter, ...]

    def digests(self) -> tuple[str, ...]:
        return tuple(each.sha256 for each in self.archives)

    def best(self, machine: str, libc: Libc, python: tuple[int, int] | None = None) -> Interpreter:
        fitting = (
            each
            for each in self.archives
            if each.is_for(machine, libc) and _is_wanted(each.version, self.version, python)
        )
        if found := newest(fitting):
            return found
        there = ", ".join(f"{e.version} on {e.machine} with {e.libc}" for e in self.archives)
        what = f"no archive of `python` is {_called(self.version, machine, libc, python)}: {there}"
        raise InputError(Mistake("no-such-python", what, None, "add one: `archives` of `python`"))


@dataclass(frozen=True)
class FetchedInterpreters:
    """The newest builds that uv knows."""

    version: str
    store: Cache
    note: Callable[[str], None]
    _known: dict[tuple[object, ...], Interpreter] = field(default_factory=dict)

    def digests(self) -> tuple[str, ...]:
        """Return those of the archives in the cache."""
        found = self.store.folder.glob("wheels/*/cpython-*.tar.gz")
        return tuple(sorted(path.parent.name for path in found))

    def best(self, machine: str, libc: Libc, python: tuple[int, int] | None = None) -> Interpreter:
        """Return the newest, once for each kind of host."""
        asked = (machine, libc[0], python)
        if asked not in self._known:
            self._known[asked] = self._best(machine, libc, python)
        return self._known[asked]

    def _best(self, machine: str, libc: Libc, python: tuple[int, int] | None) -> Interpreter:
        build = self._build(machine, libc, python)
        # Wherever it comes from, a published file does not change; another list may have others.
        key = key_of("build", build["key"], _published(build["url"]), os.environ.get(_LISTED, ""))
        if (known := self.store.answer(key)) is None:
            known = [self._fetched(build)]
            self.store.remember(key, known)
            self.note(f"fetched {known[0].name}")
        return opened(known[0], known[0].parent.name, self.store)

    def _build(self, machine: str, libc: Libc, python: tuple[int, int] | None) -> dict[str, Any]:
        """Return the newest build that uv knows for a kind of host; needs no network."""
        listing = [*programs.uv(), "python", "list", "--only-downloads", "--all-versions"]
        listing += ["--all-platforms", "--all-arches", "--show-urls", "--output-format", "json"]
        program = Program("ask uv for its Pythons", listing, Path.cwd(), LIST)
        wanted = ("cpython", "default", "linux", *_names(machine, libc[0]))
        names = ("implementation", "variant", "os", "arch", "libc")
        fitting = [
            build
            for build in json.loads(program.checked("fetch-failed"))
            if tuple(build[name] for name in names) == wanted
            and _published(build["url"]).endswith(_SUFFIX)
            and _is_wanted(build["version"], self.version, python)
        ]
        if fitting:
            return max(fitting, key=lambda build: Version(build["version"]))
        what = f"uv knows no Python that is {_called(self.version, machine, libc, python)}"
        hint = "an update of uv may know it; or name an archive of your own: `archives` of `python`"
        raise InputError(Mistake("no-such-python", what, None, hint))

    def _fetched(self, build: dict[str, Any]) -> Path:
        """Return the archive of a build, which uv has compared with the digest that it knows."""
        with self.store.workspace() as work:
            installing = [*programs.uv(), "python", "install", "--no-bin", "--no-registry"]
            installing += ["--no-progress", "--install-dir", str(work / "installed"), build["key"]]
            more = {"UV_PYTHON_CACHE_DIR": str(work / "archives")}
            what = f"fetch Python {build['version']}"
            hint = "is there a way to the internet? UV_PYTHON_INSTALL_MIRROR names a mirror"
            program = Program(what, installing, Path.cwd(), programs.FETCH, more)
            program.checked("fetch-failed", None, hint)
            (archive,) = (work / "archives").glob(f"*{_SUFFIX}")
            if archive.name.startswith(_UNPINNED):
                what = f"the list of Pythons has no sha256 of {build['key']}"
                hint = f"add it to the file of {_LISTED}"
                raise InputError(Mistake("interpreter-unpinned", what, None, hint))
            return self.store.keep(archive.rename(work / _published(build["url"])))


def _names(machine: str, libc: str) -> tuple[str, str]:
    """Return what uv calls a processor and a libc."""
    named = _LIBCS.get(f"{machine} {libc}", _LIBCS.get(libc, libc))
    return _MACHINES.get(machine, machine), named


def _published(url: str) -> str:
    """Return the name of the file that a URL leads to."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _is_wanted(version: str, specifier: str, python: tuple[int, int] | None) -> bool:
    release = Version(version)
    is_of = python is None or release.release[:2] == python
    return is_of and not release.is_prerelease and release in SpecifierSet(specifier)


def _called(specifier: str, machine: str, libc: Libc, python: tuple[int, int] | None) -> str:
    """Return in words what is looked for."""
    of = "{}.{} ".format(*python) if python else ""
    return f"{of}{specifier or 'of any version'} for {machine} with {libc[0]}"
