"""Decide how much of a line of an input file may be quoted in an error.

A mistake is found before the secrets of a run are known, so values cannot be masked. Instead, an
allow list says what may be shown; everything else is withheld:

- nothing of an env file, or of a file encrypted with ansible-vault;
- nothing of a line that mentions secrets (`password`, `token`, ...) or has credentials in a URL,
  nor of the lines nested below it, such as all of `secrets:`;
- of a lock, any other line;
- elsewhere the names, and the values of the names listed here: a playbook's own keys, and the
  variables for reaching a host. Below `env:`, `vars:` and unknown keys, the names are the user's
  own. `{{ name }}` is not a value;
- nothing below a value that spans several lines, or whose end is in doubt.

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
# it in the process list.
PLAYBOOK = frozenset(
    {
        *("app", "name", "hosts", "wheel", "lock", "wheelhouse", "python", "installer", "root"),
        *("user", "keep_releases", "env_file", "path", "public", "files", "src", "dest"),
        *("mode", "services", "serve", "command", "socket", "socket_mode", "socket_user"),
        *("socket_group", "timer", "unit", "handover", "instances", "notify", "restart"),
        *("stop_timeout", "stop_signal", "workdir", "smoke", "health", "checks", "http", "tcp"),
        *("unix", "status", "host", "timeout", "interval", "deadline", "min_healthy", "bake"),
        *("serial", "max_fail_percentage", "max_failures", "max_unreachable"),
        *("freeze", "when", "timezone", "reason"),
        *("confirm", "confirm_timeout"),
        *("project", "package", "extras", "groups", "include", "exclude", "bundle", "sha256"),
        *("signers", "url", "transfer", "version", "source", "archives", "hooks", "when", "run"),
        *("migrate", "pending", "reversible"),
        *("load_balancer", "haproxy", "sockets", "backend", "server", "wait", "drain", "undrain"),
        *("canary", "hold", "prometheus", "query", "max", "min", "at_most_times", "prompt"),
        *("on_timeout",),
        *("assets", "from", "keep"),
        *("watch", "for", "every", "on_failure", "at_boot"),
    }
)
# Keys of a playbook below which the user chooses the names, and whose values may be secret.
OPEN = frozenset({"env", "vars", "secrets", "headers", "json", "body", "hardening", "token"})
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
_NEVER = ("env-", "secret-", "vault-", "extra-vars", "ssh-config")  # prefixes of codes
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
_STRANGE = ("?", "|", ">", "&", "!", "*", ":")  # begin a line whose meaning is hard to determine


def quotable(text: str, place: Place, code: str) -> str:
    r"""Return the beginning of a line, up to what must not be shown; "" for none of it.

    Args:
        text: the file, with \n line ends.
        place: the place of the mistake, with its line.
        code: of the mistake; it identifies the kind of file.
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
    """What a line of YAML or INI, and those that it is nested in, mean for the lines below it."""

    indent: int = -1
    name: str | None = None  # the last one in it; "" without any, None for the file itself
    is_open: bool = False  # the user chooses the names below it
    is_text: bool = False  # deeper lines continue its value
    is_secret: bool = False


def _of_settings(lines: Sequence[str], *, is_playbook: bool) -> str:
    """Return the part of the last line that may be shown."""
    above = [_Setting()]
    shown = ""
    for line in lines:
        shown, body = "", line.lstrip(_INDENT)
        if not body or body.startswith("#"):
            continue
        if body.startswith(_STRANGE):
            return ""
        while above[-1].indent >= len(line) - len(body):
            above.pop()
        outer, written = above[-1], _COMMENT.split(line, maxsplit=1)[0]
        own = _setting(written, outer, is_secret=bool(_SOUNDS_SECRET.search(line)))
        above.append(own)
        if not outer.is_text and not own.is_secret:
            known = INVENTORY | PLAYBOOK if is_playbook and not outer.is_open else INVENTORY
            shown = _quoted(written, outer.name, known)
        is_public = is_playbook and not own.is_open and shown == line.rstrip()
        if not is_public and not _is_closed(line):
            return ""
    return shown


def _setting(written: str, outer: _Setting, *, is_secret: bool) -> _Setting:
    """Return the meaning of a line without its comment."""
    found = list(_NAME.finditer(written))
    names = [each["name"] for each in found]
    value = written[found[-1].end() if found else 0 :]
    return _Setting(
        indent=len(written) - len(written.lstrip(_INDENT)),
        name=names[-1] if names else "",
        is_open=outer.is_open or any(map(_is_open, names, [outer.name, *names])),
        is_text=outer.is_text or not _BRACKETS.fullmatch(value),
        is_secret=outer.is_secret or is_secret,
    )


def _is_open(name: str, parent: str | None) -> bool:
    """Whether the user chooses the names below this one; the names of services are free."""
    return name in OPEN or (name not in PLAYBOOK and parent != "services")


def _quoted(written: str, parent: str | None, known: frozenset[str]) -> str:
    """Return a line up to the first value that is not known to be public.

    Args:
        written: a line without its comment that does not mention secrets.
        parent: the name that it is nested below; None at the top.
        known: the names whose values are public.
    """
    bare = _EXPRESSION.sub(lambda found: " " * len(found[0]), written)
    names = list(_NAME.finditer(bare))
    ends = [*(each.start() for each in names), len(bare)]
    if not _is_public_lead(bare[: ends[0]], names, parent, known):
        return ""
    for name, end in zip(names, ends[1:], strict=True):
        is_last, value = end == len(bare), bare[name.end() : end]
        if name["name"] not in known and not (_EMPTY if is_last else _OPENING).fullmatch(value):
            return written[: name.end()]
        known = INVENTORY if _is_open(name["name"], parent) else known
        parent = name["name"]
    return written.rstrip()


def _is_public_lead(
    lead: str, names: Sequence[re.Match[str]], parent: str | None, known: frozenset[str]
) -> bool:
    """Whether the text before the first name of a line may be shown."""
    if (_BRACKETS if names else _EMPTY).fullmatch(lead):
        return True
    if parent is None:  # of an inventory in INI: the host of these variables, or a group
        is_host = names and names[0][0].endswith("=") and _HOST.fullmatch(lead)
        return bool(is_host or (not names and _SECTION.fullmatch(lead)))
    return parent in known


def _is_closed(line: str) -> bool:
    """Whether all brackets and quotes of a line are closed on it."""
    opened, closed = (sum(map(line.count, kind)) for kind in ("[{", "]}"))
    return opened == closed and not any(line.count(quote) % 2 for quote in "\"'")
