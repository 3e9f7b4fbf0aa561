"""Find a unit's processes in /proc. Starts none."""

import os
import re
from contextlib import suppress
from typing import Dict, List, Set

PROC = "/proc"
UNIT = re.compile(r"[^/]+\.(?:service|socket|scope)")
OF_FIRST = "/init.scope"  # the first process's group, below the top of systemd's tree


def of_unit(unit: str) -> List[str]:
    """Return the pids of a unit of systemd."""
    return [pid for pid in os.listdir(PROC) if pid.isdigit() and unit_of(pid) == unit]


def unit_of(pid: str) -> str:
    """Return the system's unit of a process, "" for none.

    Of several on its path the first one counts: the owner of a delegated subtree (a user's manager,
    a container) chooses the names below it.
    """
    tops = _places("1")
    for tree, place in _places(pid).items():
        top = tops.get(tree, "")
        top = top[: -len(OF_FIRST)] if top.endswith(OF_FIRST) else ""
        below = place[len(top) :] if place.startswith(f"{top}/") else place
        found = next(filter(UNIT.fullmatch, below.split("/")), None)
        if found:
            return found
    return ""


def _places(pid: str) -> Dict[str, str]:
    """Return the path of a process in each tree of control groups."""
    rows = (line.split(":", 2) for line in read(pid, "cgroup").splitlines())
    return {row[1]: row[2] for row in rows if len(row) == 3}  # noqa: PLR2004 - id, tree, place


def sockets_of(pid: str) -> Set[str]:
    """Return the inodes of all sockets that a process has open."""
    directory = os.path.join(PROC, pid, "fd")
    found: Set[str] = set()
    with suppress(OSError):  # the process has ended
        for name in os.listdir(directory):
            with suppress(OSError):  # it was closed meanwhile
                kind, _, inode = os.readlink(os.path.join(directory, name)).partition(":[")
                if kind == "socket":
                    found.add(inode.rstrip("]"))
    return found


def memory_of(unit: str) -> int:
    """Return the resident memory of a unit's processes, in bytes; shared memory counts for each.

    systemd's own counter includes the page cache, and is not available on every host.
    """
    fields = [read(pid, "statm").split() for pid in of_unit(unit)]
    return sum(int(each[1]) for each in fields if each) * os.sysconf("SC_PAGE_SIZE")


def read(pid: str, name: str) -> str:
    """Return the content of a process's file; "" if the process has ended."""
    try:
        with open(os.path.join(PROC, pid, name), encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""
