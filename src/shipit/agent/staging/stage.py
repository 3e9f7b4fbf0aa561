"""Build and verify a release's directory, ready for the switch.

Promises: nothing visible changes (no unit is installed, `current` stays); a failure leaves nothing
behind; `manifest.json` is written last, and the whole directory is on the disk before the answer.

A release that was committed before and is intact is reused, with its texts restored. Nothing is
taken from a release that was touched: neither its wheels nor the files it shares with uv's cache.
"""

import json
import os
import pwd
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Callable, Iterator, Tuple

from ..activation import names
from ..host import commands
from ..host.host import Host
from ..host.systemd import systemd_version
from ..protocol.codec import to_json
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, Stage, Staged, StepBegan, StepEnded
from ..protocol.values import dataclass
from ..records import app_root, history, releases
from ..records.redactor import Redactor
from ..storage import blobs, bytecode, pythons, unchanged, uv_cache
from ..system import accounts, files
from ..system.failures import Refused, from_output
from ..system.paths import Paths
from ..transaction import client
from ..transaction.effects.context import EffectContext
from ..transaction.store import Store
from . import preflight, signature, venv

SMOKE_TIMEOUT = 60.0  # seconds
USER_TIMEOUT = 30.0  # seconds
RECURSIVE_ERRORS_SINCE = 250  # systemd's version
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
ENV_MODE, ENV_DIRECTORY_MODE = 0o600, 0o700

Emit = Callable[[Any], None]


def stage(
    store: Store,
    request: Stage,
    redacted: Redactor,
    check_received: Callable[[], None],
    emit: Emit,
) -> Staged:
    """Stage a release; `check_received` raises the error that prevented writing the blobs.

    The caller holds the session's lock. The transaction stays open, ready to be launched.

    Raises:
        Refused: why it can't be; the staged files have been discarded.
    """
    _check_request(store.paths, request)
    signed_by = _check_signature(store.paths, request, emit)
    manifest, reused = request.manifest, is_reusable(store.paths, request)
    staging = Staging(store.paths, store.host, request, reused, check_received, emit)
    if app_root.problems(store.paths):  # register nothing in an unusable root
        staging.look_first()
    opened = client.begin(
        store,
        request.attempt,
        manifest.id,
        fresh=not reused,
        version=manifest.version,
        wait=request.lock_wait,
    )
    if signed_by:
        opened = replace(opened, signed_by=signed_by)
        store.save(opened)
    client.stage(EffectContext(store, _quietly, redacted, staging), opened)
    return Staged(manifest.id, reused=reused)


def _quietly(_message: object) -> None:
    """Emit nothing: the steps of `Staging` are finer than the states."""


@dataclass(frozen=True)
class Staging:
    """The effects of the states that a session runs. Emits its steps to the controller."""

    paths: Paths
    host: Host
    request: Stage
    reused: bool  # the release exists, intact
    check_received: Callable[[], None]
    emit: Emit

    @cached_property
    def is_doubtful(self) -> bool:
        """Whether the disk has changed a release from which this one would take files."""
        return not self.reused and _was_touched(self.paths, self.request.manifest.id)

    def look_first(self) -> None:
        """Refuse what would prevent staging, all of it at once."""
        request, manifest = self.request, self.request.manifest
        missing = blobs.missing(self.paths, pythons.needed(self.paths, manifest))
        named = (self.paths, self.host, manifest, request.texts, request.user_given)
        found = preflight.problems(preflight.Context(*named, missing=missing, reused=self.reused))
        failure = preflight.together(found)
        if failure:
            raise Refused(failure)

    def receive(self) -> None:
        with self._step("receive"):
            if self.is_doubtful:
                blobs.evict_corrupt(self.paths, self.request.manifest.sent())
            self.look_first()
            self.check_received()
            blobs.verify(self.paths, pythons.needed(self.paths, self.request.manifest))

    def build(self) -> None:
        smoked = self.request.manifest.smoke
        try:
            with self._step("build", "reused" if self.reused else ""):
                self._write()
            with self._step("verify"):
                verify_units(self.paths, self.host, self.request.manifest)
            if smoked:
                with self._step("smoke", " ".join(smoked)):
                    smoke(self.paths, self.host, self.request)
        except BaseException:
            self._make_room()
            raise

    def _write(self) -> None:
        paths, manifest = self.paths, self.request.manifest
        ensure_user(self.host, manifest.user)
        if not self.reused:
            if self.is_doubtful:
                uv_cache.distrust(paths)
            if manifest.python:
                pythons.unpack(paths, manifest.python)
            build(paths, manifest)
        write_texts(paths, self.request)
        unchanged.stamp(paths, manifest.id, time.time_ns())
        if not self.reused:
            text = json.dumps(to_json(manifest), indent=1) + "\n"
            sealed = paths.release(manifest.id).manifest
            files.write(sealed, text.encode(), releases.MANIFEST_MODE, sync_entry=False)
        files.sync_filesystem(paths.release(manifest.id).top)

    def _make_room(self) -> None:
        """Remove the build at once: on a full disk even a discard needs an inode or two."""
        if not self.reused:
            with suppress(OSError):  # the discard tries again
                files.remove_tree(self.paths.release(self.request.manifest.id).top)

    @contextmanager
    def _step(self, name: str, detail: str = "") -> Iterator[None]:
        began, ok = time.monotonic(), False
        self.emit(StepBegan(name, detail))
        try:
            yield
            ok = True
        finally:
            self.emit(StepEnded(name, time.monotonic() - began, ok))


