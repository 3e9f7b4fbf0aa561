"""Make a release's directory, whole and verified, so that switching to it is all that is left.

Promises: nothing visible changes (no unit is installed, `current` stays); after a failure nothing
is left of it; `manifest.json` is the last file, and all of it is on the disk before the answer.
A release that was committed before and is whole is used again, with its texts put right. Nothing
is taken from a release that was touched: neither its wheels nor what it shares with uv's cache.
"""

import json
import os
import pwd
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Callable, Iterator, Optional, Tuple

from ..activation import names
from ..host import commands
from ..host.host import Host
from ..host.systemd import systemd_version
from ..protocol.codec import to_json
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, Stage, Staged, StepBegan, StepEnded
from ..records import app_root, history, releases
from ..records.journal import Journal
from ..records.redactor import Redactor
from ..records.states import State
from ..storage import blobs, bytecode, unchanged, uv_cache, venv_drift
from ..system import accounts, files
from ..system.failures import Refused, from_os_error, from_output
from ..system.paths import Paths
from ..transaction import client
from . import preflight, venv

SMOKE_TIMEOUT = 60.0  # seconds
USER_TIMEOUT = 30.0  # seconds
RECURSIVE_ERRORS_SINCE = 250  # systemd's version
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")
ENV_MODE, ENV_DIRECTORY_MODE = 0o600, 0o700

Emit = Callable[[Any], None]


def stage(
    paths: Paths, host: Host, request: Stage, check_received: Callable[[], None], emit: Emit
) -> Staged:
    """Stage a release; `check_received` raises what kept the blobs from being written.

    The caller holds paths.session_lock. The transaction stays open, in state BUILD.

    Raises:
        Refused: why it can't be; what was staged has been discarded.
    """
    _check_request(request)
    reused = is_reusable(paths, request)
    if app_root.problems(paths):  # whose root it is not, it must not look like after this either
        _look_first(paths, host, request, reused=reused)
    journal = client.begin(
        paths,
        request.attempt,
        request.manifest.id,
        fresh=not reused,
        version=request.manifest.version,
        wait=request.lock_wait,
    )
    try:
        return _staged(paths, host, request, _Progress(journal, check_received, emit))
    except BaseException as error:
        failure = _redacted(paths, request, failure_of(error))
        _make_room(paths, journal)
        client.discard(paths, host, journal, failure)
        if isinstance(error, (Refused, OSError)):
            raise Refused(failure) from error
        raise


def failure_of(error: BaseException) -> Failure:
    """Return what goes into the ledger about an error that ended the staging."""
    if isinstance(error, Refused):
        return error.failure
    if isinstance(error, OSError):
        return from_os_error(error, "build")
    return Failure("staging-broke-off", f"staging broke off ({type(error).__name__})", "build")


def _redacted(paths: Paths, request: Stage, failure: Failure) -> Failure:
    """Mask also the secrets of the release that is being made: it is about to be removed."""
    redactor = Redactor(paths)
    redactor.learn(request.manifest, request.env)
    return redactor(failure)


def _make_room(paths: Paths, journal: Journal) -> None:
    """Remove what was built, at once: on a full disk even the discarding needs an inode or two."""
    if not journal.fresh:
        return
    try:
        files.remove_tree(paths.release(journal.release).top)
    except OSError:
        return  # it is tried once more when the transaction is discarded


class _Progress:
    """The open transaction, and the way to say how far it is."""

    def __init__(self, journal: Journal, check_received: Callable[[], None], emit: Emit) -> None:
        self.journal, self.check_received, self.emit = journal, check_received, emit

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        began = time.monotonic()
        self.emit(StepBegan(name, detail))
        try:
            yield
        except BaseException:
            self.emit(StepEnded(name, time.monotonic() - began, ok=False))
            raise
        self.emit(StepEnded(name, time.monotonic() - began, ok=True))


def _staged(paths: Paths, host: Host, request: Stage, progress: _Progress) -> Staged:
    manifest = request.manifest
    doubtful = progress.journal.fresh and _was_touched(paths, manifest.id)
    with progress.step("receive"):
        if doubtful:
            blobs.evict_corrupt(paths, manifest.artifacts())
        _look_first(paths, host, request, reused=not progress.journal.fresh)
        progress.check_received()
        blobs.verify(paths, manifest.artifacts())
    journal = client.advance(paths, progress.journal, State.BUILD)
    with progress.step("build", "" if journal.fresh else "used again"):
        ensure_user(host, manifest.user)
        if journal.fresh:
            if doubtful:
                uv_cache.distrust(paths)
            build(paths, manifest)
        write_texts(paths, request)
        unchanged.stamp(paths, manifest.id, time.time_ns())
        if journal.fresh:
            _seal(paths, manifest)
        files.sync_filesystem(paths.release(manifest.id).top)
    with progress.step("verify"):
        verify_units(paths, host, manifest)
    if manifest.smoke:
        with progress.step("smoke", " ".join(manifest.smoke)):
            smoke(paths, host, request)
    return Staged(manifest.id, reused=not journal.fresh)


def _look_first(paths: Paths, host: Host, request: Stage, *, reused: bool) -> None:
    manifest, given = request.manifest, request.user_given
    missing = blobs.missing(paths, manifest.artifacts())
    context = preflight.Context(paths, host, manifest, request.texts, missing, reused, given)
    failure = preflight.together(preflight.problems(context))
    if failure:
        raise Refused(failure)


