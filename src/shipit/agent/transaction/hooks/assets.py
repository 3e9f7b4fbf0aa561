"""Make the static files of a staged release, and let clients find those of a new name.

A command writes them as the app's user, into a directory that is that user's. Root then copies
them: nothing that another user has made is trusted, or kept. Files of a package are copied as well,
so that a release has its own whatever becomes of its venv.
"""

import os
from contextlib import contextmanager, suppress
from typing import Iterator, Optional, Tuple

from ...activation import assets
from ...protocol.assets import ASSETS, Assets
from ...protocol.messages import Failure
from ...records import releases, views
from ...system import accounts, files
from ...system.failures import Refused
from ..journal import Journal
from .command import Run
from .points import run_one


def stage(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Make the files of a release; return the journal, which has its command, and why it failed.

    All views that the transaction may need are built now, while a full disk changes nothing.

    Raises:
        Refused: assets-missing, assets-refused.
        OSError: the disk is full, for instance.
    """
    wanted = of.of.assets
    if wanted is None:
        return open_, None
    previous = releases.manifest(of.paths, open_.previous)
    with _making_room(of, open_):
        assets.settle(of.paths, of.host, previous)
        if not views.has_files(of.paths, of.of.id):
            open_, failure = _make(of, open_, wanted)
            if failure is not None:
                return open_, failure
        beside = views.wanted_beside(of.paths, previous, of.of.id)
        for layers in (beside, views.wanted(of.paths, of.of)):
            assets.build(of.paths, of.host, layers)
        assets.point(of.paths, of.host, beside)
    return open_, None


@contextmanager
def _making_room(of: Run, open_: Journal) -> Iterator[None]:
    """Remove a new release at once if it fails: on a full disk even a discard needs an inode."""
    try:
        yield
    except OSError:
        if open_.fresh:
            with suppress(OSError):  # the discard tries again
                files.remove_tree(of.paths.release(of.of.id).top)
        raise


def _make(of: Run, open_: Journal, wanted: Assets) -> Tuple[Journal, Optional[Failure]]:
    target = of.paths.release(of.of.id).assets
    if wanted.command is None:
        source, owner = _folder(of, wanted), os.geteuid()
    else:
        source, owner = target, _uid(wanted.command.user)
        files.remove_tree(target)
        os.mkdir(target, files.PRIVATE)
        os.chown(target, owner, -1)
        open_, failure = run_one(of, open_, ASSETS, wanted.command)
        if failure is not None:
            return open_, failure
    of.host.copy_tree(source, target, owner)
    if not views.links(of.paths, (of.of.id,)):
        raise Refused(_missing(wanted, f"there is no file in {source}"))
    return open_, None


def _uid(name: str) -> int:
    user = accounts.user(name)
    if user is None:  # it was there when the deploy began
        raise Refused(Failure("no-user", f"there is no user {name}", ""))
    return user.pw_uid


def _folder(of: Run, wanted: Assets) -> str:
    """Return the directory of a release that has its static files.

    Raises:
        Refused: assets-missing: there is none, or a symlink leads out of it.
    """
    from ...storage import bytecode  # noqa: PLC0415 - few releases need it

    release = of.paths.release(of.of.id)
    top = bytecode.site_packages(release.venv) if wanted.is_in_package else release.top
    path = os.path.join(top or release.venv, wanted.folder)
    is_inside = os.path.realpath(path) == os.path.join(os.path.realpath(top or ""), wanted.folder)
    if not top or not os.path.isdir(path) or not is_inside:
        raise Refused(_missing(wanted, f"{path} is no directory of the release"))
    return path


def _missing(wanted: Assets, what: str) -> Failure:
    hint = "correct `from` of `assets` in the playbook; is the folder in the app's wheel?"
    if wanted.command is not None:
        hint = "the command must write into the directory $SHIPIT_ASSETS (docs/assets.md)"
    return Failure("assets-missing", f"the release has no static files: {what}", "", hint)