def _check_request(paths: Paths, request: Stage) -> None:
    """Check that the texts are those of the manifest, and its Python's path that of its digest."""
    manifest, wrong = request.manifest, ""
    digests = {name: releases.digest(text) for name, text in request.texts.items()}
    if digests != releases.text_digests(manifest):
        wrong = "the received texts are not those of the manifest"
    if manifest.python and manifest.interpreter != manifest.python.path(paths.pythons):
        wrong = f"the release's own Python cannot lie in {manifest.interpreter}"
    if wrong:
        raise Refused(
            Failure("bad-request", wrong, "receive", "this is a bug of shipit: report it")
        )


def _check_signature(paths: Paths, request: Stage, emit: Emit) -> str:
    """Return who has signed the release, "" if this host does not ask; nothing is written before.

    Raises:
        Refused: nobody whom this host knows.
    """
    began = time.monotonic()
    who = signature.require(paths, request.manifest, request.signed)
    if who:
        emit(StepBegan("signature", f"by {who}"))
        emit(StepEnded("signature", time.monotonic() - began, ok=True))
    return who


# --- a release that already exists -----------------------------------------------------------


def is_reusable(paths: Paths, request: Stage) -> bool:
    """Whether the release exists, was committed before, and matches in all that is hashed.

    Reads its venv only if it was touched. Its texts and env are restored in any case.

    Raises:
        Refused: release-damaged: it is running, and differs from the request.
    """
    manifest, there = request.manifest, None
    with suppress(Refused):  # it is rebuilt, unless it runs
        there = releases.verified(paths, manifest.id)
    verified = manifest.id in history.verified(history.entries(paths))
    if there is not None and verified and _essence(there) == _essence(manifest):
        from ..storage import venv_drift  # noqa: PLC0415 - imports cost time

        differing = venv_drift.found(paths, manifest)
        if unchanged.since_verified(paths, manifest.id) or next(differing, None) is None:
            return True
    if releases.pointed(paths) == manifest.id and os.path.exists(paths.release(manifest.id).top):
        what = f"{paths.release(manifest.id).top} is running, but is not what its id stands for"
        hint = "deploy again: it is rebuilt under another name"
        raise Refused(Failure("release-damaged", what, "receive", hint))
    return False


def _was_touched(paths: Paths, release: str) -> bool:
    """Whether the running release, or the one to replace, differs from what was verified."""
    there = (releases.manifest(paths, name) for name in (releases.pointed(paths), release))
    return any(of and not unchanged.since_verified(paths, of.id) for of in there)


def _essence(manifest: Manifest) -> Manifest:
    """Return what two manifests of a release have in common, also one of an earlier version.

    A unit's command and addresses follow from its text, whose digest counts.
    """
    units = tuple(replace(unit, command=(), listen=()) for unit in manifest.units)
    return replace(manifest, created="", created_by="", env=(), units=units)


# --- building ----------------------------------------------------------------------------------


