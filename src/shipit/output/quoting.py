"""Decide how much of a line that a person wrote may be quoted.

A mistake is found before the secrets of a run are known, so that nothing can be masked by value.
Therefore what may be shown is listed, and the rest is withheld:

- nothing of a file of environment variables, or of one that ansible-vault has encrypted;
- nothing of a line that sounds of secrets (`password`, `token`, ...), or has credentials in a URL;
  nor of what stands below such a line, as all of `secrets:`;
- of a lock, any other line;
- elsewhere the names, and the values of those names alone that are listed here: a playbook's own
  keys, and variables that say how to reach a host. Below `env:`, `vars:` and keys that no playbook
  has, all names are a person's own. `{{ name }}` is no value;
- nothing below a value that goes on over several lines, or where its end is in doubt.

Pure: takes the file's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from shipit.vault import is_encrypted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shipit.errors import Place

# Keys of a playbook whose values hold no secret. A command is public: every user of the host sees
# it in the list of processes.
PLAYBOOK = frozenset(
    {
        *("app", "name", "hosts", "wheel", "lock", "wheelhouse", "python", "installer", "root"),
        *("user", "keep_releases", "env_file", "path", "public", "files", "src", "dest"),
        *("mode", "services", "command", "socket", "socket_mode", "socket_user"),
        *("socket_group", "timer", "unit", "handover", "instances", "notify", "restart"),
        *("stop_timeout", "workdir", "smoke", "health", "checks", "http", "tcp", "unix"),
        *("status", "host", "timeout", "interval", "deadline", "min_healthy", "bake", "serial"),
        *("max_fail_percentage", "confirm", "confirm_timeout"),
    }
)
# Keys of a playbook below which a person gives the names, and whose values may be secret.
OPEN = frozenset({"env", "vars", "secrets", "headers", "json", "body", "hardening"})
INVENTORY = frozenset(
    {
        *("ansible_host", "ansible_port", "ansible_user", "ansible_connection"),
        *("ansible_timeout", "ansible_become", "ansible_become_method", "ansible_become_user"),
        *("ansible_ssh_host", "ansible_ssh_port", "ansible_ssh_user", "ansible_ssh_timeout"),
        *("ansible_group_priority", "ansible_python_interpreter"),
    }
)
_LOCKS = frozenset(
    {
        *("lock-syntax", "not-pinned", "no-hash", "broken-hash", "wrong-hash"),
        *("undecidable-marker", "two-versions", "locked-twice", "include-loop", "only-sdist"),
        *("missing-wheel", "wrong-python", "not-in-lock"),
    }
)
_NEVER = ("env-", "secret-", "vault-", "extra-vars", "ssh-config")  # beginnings of codes
_VARIABLES = {"group_vars", "host_vars"}  # folders

_SOUNDS_SECRET = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|private|vault|dsn|cookie|salt|://[^/\s]*@|://\S*\?",
    re.IGNORECASE,
)
_EXPRESSION = re.compile(r"""\{\{[^{}"']*\}\}|\{%[^{}"']*%\}""")
_NAME = re.compile(
    r"""
    (?P<quote>["']?) (?P<name>[^\s,{}\[\]"'=:]*) (?P=quote)
    \s* (?: :(?=[\s{\["']|$) | (?<=["']): | =(?!=) )
    """,
    re.VERBOSE,
)
_EMPTY = re.compile(r"""[\s{}\[\],"'-]*(?:[|>][+-]?\s*)?""")
_BRACKETS = re.compile(r"[\s{}\[\],-]*")
_OPENING = re.compile(r"\s*[\[{][\[{\s]*")
_HOST = re.compile(r"[\w.:\[\]-]+\s+")
_SECTION = re.compile(r"\[[\w.:-]+\]\s*")
_COMMENT = re.compile(r"\s#")
_INDENT = " \t-"
_STRANGE = ("?", "|", ">", "&", "!", "*", ":")  # what begins a line whose meaning is hard to tell


def quotable(text: str, place: Place, code: str) -> str:
    r"""Return the beginning of a line as far as it may be shown; "" is nothing of it.

    Args:
        text: the file, its lines ended by \n.
        place: with the line.
        code: of the mistake; it tells what kind of file this is.
    """
    file, lines = PurePath(place.file), text.split("\n")[: place.line]
    is_env = file.suffix == ".env" or file.name.startswith(".env")
    if is_env or is_encrypted(text.lstrip()) or code.startswith(_NEVER):
        return ""
    if code in _LOCKS:
        return "" if _SOUNDS_SECRET.search(lines[-1]) else lines[-1].rstrip()
    is_playbook = code.startswith("playbook-") or (
        bool(re.search(r"^[\s-]*services:", text, re.MULTILINE))
        and not _VARIABLES.intersection(file.parts)
    )
    return _of_settings(lines, is_playbook=is_playbook)


@dataclass(frozen=True)
class _Setting:
    """A line of YAML or INI, as far as it matters for the lines below it."""

    indent: int
    name: str  # the last one in it, to which belongs what stands below; "" without any
    is_open: bool  # a person gives the names below it
    is_text: bool  # what is indented deeper goes on with its value
    is_secret: bool


def _of_settings(lines: Sequence[str], *, is_playbook: bool) -> str:
    """Return what may be shown of the last line."""
    above: list[_Setting] = []
    shown = ""
    for line in lines:
        shown, body = "", line.lstrip(_INDENT)
        if not body or body.startswith("#"):
            continue
        if body.startswith(_STRANGE):
            return ""
        while above and above[-1].indent >= len(line) - len(body):
            above.pop()
        parent = above[-1].name if above else None
        above.append(_setting(line, parent))
        is_open = any(each.is_open for each in above[:-1])
        is_text = any(each.is_text for each in above[:-1])
        is_secret = any(each.is_secret for each in above)
        if not is_text and not is_secret:
            known = INVENTORY | PLAYBOOK if is_playbook and not is_open else INVENTORY
            shown = _quoted(line, parent, known)
        is_public = is_playbook and not (is_open or above[-1].is_open) and shown == line.rstrip()
        if not is_public and not _is_closed(line):
            return ""
    return shown


def _setting(line: str, parent: str | None) -> _Setting:
    found = list(_NAME.finditer(line, 0, _end(line)))
    names = [each["name"] for each in found]
    value = line[found[-1].end() if found else 0 : _end(line)]
    return _Setting(
        indent=len(line) - len(line.lstrip(_INDENT)),
        name=names[-1] if names else "",
        is_open=any(map(_is_open, names, [parent, *names])),
        is_text=not _BRACKETS.fullmatch(value),
        is_secret=bool(_SOUNDS_SECRET.search(line)),
    )


def _is_open(name: str, parent: str | None) -> bool:
    """Tell whether names below this one mean what a person wants; those of services are free."""
    return name in OPEN or (name not in PLAYBOOK and parent != "services")


def _quoted(line: str, parent: str | None, known: frozenset[str]) -> str:
    """Return a line up to the first value that is not known to be public.

    Args:
        line: one that does not sound of secrets.
        parent: the name that it stands below; None at the top.
        known: the names whose values are public.
    """
    bare = _EXPRESSION.sub(lambda found: " " * len(found[0]), line[: _end(line)])
    names = list(_NAME.finditer(bare))
    ends = [*(each.start() for each in names), len(bare)]
    if not _is_public_lead(bare[: ends[0]], names, parent, known):
        return ""
    for name, end in zip(names, ends[1:], strict=True):
        is_last, value = end == len(bare), bare[name.end() : end]
        if name["name"] not in known and not (_EMPTY if is_last else _OPENING).fullmatch(value):
            return line[: name.end()]
        known = INVENTORY if _is_open(name["name"], parent) else known
        parent = name["name"]
    return line[: len(bare)].rstrip()


def _is_public_lead(
    lead: str, names: Sequence[re.Match[str]], parent: str | None, known: frozenset[str]
) -> bool:
    """Tell whether what stands before the first name of a line may be shown."""
    if (_BRACKETS if names else _EMPTY).fullmatch(lead):
        return True
    if parent is None:  # of an inventory in INI: the host of these variables, or a group
        is_host = names and names[0][0].endswith("=") and _HOST.fullmatch(lead)
        return bool(is_host or (not names and _SECTION.fullmatch(lead)))
    return parent in known


def _end(line: str) -> int:
    """Return where the comment of a line begins, or the line's end."""
    found = _COMMENT.search(line)
    return found.start() if found else len(line)


def _is_closed(line: str) -> bool:
    """Tell whether no bracket and no quote of a line is closed further below."""
    opened, closed = (sum(map(line.count, kind)) for kind in ("[{", "]}"))
    return opened == closed and not any(line.count(quote) % 2 for quote in "\"'")
