"""Start the agent on a host: the command line, the first bytes, and the errors of a failed start.

Pure: it makes and parses texts; `channel` sends them. The command is constant except for quoted
words and contains no secret: sudo's password is the first line of stdin.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from shipit.agent.protocol.manifest import PYTHONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.errors import Unreachable
    from shipit.transport.agent_zip import AgentZip
    from shipit.transport.endpoint import Endpoint

AGENTS = "/var/lib/shipit/agent"
READY = b"shipit-ready"
BOOT = b'{"boot": '  # how every line of agent/boot.py begins
NOISE_LIMIT = 256 * 1024  # bytes that a login shell may print before the agent does
NOISE_KEPT = 4000  # bytes of them, for the error
# Versions first: where `python3` is too old (RHEL 8), a newer one is often installed beside it.
_VERSIONS = (f"python3.{minor}" for minor in range(15, 7, -1))
# Where the host has none any more: those that came with releases. The shell expands these names;
# root alone can write there. One without its record is not complete, or was changed: never run.
_BROUGHT = (f"{PYTHONS}/*/bin/python3.{digits}" for digits in ("[0-9]", "[0-9][0-9]"))
_NAMES = " ".join([*_VERSIONS, "python3", "/usr/libexec/platform-python", *_BROUGHT])
# No single quote, newline, backslash or exclamation mark in either text: it passes through the
# user's login shell, which may be fish or csh. exec leaves no shell behind. Root runs a Python from
# the login's PATH only if the system has none that is new enough. One outside of /usr/bin is run
# first to check it (8 ms): it may be a pyenv shim for a version that is not installed.
_SCRIPT = (
    "LC_ALL=C;export LC_ALL;PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH;p=;"
    'for d in /usr/bin/ "";do for n in $2;do q=$(command -v "$d$n")||continue;'
    f'case $q in {PYTHONS}/*)[ -e "${{q%/bin/*}}.json" ]||continue;;esac;p=$q;'
    "case $q in /usr/bin/python3.*)break 2;;esac;"
    '"$q" -I -S -c "import sys;sys.exit(sys.version_info<(3,8))"</dev/null>/dev/null 2>&1&&break 2;'
    'done;done;[ -n "$p" ]||exit 86;'
    '[ "$(id -u)" = 0 ]&&exec "$p" -I -S -c "$1";'
    "[ $3 = none ]&&exit 88;command -v sudo>/dev/null||exit 84;"
    '[ $3 = password ]&&exec sudo -S -p "" -- "$p" -I -S -c "$1";'
    'exec sudo -n -- "$p" -I -S -c "$1"'
)
_LOADER = (
    "import sys;"
    "sys.version_info>=(3,8)or sys.exit(%(old)s+sys.version.split()[0]);"
    "%(ready)s"
    "f=sys.stdin.buffer;"
    'l=next((x for x in iter(lambda:f.readline(999),b"")if x[:12]==b"shipit-boot "),b"");'
    'l or sys.exit("shipit: nothing came to run");'
    'exec(compile(f.read(int(l[12:])),"shipit-boot","exec"),{"__name__":"shipit_boot"})'
)
_TOO_OLD = "shipit: Python is too old: "


class Root(Enum):
    """How the agent becomes root; the value is the script's third argument."""

    LOGIN = "none"  # the login is root
    SUDO = "sudo"  # without a password
    PASSWORD = "password"  # noqa: S105 - the word, not one


@dataclass(frozen=True)
class Launch:
    """How the agent is started on one host."""

    root: Root
    python: str | None = None

    @classmethod
    def of(cls, endpoint: Endpoint) -> Launch:
        with_password = endpoint.become_password is not None
        sudo = Root.PASSWORD if with_password else Root.SUDO
        return cls(sudo if endpoint.become else Root.LOGIN, endpoint.python)

    @property
    def argv(self) -> tuple[str, ...]:
        """The command as argv; `command` is the same for a shell."""
        # With a password the rest is held back until the loader reports that it runs: sudo would
        # read each line as another attempt, and three of them lock an account.
        ready = 'print("shipit-ready",flush=True);' if self.root is Root.PASSWORD else ""
        loader = _LOADER % {"old": f'"{_TOO_OLD}"', "ready": ready}
        names = self.python or _NAMES
        return ("/bin/sh", "-c", _SCRIPT, "sh", loader, names, self.root.value)

    @property
    def command(self) -> str:
        return "exec " + shlex.join(self.argv)


def greeting(agent: AgentZip, role: str) -> bytes:
    """Return what the loader and agent/boot.py read first."""
    request = {"sha256": agent.sha256, "role": role, "directory": AGENTS}
    return b"shipit-boot %d\n%b%b\n" % (len(agent.boot), agent.boot, json.dumps(request).encode())


