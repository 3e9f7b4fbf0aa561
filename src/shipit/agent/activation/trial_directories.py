"""Keep a release on trial apart from the directories of the one that runs.

systemd gives a directory, with all in it, to the user of each service that has it. So where that
user is another one than its owner, the trial has an empty directory in its place, in memory and
seen by nobody else: it is gone when the trial ends, whatever ends it.
"""

from typing import Callable, Dict, List, Optional, Tuple

from ..system import unit_text
from . import names, owners
from .names import DIRECTORIES, Wanted

VARIABLES = {  # systemd.exec(5): what a service is told of its directories
    "StateDirectory": "STATE_DIRECTORY",
    "CacheDirectory": "CACHE_DIRECTORY",
    "LogsDirectory": "LOGS_DIRECTORY",
    "RuntimeDirectory": "RUNTIME_DIRECTORY",
}
HEAD = """
# These directories are another user's, who runs the present release: a trial has empty ones.
[Service]
"""


def text(unit: str, of: str, whose: Callable[[str], Optional[Tuple[int, int]]]) -> str:
    """Return the text `of` a unit on trial, changed so that it takes nobody's directory.

    `whose`: the user and group of a directory; None where there is none.
    """
    wanted = names.wanted({unit: of})
    taken = [each for each in wanted if _is_anothers(each, whose(each.path))]
    if not taken:
        return of
    modes = _modes(of)
    lines = [line for key in DIRECTORIES for line in _setting(key, wanted, taken)]
    lines += [f"TemporaryFileSystem={_plain(each.path)}:{_options(each, modes)}" for each in taken]
    return of.rstrip("\n") + "\n" + HEAD + "".join(f"{line}\n" for line in lines)


def _is_anothers(each: Wanted, present: Optional[Tuple[int, int]]) -> bool:
    """Whether systemd would give an existing directory away, as it does if user or group differ."""
    owner = owners.owner(each.user, each.group)
    return present is not None and (owner is None or present != (owner.uid, owner.gid))


def _setting(key: str, wanted: Tuple[Wanted, ...], taken: List[Wanted]) -> List[str]:
    """Return the lines by which one kind of directory is left to systemd in part, or not at all."""
    of_kind = [each for each in wanted if each.kind == key]
    if not any(each in taken for each in of_kind):
        return []
    left = [_plain(each.setting) for each in of_kind if each not in taken]
    every = ":".join(each.path for each in of_kind)
    return [f"{key}=", *left, f"Environment={VARIABLES[key]}={_plain(every)}"]


def _modes(of: str) -> Dict[str, str]:
    settings = unit_text.settings(of, "Service")
    return {key: unit_text.last(settings, f"{key}Mode") or "0755" for key in DIRECTORIES}


def _options(each: Wanted, modes: Dict[str, str]) -> str:
    owner = owners.owner(each.user, each.group)
    if owner is None:  # systemd has yet to make the user up
        return "mode=0777"
    return f"mode={modes[each.kind]},uid={owner.uid},gid={owner.gid}"


def _plain(text: str) -> str:
    """Return a text in which systemd finds no specifier."""
    return text.replace("%", "%%")
