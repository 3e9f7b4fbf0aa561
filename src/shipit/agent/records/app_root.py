"""Check whether an app's root may be used: who can change it, and who owns it. Changes nothing.

The agent reads, writes and removes below it as root, so no other user may be able to change the
path to it. Its content must be the app's own: the root of another tool or app is never touched.
"""

import os
from typing import Callable, Iterator, List, Tuple

from ..protocol.messages import Failure
from ..system import files, trust
from ..system.failures import Refused
from ..system.paths import Paths
from . import registry, releases

STEP = "preflight"
FOREIGN = "root-foreign"
HARMLESS = ("lost+found", ".doomed")  # of the file system, and of a removed app
SHOWN = 5  # names of what was found
Check = Callable[[Paths], Iterator[Failure]]


def require(paths: Paths) -> None:
    """Refuse a root that other users control, or that is missing.

    Raises:
        Refused: root-untrusted, root-changed, root-missing or registration-unreadable.
    """
    for check in (_untrusted, _changed, _missing):
        for failure in check(paths):
            raise Refused(failure)


def problems(paths: Paths) -> Tuple[Failure, ...]:
    """Return everything that prevents a release in this root."""
    checks: Tuple[Check, ...] = (_untrusted, _changed, _missing, _of_another, _layout, _foreign)
    return tuple(failure for check in checks for failure in check(paths))


def _failure(code: str, what: str, hint: str) -> Failure:
    return Failure(code, what, STEP, hint)


# --- who can change it -------------------------------------------------------------------------


def _untrusted(paths: Paths) -> Iterator[Failure]:
    way = trust.weaknesses(paths.root, paths.releases, paths.ledger)
    tops = [paths.release(name) for name in releases.listed(paths)]
    below = set(trust.weaknesses(*(path for top in tops for path in (top.top, top.manifest)))) - {
        *way
    }
    if way or below:
        seen = "; ".join(map(str, [*way, *sorted(below)][:SHOWN]))
        what = f"the root {paths.root} can be changed by users other than root: {seen}"
        cures = [each.cure for each in way]
        if below:
            cures += [f"chown -R root {paths.releases}", f"chmod -R go-w {paths.releases}"]
        yield _failure("root-untrusted", what, " && ".join(cures))


# --- where it is -------------------------------------------------------------------------------


def _changed(paths: Paths) -> Iterator[Failure]:
    known = registry.load(paths)
    if known and known.release and known.root != paths.root:
        what = f"{paths.app} lies in {known.root} on this host ({known.release}), not {paths.root}"
        hint = (
            f"write `root: {known.root}` in the playbook; or take the app off this host first"
            f" (docs/host.md says how), and then rm {registry.path_of(paths)}"
        )
        yield _failure("root-changed", what, hint)


def _missing(paths: Paths) -> Iterator[Failure]:
    """Report a root that was removed or is not mounted, as opposed to a new one."""
    known = registry.load(paths)
    if not known or not known.release or known.root != paths.root or os.path.exists(paths.ledger):
        return
    if releases.manifest(paths, releases.pointed(paths)):
        return  # only the history is lost
    how = "has no ledger" if os.path.isdir(paths.root) else "is not there"
    what = f"{known.release} was committed in {paths.root}, which {how}"
    hint = (
        f"is its file system mounted? findmnt --target {paths.root}; if it was removed on purpose:"
        f" rm {registry.path_of(paths)}"
    )
    yield _failure("root-missing", what, hint)


# --- whose it is -------------------------------------------------------------------------------


def _of_another(paths: Paths) -> Iterator[Failure]:
    for app, known in registry.others(paths).items():
        ledger = os.path.join(known.root, os.path.basename(paths.ledger))
        if known.release and os.path.exists(ledger) and overlap(paths.root, known.root):
            how = "is" if paths.root == known.root else f"overlaps {known.root},"
            what = f"{paths.root} {how} the root of the app {app} ({known.release})"
            hint = f"give one of the two another `root:`; the app's own is /opt/{paths.app}"
            yield _failure("root-of-another-app", what, hint)


def overlap(one: str, other: str) -> bool:
    """Whether two roots are the same, or one contains the other."""
    a, b = os.path.realpath(one), os.path.realpath(other)
    return os.path.commonpath([a, b]) in (a, b)


def _layout(paths: Paths) -> Iterator[Failure]:
    if os.path.lexists(paths.root) and not os.path.isdir(paths.root):
        yield _failure("root-taken", f"{paths.root} is not a directory", "move it out of the way")
    elif os.path.lexists(paths.current) and not os.path.islink(paths.current):
        what = f"{paths.current} is not a symlink: something else made it"
        yield _failure("current-taken", what, f"move it away: mv {paths.current} {paths.root}.old")
    elif os.path.lexists(paths.releases) and not files.is_real_directory(paths.releases):
        what = f"{paths.releases} is not a directory of its own"
        yield _failure("releases-taken", what, "move it out of the way")


def is_foreign(paths: Paths) -> bool:
    """Whether the root has content, but none of shipit."""
    return bool(found(paths)) and not _is_ours(paths)


def _foreign(paths: Paths) -> Iterator[Failure]:
    if is_foreign(paths):
        names = found(paths)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        what = f"{paths.root} was not made by shipit: it holds {', '.join(names[:SHOWN])}{more}"
        hint = "give the app another `root:`, or take over what is there: shipit adopt PLAYBOOK"
        yield _failure(FOREIGN, what, hint)


def _is_ours(paths: Paths) -> bool:
    known = registry.load(paths)
    return os.path.exists(paths.ledger) or (known is not None and known.root == paths.root)


def found(paths: Paths) -> List[str]:
    """Return the content of the root for display."""
    try:
        names = sorted(os.listdir(paths.root))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [_named(paths, name) for name in names if name not in HARMLESS]


def _named(paths: Paths, name: str) -> str:
    path = os.path.join(paths.root, name)
    if os.path.islink(path):
        return f"{name} -> {os.readlink(path)}"
    if path == paths.releases:
        return f"{name}/ with {len(releases.listed(paths))} folders"
    return f"{name}/" if os.path.isdir(path) else name