def _check_request(request: Stage) -> None:
    """Prove that the texts are those of the manifest."""
    digests = {name: releases.digest(text) for name, text in request.texts.items()}
    if digests != releases.text_digests(request.manifest):
        what = "the texts that came are not those of the manifest"
        raise Refused(Failure("bad-request", what, "receive", "this is a bug of shipit: report it"))


# --- a release that is there already -----------------------------------------------------------


def is_reusable(paths: Paths, request: Stage) -> bool:
    """Whether the release is there, was committed before, and is the same in all that is hashed.

    Its venv is read only where it was touched. Its texts and env are put right in any case.

    Raises:
        Refused: release-damaged: what is there is running, and it is not what was asked for.
    """
    manifest = request.manifest
    there = _as_committed(paths, manifest.id)
    verified = manifest.id in history.verified(history.entries(paths))
    same = there is not None and verified and _essence(there) == _essence(manifest)
    if same and _has_its_venv(paths, manifest):
        return True
    if releases.pointed(paths) == manifest.id and os.path.exists(paths.release(manifest.id).top):
        what = f"{paths.release(manifest.id).top} is running, but is not what its id stands for"
        hint = "deploy again: it is made anew under a name of its own"
        raise Refused(Failure("release-damaged", what, "receive", hint))
    return False


def _has_its_venv(paths: Paths, manifest: Manifest) -> bool:
    if unchanged.since_verified(paths, manifest.id):
        return True
    return next(venv_drift.found(paths, manifest), None) is None


def _was_touched(paths: Paths, release: str) -> bool:
    """Whether the running release, or what is to be replaced, differs from what was verified."""
    there = (releases.manifest(paths, name) for name in (releases.pointed(paths), release))
    return any(of and not unchanged.since_verified(paths, of.id) for of in there)


def _as_committed(paths: Paths, release: str) -> Optional[Manifest]:
    try:
        return releases.verified(paths, release)
    except Refused:
        return None  # it is made anew, unless it runs


def _essence(manifest: Manifest) -> Manifest:
    return replace(manifest, created="", created_by="", env=())


# --- building ----------------------------------------------------------------------------------


def build(paths: Paths, manifest: Manifest) -> None:
    """Make the release's directory with its venv and bytecode; what was left there goes first."""
    release = paths.release(manifest.id)
    files.remove_tree(release.top)
    for directory in (paths.root, paths.releases, release.top):
        files.make_directory(directory)
    app_root.require(paths)  # whatever was missing may have been made by others meanwhile
    _make_shared(paths, manifest.user)
    venv.make(paths, manifest)
    previous = releases.manifest(paths, releases.pointed(paths))  # of ours, that is
    older = paths.release(previous.id).venv if previous else ""
    bytecode.complete(release.venv, older, manifest.interpreter)


def _make_shared(paths: Paths, user: str) -> None:
    """Make the directory that survives releases, the services' own; one that is there stays so."""
    if os.path.lexists(paths.shared):
        return
    owner, made = pwd.getpwnam(user), paths.shared + ".new"
    files.make_directory(made)
    os.chown(made, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
    os.rename(made, paths.shared)


def ensure_user(host: Host, user: str) -> None:
    """Make the system user that the services run as, unless it is there.

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
        what = f"making the user {user}: useradd {done.end(USER_TIMEOUT)}"
        raise Refused(from_output("no-user", what, "build", done.output))


def write_texts(paths: Paths, request: Stage) -> None:
    """Write units, files and env files with their owners and modes; equal ones are left alone."""
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
        files.write(path, text.encode(), ENV_MODE)
    status = os.lstat(path)
    if (status.st_uid, status.st_gid) != owner:
        os.chown(path, *owner, follow_symlinks=False)
    if status.st_mode & 0o7777 != mode:
        os.chmod(path, mode)


def _seal(paths: Paths, manifest: Manifest) -> None:
    text = json.dumps(to_json(manifest), indent=1) + "\n"
    files.write(paths.release(manifest.id).manifest, text.encode(), releases.MANIFEST_MODE)


# --- proving -----------------------------------------------------------------------------------


def verify_units(paths: Paths, host: Host, manifest: Manifest) -> None:
    """Have systemd read the units as they will be installed.

    Raises:
        Refused: unit-verify, with what systemd says of our own units.
    """
    release = paths.release(manifest.id)
    own = [os.path.join(release.units, unit.name) for unit in manifest.units]
    if not own:
        return
    # Other packages' units are their business; older versions never looked into those.
    version = systemd_version(os.path.join(paths.var, "systemd.json"), host)
    options = ("--recursive-errors=no",) if version >= RECURSIVE_ERRORS_SINCE else ()
    done = host.verify(own, options=options)
    names = [unit.name for unit in manifest.units]
    lines = [line for line in done.output.splitlines() if any(name in line for name in names)]
    if not done.ok and (lines or done.timed_out):
        what = "systemd-analyze verify refuses the units"
        hint = "correct the unit's template, or the service's command"
        raise Refused(Failure("unit-verify", what, "verify", hint, "\n".join(lines)))


def smoke(paths: Paths, host: Host, request: Stage) -> None:
    """Run the smoke command as the services run, with the environment of all of them.

    Raises:
        Refused: smoke-failed.
    """
    manifest = request.manifest
    done = commands.run(paths, host, manifest, manifest.smoke, SMOKE_TIMEOUT)
    if not done.ok:
        what = f"{' '.join(manifest.smoke)} {done.end(SMOKE_TIMEOUT)}, 0 was expected"
        hint = "it ran in the new release's venv, before anything was switched"
        raise Refused(Failure("smoke-failed", what, "smoke", hint, done.output))
