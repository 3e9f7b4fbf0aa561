"""How a release is called that is made anew beside one of the same contents: <id>_2, <id>_3, ...

An id is made of a release's contents, and no id has a `_`. All generations of a release are the
same to a person; the last one is the one that is whole.
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
    """Return of each release the generation that comes last here, in the order of those."""
    last: Dict[str, str] = {}
    for release in ordered:
        last.pop(contents(release), None)
        last[contents(release)] = release
    return list(last.values())