@dataclass(frozen=True)
class StartFailure:
    """The traces of a failed start: enough to explain it."""

    status: int | None  # of the command; None while it runs or if it is unknown
    stdout: bytes
    stderr: str


_SUDO_ERRORS = (  # sudo's message in the C locale -> code
    ("a password is required", "sudo-password-needed"),
    ("Sorry, try again", "sudo-password-wrong"),
    ("incorrect password attempt", "sudo-password-wrong"),
    ("no password was provided", "sudo-password-wrong"),
    ("is not in the sudoers file", "sudo-denied"),
    ("is not allowed to", "sudo-denied"),
    ("may not run sudo", "sudo-denied"),
    ("must have a tty", "sudo-needs-tty"),
)
_GRANT = "allow it, in a file of /etc/sudoers.d: {user} ALL=(root) NOPASSWD: ALL"
_EXPLANATIONS = {  # code -> what, hint
    "sudo-password-needed": (
        "sudo asks {user} for a password, or does not know this user",
        "give it with -K or ansible_become_password, or " + _GRANT,
    ),
    "sudo-password-wrong": (
        "sudo refused the password of {user}",
        "check -K or ansible_become_password",
    ),
    "sudo-denied": ("sudo does not let {user} become root", _GRANT),
    "sudo-needs-tty": (
        "sudo wants a terminal, and there is none",
        "add to /etc/sudoers.d: Defaults:{user} !requiretty",
    ),
    "sudo-missing": (
        "there is no sudo on the host, and ansible_become is set",
        "install it (apt-get install sudo), or log in as root: ansible_user: root",
    ),
    "not-root": (
        "logged in as {user}, who is not root",
        "set ansible_become: true to use sudo, or ansible_user: root",
    ),
    "python-missing": (
        "there is no {python} on the host; expected Python {oldest} or later",
        "install it (apt-get install python3), or set ansible_python_interpreter",
    ),
    "python-too-old": (
        "{python} on the host is Python {found}; expected {oldest} or later",
        "install a newer one beside it, or set ansible_python_interpreter to its path",
    ),
    "login-shell-noise": (
        "the login shell of {user} prints so much that the agent's answer was not found",
        "make its start-up files silent without a terminal; its output is below",
    ),
    "agent-not-started": (
        "the agent did not start{status}",
        "see the host's output; does a login work? try: ssh {address} true",
    ),
}
_INSTALL_HINTS = {
    "28": "make room: df -h /var/lib; df -i /var/lib",
    "30": "/var is read-only: look at dmesg and mount",
}
_STATUSES: Mapping[int | None, str] = {84: "sudo-missing", 86: "python-missing", 88: "not-root"}


def refused_password(stderr: str) -> bool:
    """Whether sudo has rejected a password and waits for another."""
    return "Sorry, try again" in stderr


def diagnose(endpoint: Endpoint, failure: StartFailure) -> Unreachable:
    """Return the error that explains why the agent did not start."""
    code = _code(failure)
    what, hint = _EXPLANATIONS[code]
    words = {
        "user": endpoint.user or "the login user",
        "python": endpoint.python or "python3",
        "address": endpoint.address,
        "oldest": "3.8",
        "found": failure.stderr.partition(_TOO_OLD)[2].partition("\n")[0] or "2",
        "status": "" if failure.status is None else f" (exit status {failure.status})",
    }
    output = "\n".join(filter(None, [failure.stdout.decode(errors="replace"), failure.stderr]))
    evidence = output[-4000:].strip()
    return endpoint.unreachable(code, what.format(**words), hint.format(**words), evidence)


def not_installed(endpoint: Endpoint, reply: Mapping[str, object]) -> Unreachable:
    """Return the error for an agent that could not be written on the host."""
    hint = _INSTALL_HINTS.get(str(reply.get("errno")), "see the reason; is the disk in order?")
    what = f"the agent could not be installed below {AGENTS}: {reply.get('what')}"
    return endpoint.unreachable("agent-not-installed", what, hint)


def _code(failure: StartFailure) -> str:
    if "sudo" in failure.stderr:
        for text, code in _SUDO_ERRORS:
            if text in failure.stderr:
                return code
    if refused_password(failure.stderr):
        return "sudo-password-wrong"
    # Python 2 and 3.3 do not know -I; later ones report their version by the loader.
    if _TOO_OLD in failure.stderr or "nknown option: -I" in failure.stderr:
        return "python-too-old"
    if failure.status in _STATUSES:
        return _STATUSES[failure.status]
    return "login-shell-noise" if len(failure.stdout) >= NOISE_KEPT else "agent-not-started"
