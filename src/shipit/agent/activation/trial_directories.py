"""Separate a release on trial from the directories of the running one.

systemd chowns a service's directory, with its content, to the service's user. So if that user is
not the present owner, the trial gets an empty directory instead, in memory and in its own mount
namespace: it disappears with the trial.
"""

from typing import Callable, List, Optional, Tuple

from ..protocol.rules import unit_text
from ..system.ownership import Owner
from . import names, owners
from .names import DIRECTORIES, Wanted

HEAD = """
# These directories belong to the user of the running release: the trial has empty ones.
[Service]
"""


def text(unit: str, of: str, whose: Callable[[str], Optional[Tuple[int, int]]]) -> str:
    """Return the text `of` a unit on trial, changed so that it takes no other user's directory.

    `whose`: returns the user and group of a directory; None if it does not exist.
    """
    wanted = names.wanted({unit: of})
    owner = {each: owners.owner(each.user, each.group) for each in wanted}
    there = {each: whose(each.path) for each in wanted}
    # systemd gives an existing directory away if the user or the group differs.
    taken = [each for each, present in there.items() if present and Owner(*present) != owner[each]]
    if not taken:
        return of
    lines = [line for key in DIRECTORIES for line in _setting(key, wanted, taken)]
    settings = unit_text.settings(of, "Service")
    for each in taken:
        to, mode = owner[each], unit_text.last(settings, f"{each.kind}Mode") or "0755"
        # Without a user, systemd has not allocated it yet.
        options = f"mode={mode},uid={to.uid},gid={to.gid}" if to else "mode=0777"
        lines.append(f"TemporaryFileSystem={_plain(each.path)}:{options}")
    return of.rstrip("\n") + "\n" + HEAD + "".join(f"{line}\n" for line in lines)


def _setting(key: str, wanted: Tuple[Wanted, ...], taken: List[Wanted]) -> List[str]:
    """Return the lines that leave one kind of directory to systemd in part, or not at all."""
    of_kind = [each for each in wanted if each.kind == key]
    if not any(each in taken for each in of_kind):
        return []
    left = [_plain(each.setting) for each in of_kind if each not in taken]
    every = _plain(":".join(each.path for each in of_kind))
    variable = key.replace("Directory", "_DIRECTORY").upper()  # that names them: systemd.exec(5)
    return [f"{key}=", *left, f"Environment={variable}={every}"]


def _plain(text: str) -> str:
    """Escape systemd's specifiers."""
    return text.replace("%", "%%")
