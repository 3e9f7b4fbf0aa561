"""Fetch the wheels that a lock wants for one kind of host, and build those that no index has.

pip fetches: it takes indexes, mirrors, credentials, proxies and certificates from where the user
has them. Every file that comes from an index has its digest in the lock. What is built from a
folder, a repository or a source distribution is built on this machine, in isolation; or on the
builder, if the result does not run on the host.
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.bundle.wheelhouse import INSTALLERS
from shipit.errors import ErrorCollector, InputError, Mistake, Place
from shipit.events import ignore
from shipit.project import app_wheel, cache, indexes, programs
from shipit.project.app_wheel import built, normalized
from shipit.project.building.fitting import Machine, Part, fitting, refuse_another
from shipit.project.building.orders import Order
from shipit.project.fetching import growth, locked_files
from shipit.project.fetching.together import aside, split, together
from shipit.project.installer import refuse_another as refuse_another_installer
from shipit.project.programs import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from shipit.bundle.lock import Lock, Locked
    from shipit.bundle.target import Target
    from shipit.bundle.wheelhouse import Installer
    from shipit.events import Emit
    from shipit.project.building.orders import Builder
    from shipit.project.cache import Cache
    from shipit.project.revision import Revision
    from shipit.project.source import Source

_IMPLEMENTATIONS = {"cpython": "cp", "pypy": "pp"}  # pip's names of them
_UNFINISHED = "unfinished"  # the folder that pip downloads into
_MISSING = re.compile(r"No matching distribution found for ([^\s(]+)")
_LOGIN = re.compile(r"\b(?:401|403)\b|EOF when reading")
_LOG_IN = "give the index's credentials as pip takes them: netrc, keyring, or in its URL"


@dataclass(frozen=True)
class Fetcher:
    """Gets the dependencies of one project.

    Attributes:
        lock: what they are.
        at: the revision of the project.
        wheelhouse: a folder to take wheels from instead of an index.
        store: the cache.
        note: receives what took time.
        emit: receives how far a download is.
        builder: builds what this machine cannot build for a host.
    """

    lock: Lock
    at: Revision
    wheelhouse: Path | None
    store: Cache
    note: Callable[[str], None]
    emit: Emit = ignore
    builder: Builder | None = None

    def wheels(self, wanted: Sequence[Locked], target: Target, installer: Installer) -> list[Path]:
        """Return a wheel of each wanted entry, and one of the installer, for a host.

        Raises:
            InputError: with everything that cannot be fetched or built for it.
        """
        errors = ErrorCollector()
        own = (entry for entry in wanted if entry.is_own)
        trees = (errors.attempt(self._of_tree, entry, target) for entry in own)
        found = [wheel for wheel in trees if wheel]
        files = [entry for entry in wanted if not entry.is_own]
        names = [] if any(entry.name == installer for entry in wanted) else [installer]
        with aside(lambda check: [self._installer(name, target, check) for name in names]) as tools:
            found += errors.attempt(self._of_files, files, target) or []
            found += chain.from_iterable(errors.attempt(tools) or [])
        return errors.result(found)

    def usual_installer(self) -> Installer:
        """Return uv, unless there is a wheelhouse that has only pip."""
        folder = self.wheelhouse
        found = (name for name in INSTALLERS if not folder or any(folder.glob(f"{name}-*.whl")))
        return next(found, INSTALLERS[0])

    def _of_files(self, entries: Sequence[Locked], target: Target) -> list[Path]:
        """Return the wheels of entries that have digests, of wheels or of sources."""
        asked = {self._line(entry, entry.digests or entry.sources): entry for entry in entries}
        key = cache.key_of("fetched", sorted(asked), self._for(target))
        if (known := self.store.answer(key)) is not None:
            return known
        errors = ErrorCollector()
        wheels = {line: entry for line, entry in asked.items() if entry.digests}
        at = {} if self._has_own_index() else locked_files.lines(wheels, target)
        fetched, lacking = self._fetch(list(wheels), target, at, "--require-hashes")
        sources = [entry for entry in entries if not entry.digests]
        for entry in (*sources, *(wheels[line] for line in lacking)):
            if entry.sources:
                fetched += filter(None, [errors.attempt(self._of_source, entry, target)])
            else:
                errors.mistakes.append(self._no_wheel(entry.pin, target, entry))
        self.store.remember(key, errors.result(fetched))
        return fetched

    def _has_own_index(self) -> bool:
        """Whether every wheel comes from a folder, or from an index that the user names."""
        if self.wheelhouse:
            return True
        argv, here = [*programs.pip(), "config", "list"], self.lock.path.parent
        _, configured, _ = Program("read pip's configuration", argv, here, programs.GIT).attempt()
        return locked_files.has_own_index(configured, os.environ)

    def _installer(
        self, name: str, target: Target, check: Callable[[], None] = lambda: None
    ) -> list[Path]:
        """Return the wheel of uv or pip for a host: this machine's version, or the folder's."""
        pin = name if self.wheelhouse else f"{name}=={version(name)}"
        key = cache.key_of("installer", pin, self._for(target))
        if (known := self.store.answer(key)) is None:
            known, lacking = self._fetch([pin], target, {}, check=check)
            if lacking:
                raise InputError(self._no_wheel(pin, target))
            for wheel in known:
                refuse_another_installer(wheel)
            self.store.remember(key, known)
        return known

    def _for(self, target: Target) -> list[str]:
        """Return what a wheel's choice depends on besides its pin."""
        return [str(self.wheelhouse), *map(str, target.tags())]

    def _line(self, entry: Locked, digests: Iterable[str]) -> str:
        """Return what pip is asked for: one exact file, which has one of these digests."""
        what = entry.pin
        if entry.origin:
            source = entry.origin.source
            path = (self.lock.path.parent / source).resolve()
            what = f"{entry.name} @ {source if '://' in source else path.as_uri()}"
        return what + "".join(f" --hash=sha256:{digest}" for digest in sorted(digests))

    def _no_wheel(self, pin: str, target: Target, entry: Locked | None = None) -> Mistake:
        what = f"{self.wheelhouse or 'no index'} has {'no ' if self.wheelhouse else 'a '}wheel of"
        hint = "lock a version that has one, or choose another Python: `python:` in the playbook"
        place = entry.place if entry else None
        return Mistake("missing-wheel", f"{what} {pin} for {target}", place, hint)

    # --- fetching

    def _fetch(
        self,
        lines: Sequence[str],
        target: Target,
        at: Mapping[str, str],
        *options: str,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[list[Path], list[str]]:
        """Fetch wheels for a host; return them, and the lines that no index has a wheel for.

        Several pips share the work, as each mostly waits for the index.

        Args:
            lines: what pip is asked for.
            target: the host.
            at: the lines to ask for instead, of files whose URL is known.
            options: pip's.
            check: raises Cancelled where it has to end.

        Raises:
            InputError: fetch-failed.
        """
        if not lines:
            return [], []
        what = f"fetching {_wheels(lines)}"
        with (
            self.store.workspace() as work,
            growth.reported(work / _UNFINISHED, what, self.emit) as look,
        ):

            def fetch(part: list[str], go_on: Callable[[], None]) -> tuple[list[Path], list[str]]:
                def watch() -> None:
                    go_on()
                    look()

                return self._fetch_part(part, work, target, at, options, watch)

            parts = together(fetch, split(lines), check)
        kept = sorted(wheel for wheels, _ in parts for wheel in wheels)
        if kept:
            self._say(kept, target)
        lacking = {line for _, missing in parts for line in missing}
        return kept, [line for line in lines if line in lacking]

    def _fetch_part(
        self,
        lines: Sequence[str],
        work: Path,
        target: Target,
        at: Mapping[str, str],
        options: Sequence[str],
        watch: Callable[[], None],
    ) -> tuple[list[Path], list[str]]:
        """Do the same with one pip, which stops at the first that is missing: it is asked again.

        Where one of the URLs fails, an index is asked for all: it may be a mirror in a network that
        reaches no other.
        """
        asked, lacking = list(lines), list[str]()
        while asked:
            folder = Path(tempfile.mkdtemp(dir=work))
            once = ["--retries=0"] if any(line in at for line in asked) else []
            exact = [at.get(line, line) for line in asked]
            program = self._download(folder, exact, target, [*options, *once])
            status, output, errors = program.attempt(watch)
            if status == 0:
                kept = [self.store.keep(wheel) for wheel in sorted(folder.glob("out/*.whl"))]
                return kept, lacking
            if once:
                at = {}
                continue
            missing = _MISSING.search(errors)
            found = [line for line in asked if missing and line.split()[0] == missing[1]]
            if not found:
                self._refuse(program, status, output + errors)
            lacking += found
            asked = [line for line in asked if line not in found]
        return [], lacking

    def _download(
        self, folder: Path, lines: Sequence[str], target: Target, options: Sequence[str]
    ) -> Program:
        argv = [*programs.pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        argv += [*options, *_options(target), *self._asked(folder, lines)]
        argv += ["--dest", str(folder / "out")]
        more = {"TMPDIR": str(folder.parent / _UNFINISHED)}
        what, here = f"fetch wheels for {target}", self.lock.path.parent
        return Program(what, argv, here, programs.FETCH, more)

    def _asked(self, work: Path, lines: Sequence[str]) -> list[str]:
        """Return pip's options for requirements, and for where to look for them.

        Indexes may hold credentials, so they go into a file that nobody else can read.
        """
        requirements, folder = work / "requirements.txt", self.lock.path.parent
        own = indexes.lines(self.lock.entries, folder / "pyproject.toml", os.environ)
        requirements.write_text("\n".join([*(() if self.wheelhouse else own), *lines, ""]))
        where = ["--no-index", "--find-links", str(self.wheelhouse)] if self.wheelhouse else []
        return [*where, "--requirement", str(requirements)]

    def _say(self, kept: Sequence[Path], target: Target) -> None:
        size = sum(wheel.stat().st_size for wheel in kept)
        self.note(f"fetched {_wheels(kept)} ({size / 1e6:.1f} MB) for {target}")

    def _refuse(self, program: Program, status: int | None, said: str) -> None:
        """Raise the error of a pip that failed for another reason than a missing wheel."""
        reason = programs.reason_in(said) if status is not None else "it took too long"
        hint = _LOG_IN if _LOGIN.search(said) else "check the network and the index, and try again"
        what = f"cannot {program.what}: {reason}"
        raise InputError(Mistake("fetch-failed", what, None, hint, evidence=programs.tail(said)))

    # --- building

    def of_project(self, wheel: Path, source: Source, target: Target) -> Path:
        """Return the project's own wheel, if it runs on a host, or one that the builder has made.

        Raises:
            InputError: it does not, and there is no builder, or it cannot build it.
        """
        name, place = source.name, Place(str(source.folder))
        part = self._folder(source.folder, name, name, place)
        return self._made(part, target, lambda: wheel)

    def _of_tree(self, entry: Locked, target: Target) -> Path:
        """Return the wheel of a folder or a repository."""
        assert entry.origin  # noqa: S101 - it is_own
        source, name = entry.origin.source, entry.name
        if "+" not in source.partition("://")[0]:
            folder = (self.lock.path.parent / source).resolve()
            make = partial(built, folder, name, self.at, self.store, self.note)
            part = self._folder(folder, name, entry.pin, entry.place)
            return self._made(part, target, make)
        line = f"{name} @ {source}"
        archive = partial(self._archive, entry, line)
        part = Part(name, entry.pin, entry.place, ("repository", source), archive)
        return self._made(part, target, partial(self._of_repository, entry, line))

    def _of_repository(self, entry: Locked, line: str) -> Path:
        key = cache.key_of("repository", line.partition(" @ ")[2])
        if known := self.store.answer(key):
            return known[0]
        made = self._pip_wheel(entry, line)
        self.store.remember(key, [made])
        return made

    def _of_source(self, entry: Locked, target: Target) -> Path:
        """Return the wheel of a source distribution, whose digest is in the lock."""
        line = self._line(entry, entry.sources)
        options = ["--require-hashes", f"--no-binary={entry.name}"]
        archive = partial(self._archive, entry, line, *options)
        part = Part(entry.name, entry.pin, entry.place, tuple(sorted(entry.sources)), archive)
        return self._made(part, target, partial(self._pip_wheel, entry, line, *options))

    def _folder(self, folder: Path, name: str, pin: str, place: Place) -> Part:
        inputs = tuple(app_wheel.inputs(folder))
        archive = partial(app_wheel.sdist, folder, name, self.at)
        return Part(name, pin, place, (self.at.commit, inputs), archive)

    def _made(self, part: Part, target: Target, make: Callable[[], Path]) -> Path:
        """Return a wheel that was built on this machine; on the builder if it does not run there.

        What a builder has made once is taken from the cache, also where none is given any more.

        Raises:
            InputError: it cannot be built, or does not run on the target.
        """
        key = cache.key_of("by a builder", part.name, part.key, [*map(str, target.tags())])
        if known := self.store.answer(key):
            return known[0]
        try:
            return fitting(make(), part, target)
        except InputError:
            if self.builder is None or part.name in INSTALLERS:  # those run as root
                raise
        wheel = self._by(self.builder, part, target)
        self.store.remember(key, [wheel])
        self.note(f"built {wheel.name} on {self.builder.name}")
        return wheel

    def _by(self, builder: Builder, part: Part, target: Target) -> Path:
        (pip,) = self._installer("pip", target)
        with self.store.workspace() as work:
            source, out = part.archive(work), work / "out"
            order = Order(part.pin, source, pip, target.python, self.at.time)
            made = builder.build(order, out)
            refuse_another(made.wheel, part, builder.name)
            wheel = normalized(out, work, self.store, part.name, part.place)
            return fitting(wheel, part, target, Machine(builder.name, made.libc))

    def _archive(self, entry: Locked, line: str, *arguments: str | Path) -> Path:
        """Fetch the source of an entry into a workspace, the last argument; return the archive."""
        *options, work = arguments
        out = Path(work) / "source"
        argv = [*programs.pip(), "download", "--quiet", "--no-deps", *map(str, options)]
        argv += [*self._asked(Path(work), [line]), "--dest", str(out)]
        what = f"fetch the source of {entry.pin}"
        fetching = Program(what, argv, self.lock.path.parent, programs.FETCH)
        fetching.checked("fetch-failed", entry.place, "check the network and the index")
        (archive,) = out.iterdir()
        if entry.sources and cache.sha256_of(archive) not in entry.sources:
            what = f"{archive.name} is not the source that was locked"
            raise InputError(Mistake("wrong-hash", what, entry.place, "make the lock again"))
        return archive

    def _pip_wheel(self, entry: Locked, line: str, *options: str) -> Path:
        with self.store.workspace() as work:
            out = work / "out"
            argv = [*programs.pip(), "wheel", "--progress-bar=off", "--no-deps", *options]
            argv += [*self._asked(work, [line]), "--wheel-dir", str(out)]
            what = f"build the wheel of {entry.pin}"
            epoch = {"SOURCE_DATE_EPOCH": str(self.at.time)}
            building = Program(what, argv, self.lock.path.parent, programs.BUILD, epoch)
            hint = "lock a version that has a wheel, or install what its build needs"
            building.checked("build-failed", entry.place, hint)
            kept = normalized(out, work, self.store, entry.name, entry.place)
        self.note(f"built {kept.name}")
        return kept


def _wheels(those: Sequence[object]) -> str:
    return f"{len(those)} wheel{'' if len(those) == 1 else 's'}"


def _options(target: Target) -> list[str]:
    """Return pip's options for wheels that run on a target."""
    platforms = [word for name in target.platforms() for word in ("--platform", name)]
    name = _IMPLEMENTATIONS.get(target.implementation, target.implementation)
    number = target.full_version.removesuffix("+")
    return ["--implementation", name, "--python-version", number, *platforms]
