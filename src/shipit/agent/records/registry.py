"""Record outside of an app's root where the app is, and which release was last committed there.

A root whose file system is not mounted looks like one that never had a release: only a record
elsewhere distinguishes them. Pruning keeps the blobs of all apps registered here.
"""

import json
import os
from dataclasses import asdict, replace
from typing import Dict, Optional, Tuple

from ..protocol.codec import from_json, parse
from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..system import files
from ..system.failures import Refused
from ..system.paths import Paths

FORMAT = 1
MODE = 0o600
EARLIER = "an earlier release"  # recorded by an agent that stored only the root


@dataclass(frozen=True)
class Registration:
    """Where an app is on this host."""

    root: str
    release: str = ""  # the last one that was committed there; "" for none
    begun: Tuple[str, ...] = ()  # releases with a folder that may lack a line in the history


def path_of(paths: Paths) -> str:
    return os.path.join(paths.apps, paths.app)


def load(paths: Paths) -> Optional[Registration]:
    """Return the registration of the app; None if it never was on this host.

    Raises:
        Refused: registration-unreadable.
    """
    return _read(path_of(paths))


def others(paths: Paths) -> Dict[str, Registration]:
    """Return the registrations of the other apps on this host, by name.

    Raises:
        Refused: registration-unreadable.
    """
    try:
        names = sorted(os.listdir(paths.apps))
    except FileNotFoundError:
        return {}
    # A name with a dot is a file that is being written.
    apps = [name for name in names if name != paths.app and "." not in name]
    known = {app: _read(os.path.join(paths.apps, app)) for app in apps}
    return {app: found for app, found in known.items() if found is not None}


def register(paths: Paths, *, begun: str = "") -> None:
    """Record the app's root, and a release's folder, before it is created."""
    known = load(paths)
    here = known if known and known.root == paths.root else Registration(paths.root)
    names = dict.fromkeys([*here.begun, *([begun] if begun else [])])
    _write(paths, replace(here, begun=tuple(names)))


def note_committed(paths: Paths, release: str) -> None:
    """Record the committed release; of begun releases keep those whose folder exists."""
    known = load(paths)
    begun = known.begun if known else ()
    there = tuple(name for name in begun if os.path.isdir(paths.release(name).top))
    _write(paths, Registration(paths.root, release, there))


def _write(paths: Paths, registration: Registration) -> None:
    if load(paths) == registration:
        return
    content = json.dumps({"format": FORMAT, **asdict(registration)})
    files.make_directory(paths.apps, files.PRIVATE)
    files.write(path_of(paths), content.encode(), MODE)


def _read(path: str) -> Optional[Registration]:
    text = files.read_text(path)
    if not text:
        return None
    if text.startswith("/"):
        return Registration(text.strip(), EARLIER)
    try:
        raw = parse(text.encode())
        if raw["format"] == FORMAT:
            return from_json(Registration, raw)
        how = f"has the format {raw['format']}, and {FORMAT} is known"
    except (ValueError, KeyError, TypeError):
        how = "cannot be read"
    hint = f"it records where {os.path.basename(path)} is: use the version of shipit that wrote it"
    raise Refused(Failure("registration-unreadable", f"{path} {how}", "", hint))
