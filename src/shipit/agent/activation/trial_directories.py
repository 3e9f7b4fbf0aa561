"""Separate a release on trial from the directories of the running one.

systemd chowns a service's directory, with its content, to the service's user. So if that user is
not the present owner, the trial gets an empty directory instead, in memory and in its own mount
namespace: it disappears with the trial.
"""

from typing import Callable, Dict, List, Optional, Tuple

from ..protocol import unit_text
from . import names, owners
from .names import DIRECTORIES, Wanted

VARIABLES = {  # systemd.exec(5): the variables that name a service's directories
    "StateDirectory": "STATE_DIRECTORY",
    "CacheDirectory": "CACHE_DIRECTORY",
    "LogsDirectory": "LOGS_DIRECTORY",
    "RuntimeDirectory": "RUNTIME_DIRECTORY",
}
HEAD = """
# These directories belong to the user of the running release: the trial has empty ones.
[Service]
"""


def text(unit: str, of: str, whose: Callable[[str], Optional[Tuple[int, int]]]) -> str:
    """Return the text `of` a unit on trial, changed so that it takes no other user's directory.

    `whose`: returns the user and group of a directory; None if it does not exist.
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
    """Return the lines that leave one kind of directory to systemd in part, or not at all."""
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
    if owner is None:  # systemd has not allocated the user yet
        return "mode=0777"
    return f"mode={modes[each.kind]},uid={owner.uid},gid={owner.gid}"


def _plain(text: str) -> str:
    """Escape systemd's specifiers."""
    return text.replace("%", "%%")