def build(paths: Paths, manifest: Manifest) -> None:
    """Build the release's directory with its venv and bytecode, after removing any leftover."""
    release = paths.release(manifest.id)
    files.remove_tree(release.top)
    for directory in (paths.root, paths.releases, release.top):
        files.make_directory(directory)
    app_root.require(paths)  # others may have created what was missing before
    _make_shared(paths, manifest.user)
    venv.make(paths, manifest)
    previous = releases.manifest(paths, releases.pointed(paths))  # of this app
    older = paths.release(previous.id).venv if previous else ""
    bytecode.complete(release.venv, older, manifest.interpreter)


def _make_shared(paths: Paths, user: str) -> None:
    """Create the shared directory of the services; an existing one keeps its owner and mode."""
    if os.path.lexists(paths.shared):
        return
    owner, made = pwd.getpwnam(user), paths.shared + ".new"
    files.make_directory(made)
    os.chown(made, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    os.rename(made, paths.shared)


def ensure_user(host: Host, user: str) -> None:
    """Create the system user of the services, unless it exists.

    Raises:
        Refused: no-user.
    """
    if accounts.user(user):
        return
    shell = next((path for path in NO_LOGIN if os.path.exists(path)), NO_LOGIN[-1])
    argv = ["useradd", "--system", "--no-create-home", "--home-dir", names.NOWHERE]
    argv += ["--shell", shell, "--user-group", "--comment", names.MARK]
    done = host.run([*argv, user], timeout=USER_TIMEOUT)
    if not done.ok and not accounts.user(user):
        what = f"creating the user {user}: useradd {done.end(USER_TIMEOUT)}"
        raise Refused(from_output("no-user", what, "build", done.output))


def write_texts(paths: Paths, request: Stage) -> None:
    """Write units, files and env files with their owners and modes; skip equal ones.

    The caller puts the directories on the disk.
    """
    manifest = request.manifest
    release = paths.release(manifest.id)
    group = pwd.getpwnam(manifest.user).pw_gid
    files.make_directory(release.units)
    files.make_directory(release.files)
    files.make_directory(release.env, ENV_DIRECTORY_MODE)
    os.chmod(release.env, ENV_DIRECTORY_MODE)
    modes = releases.text_modes(manifest)
    for name, text in sorted(request.texts.items()):
        path = releases.text_path(paths, manifest.id, name)
        owner = (0, group) if name.startswith("files/") else (0, 0)
        _put(path, text, modes[name], owner)
    for service, text in sorted(request.env.items()):
        _put(release.env_file(service), text, ENV_MODE, (0, 0))


def _put(path: str, text: str, mode: int, owner: Tuple[int, int]) -> None:
    if releases.read_text(path) != text:
        files.make_directory(os.path.dirname(path))
        files.write(path, text.encode(), ENV_MODE, sync_entry=False)
    status = os.lstat(path)
    if (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner, follow_symlinks=False)
    if status.st_mode & 0o7777 != mode:
        os.chmod(path, mode)


# --- verification --------------------------------------------------------------------------------


def verify_units(paths: Paths, host: Host, manifest: Manifest) -> None:
    """Verify the units with systemd, as they will be installed.

    Raises:
        Refused: unit-verify, with systemd's output for the release's units.
    """
    release = paths.release(manifest.id)
    own = [os.path.join(release.units, unit.name) for unit in manifest.units]
    if not own:
        return
    # Ignore the units of other packages, as older versions do.
    version = systemd_version(os.path.join(paths.var, "systemd.json"), host)
    options = ("--recursive-errors=no",) if version >= RECURSIVE_ERRORS_SINCE else ()
    done = host.verify(own, options=options)
    names = [unit.name for unit in manifest.units]
    lines = [line for line in done.output.splitlines() if any(name in line for name in names)]
    if not done.ok and (lines or done.timed_out):
        what = "systemd-analyze verify rejects the units"
        hint = "correct the unit's template, or the service's command"
        raise Refused(Failure("unit-verify", what, "verify", hint, "\n".join(lines)))


def smoke(paths: Paths, host: Host, request: Stage) -> None:
    """Run the smoke command like the services, with the environment of all of them.

    Raises:
        Refused: smoke-failed.
    """
    manifest = request.manifest
    done = commands.run(paths, host, manifest, manifest.smoke, SMOKE_TIMEOUT)
    if not done.ok:
        what = f"{' '.join(manifest.smoke)} {done.end(SMOKE_TIMEOUT)}, expected 0"
        hint = "it ran in the new release's venv, before anything was switched"
        raise Refused(Failure("smoke-failed", what, "smoke", hint, done.output))
