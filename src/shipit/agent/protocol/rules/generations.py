"""Names of a release that is built again beside one of the same contents: <id>_2, <id>_3, ...

An id is derived from a release's contents, and contains no `_`. All generations of a release are
shown as one; the last one is the intact one.
"""

from typing import Dict, Iterable, List

MARK = "_"


def contents(release: str) -> str:
    """Return the id that all generations of a release have in common: that of the first."""
    return release.partition(MARK)[0]


def number(release: str) -> int:
    """Return which generation this is; the first is 1."""
    tail = release.partition(MARK)[2]
    return int(tail) if tail.isdecimal() else 1


def following(release: str) -> str:
    """Return the name of the next generation."""
    return f"{contents(release)}{MARK}{number(release) + 1}"


def last_of_each(ordered: Iterable[str]) -> List[str]:
    """Return the last generation of each release, in their order."""
    last: Dict[str, str] = {}
    for release in ordered:
        last.pop(contents(release), None)
        last[contents(release)] = release
    return list(last.values())
