"""Select hosts by Ansible's patterns: `web:&eu:!web3`, `web*`, `~web[0-9]`, `web[0:2]`, `all`.

Selection and order are Ansible's. Pure, except that `--limit @file` reads that file.

Stricter than Ansible, which only warns: a name, glob or regex that matches nothing is refused (a
glob that excludes nothing is fine), and so are an empty pattern, an empty limit (both mean all
hosts in Ansible) and a selection without any host. Not supported: `[x-y]` instead of `[x:y]`,
which Ansible itself has removed.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipit import yaml_source
from shipit.errors import InputError, Mistake, Place, nearest
from shipit.inventory import host_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LOCALHOSTS = ("localhost", "127.0.0.1", "::1")
_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+)([:-])([0-9]*))\]")
_BETWEEN_COLONS = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")


@dataclass(frozen=True)
class Names:
    """The names to select from.

    Attributes:
        hosts: every host's name, in the order of first mention in the inventory.
        groups: each group's hosts, including those of groups below.
    """

    hosts: Sequence[str]
    groups: Mapping[str, Sequence[str]]


def select(names: Names, pattern: str, limit: str | None = None) -> tuple[str, ...]:
    """Return the names of the hosts that match a pattern and the limit.

    `localhost`, `127.0.0.1` and `::1` are known even if the inventory does not name them.

    Raises:
        InputError: with the code pattern-empty, pattern-unknown, pattern-invalid, limit-empty,
            limit-file or no-hosts.
    """
    parts = split(pattern)
    if not parts:
        raise _wrong("pattern-empty", "the pattern for hosts is empty", "write `all` for all hosts")
    chosen = _evaluate(names, parts)
    if limit is not None:
        within = _within(names, limit)
        chosen = [name for name in chosen if name in within]
    if not chosen:
        within_limit = "" if limit is None else f" within the limit '{limit}'"
        what = f"'{pattern}' selects no host{within_limit}"
        raise _wrong("no-hosts", what, _known_groups(names))
    return tuple(dict.fromkeys(chosen))


def split(pattern: str) -> list[str]:
    """Split a pattern at its commas or, where it has none, at its colons."""
    if "," in pattern:
        parts = pattern.split(",")
    elif host_ranges.address(pattern):  # an IPv6 address, or a range such as web[0:2]
        parts = [pattern]
    else:
        parts = _BETWEEN_COLONS.findall(pattern)
    return [part.strip() for part in parts if part.strip()]


def _within(names: Names, limit: str) -> set[str]:
    """Return the hosts of a limit; the place of its mistakes is --limit, not the playbook."""
    parts: list[str] = []
    try:
        for part in split(limit):
            parts += _lines(Path(part[1:])) if part.startswith("@") else [part]
        if not parts:
            what = f"the limit '{limit}' is empty"
            raise _wrong("limit-empty", what, "leave --limit out to take all hosts")
        return set(_evaluate(names, parts))
    except InputError as error:
        place = Place("--limit")
        raise InputError(*(replace(each, place=place) for each in error.mistakes)) from error


def _lines(path: Path) -> list[str]:
    try:
        text = yaml_source.text_of(path)
    except InputError as error:
        what = f"the limit's file '{path}' cannot be read"
        raise _wrong("limit-file", what, error.mistakes[0].what) from error
    return [line.strip() for line in text.split("\n") if line.strip()]


def _evaluate(names: Names, parts: Iterable[str]) -> list[str]:
    """Add up the plain parts, then keep what is in each &part, then take away each !part."""
    plain, required, excluded = [], [], []
    for part in parts:
        if part[0] == "!":
            excluded.append(part[1:])
        elif part[0] == "&":
            required.append(part[1:])
        else:
            plain.append(part)
    chosen = [
        name
        for part in plain or ["all"]
        for name in ([part] if part in names.hosts else _match(names, part))
    ]
    for part in required:
        within = set(_match(names, part))
        chosen = [name for name in chosen if name in within]
    for part in excluded:
        without = set(_match(names, part, may_be_none=_is_glob(part)))
        chosen = [name for name in chosen if name not in without]
    return chosen


def _is_glob(part: str) -> bool:
    return part.startswith("~") or any(special in part for special in "?*[")


def _match(names: Names, part: str, *, may_be_none: bool = False) -> list[str]:
    """Return the hosts that match one part, without its & or !.

    A glob that matches a group and hosts in it returns these twice, and a subscript counts them
    twice: as in Ansible.
    """
    expression, subscript = _split_subscript(part)
    try:
        is_regex = expression.startswith("~")
        pattern = expression[1:] if is_regex else fnmatch.translate(expression)
        matches = re.compile(pattern).match
    except re.error as error:
        what = f"the pattern '{expression}' is not a regular expression: {error}"
        raise _wrong("pattern-invalid", what) from error
    groups = [name for name in names.groups if matches(name)]
    found = [host for group in groups for host in names.groups[group]]
    if not groups or "." in expression or _is_glob(expression):  # the dot: as in Ansible
        found += [host for host in names.hosts if matches(host)]
    if not found and expression in LOCALHOSTS:
        found = [next((host for host in names.hosts if host in LOCALHOSTS), expression)]
    if not found and not groups and expression != "all" and not may_be_none:
        hint = nearest(expression, [*names.groups, *names.hosts]) or _known_groups(names)
        raise _wrong("pattern-unknown", f"no group or host is called '{expression}'", hint)
    return _apply_subscript(found, subscript, part)


def _split_subscript(part: str) -> tuple[str, tuple[int, int | None] | None]:
    """Split `[2]`, `[0:2]` or `[1:]` from a part: the first index and, of a range, the last."""
    if not part:
        raise _wrong("pattern-invalid", "`!` and `&` need a name behind them")
    found = None if part.startswith("~") else _SUBSCRIPT.fullmatch(part)
    if not found:
        return part, None
    expression, index, start, sign, end = found.groups()
    if index:
        return expression, (int(index), int(index))
    if sign == "-" or (end and int(end) < int(start)):
        hint = "write [first:last], counted from 0, both included"
        raise _wrong("pattern-invalid", f"'{part}' is not a valid range of hosts", hint)
    return expression, (int(start), int(end) if end else None)


def _apply_subscript(
    hosts: list[str], subscript: tuple[int, int | None] | None, part: str
) -> list[str]:
    if not hosts or not subscript:
        return hosts
    start, end = subscript
    if end is None:
        return hosts[start:]
    if start != end:
        return hosts[start : end + 1]
    if not -len(hosts) <= start < len(hosts):
        what = f"'{part}' asks for a host that is not there: it has {len(hosts)}"
        raise _wrong("pattern-unknown", what, "the first one is [0], the last one [-1]")
    return [hosts[start]]


def _known_groups(names: Names) -> str:
    most = 20
    shown = ", ".join(list(names.groups)[:most])
    return f"groups: {shown}" + (", ..." if len(names.groups) > most else "")


def _wrong(code: str, what: str, hint: str = "") -> InputError:
    return InputError(Mistake(code, what, None, hint))
