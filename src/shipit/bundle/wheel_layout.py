"""Decide where the entries of a wheel land in a venv, and which are not allowed.

Root unpacks wheels on a host. None may replace the interpreter of its venv or lead out of the venv.
Installers differ in what they allow, so the entries are checked before an installer gets the wheel.
Pure: knows names and modes, reads no wheel.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Where the folders of NAME-VERSION.data land (the binary distribution format's schemes); all other
# entries land in site-packages.
PACKAGES = "lib/python/site-packages"
SCHEMES = {
    "data": "",
    "headers": "include/site",
    "platlib": PACKAGES,
    "purelib": PACKAGES,
    "scripts": "bin",
}
DATA = ".data"
# What makes a venv one. `python3._pth` beside an interpreter replaces its whole sys.path; lib64 is
# a symlink. Other names that only begin like these are programs: python-dotenv, activate-global-...
VENV = re.compile(
    r"(?:pyvenv\.cfg|lib64|bin/(?:pyvenv\.cfg|pybuilddir\.txt"
    r"|(?:python|pypy)w?\d*(?:\.\d+)*[a-z]?(?:\._pth)?"
    r"|(?i:activate|deactivate)(?:\.\w+)?|activate_this\.py))(?:/.*)?"
    r"|bin|lib|include"
)
_PROGRAM = re.compile(r"[^/]+\.data/(?:scripts|data/bin)/([^/]+)")
SCRIPT_GROUPS = ("console_scripts", "gui_scripts")


class Entry(NamedTuple):
    """An entry of a wheel; `mode` is st_mode from the zip, 0 if it has none."""

    name: str
    mode: int = 0


def objection(entries: Iterable[Entry], entry_points: str = "") -> str:
    """Return what makes a wheel unsafe to unpack, with the entry; "" if it is safe.

    `entry_points` is the text of its entry_points.txt: an installer makes a program of each script.
    """
    known = list(entries)
    for name, count in Counter(entry.name for entry in known).items():
        if count > 1:
            return f"{name!r} is in it {count} times"
    for entry in known:
        if wrong := _wrong(entry):
            return f"{entry.name!r} {wrong}"
    for name in _scripts(entry_points):
        if wrong := _wrong(Entry(f"wheel{DATA}/scripts/{name}")):
            return f"the script {name!r} of its entry_points.txt {wrong}"
    return ""


def _wrong(entry: Entry) -> str:
    """Return what is wrong with an entry; "" if nothing is."""
    name, kind = entry.name, stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        return "is a symlink"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a folder"
    if name.startswith("/") or ".." in name.split("/"):
        return "leads out of the venv"
    if "\\" in name or not name.isprintable():
        return "has a name that installers read differently"
    place = landing(name)
    is_taken = not name.endswith("/") and VENV.fullmatch(place)
    return f"would replace {place} of the venv" if is_taken else ""


def landing(name: str) -> str:
    """Return where an entry lands, relative to the venv."""
    first, *rest = [part for part in name.split("/") if part not in ("", ".")] or [""]
    if not first.endswith(DATA) or not rest:
        return "/".join((PACKAGES, first, *rest))
    scheme, *below = rest
    return "/".join(filter(None, (SCHEMES.get(scheme, f"{PACKAGES}/{first}"), *below)))


def programs(names: Iterable[str], entry_points: str = "") -> frozenset[str]:
    """Return the names of the programs in the venv's bin/."""
    found = (_PROGRAM.fullmatch(name) for name in names)
    return frozenset({match[1] for match in found if match} | set(_scripts(entry_points)))


def _scripts(entry_points: str) -> Iterator[str]:
    """Yield the names of the programs that an installer makes."""
    group = ""
    for line in entry_points.splitlines():
        text = line.strip()
        if text.startswith("["):
            group = text.strip("[] \t")
        elif group in SCRIPT_GROUPS and text and not text.startswith(("#", ";")):
            yield re.split("[=:]", text, maxsplit=1)[0].strip()
