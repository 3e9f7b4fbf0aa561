"""Know how to reach a host: Ansible's connection variables as one frozen value.

Promises that every mistake in a host's variables is found at once and named with the variable. What
~/.ssh/config says is left to the transport: a field that is None or empty here is decided there.
It connects to nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shipit.errors import InputError, Mistake
from shipit.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shipit.inventory import Host

CONNECT_TIMEOUT = 10.0  # seconds
_SSH_NAMES = {"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"}
_LOCAL_NAMES = {"local", "ansible.builtin.local"}
_YES, _NO = {"1", "true", "yes", "on", "y", "t"}, {"0", "false", "no", "off", "n", "f", ""}
_AUTO_PYTHON = re.compile(r"auto(_legacy)?(_silent)?")
# Options that say how ssh shares or keeps its connections; we hold one a host, kept alive, anyway.
_WITHOUT_MEANING = {"controlmaster", "controlpersist", "controlpath"}
_MOST_PORTS = 65535


@dataclass(frozen=True)
class Endpoint:
    """How one host is reached, and who we are there.

    Attributes:
        name: the inventory's name of the host, used in everything that is said.
        port: None is what ~/.ssh/config says, or 22.
        user: None is what ~/.ssh/config says, or the user who runs shipit.
        key_files: private keys to try first.
        proxy_jump: hops as of ssh -J, `user@host:port,...`; "none" overrides ~/.ssh/config.
        proxy_command: as of ssh -o ProxyCommand=.
        host_key: the one key to accept, `type base64`; None is what known_hosts says.
        become: run as root by sudo unless already root.
        python: the path of the interpreter for the agent; None finds one.
        connect_timeout: seconds, for each of connecting, greeting, authentication.
    """

    name: str
    address: str
    port: int | None = None
    user: str | None = None
    password: Secret | None = None
    key_files: tuple[str, ...] = ()
    proxy_jump: str | None = None
    proxy_command: str | None = None
    host_key: str | None = None
    connection: Literal["ssh", "local"] = "ssh"
    become: bool = False
    become_password: Secret | None = None
    python: str | None = None
    connect_timeout: float = CONNECT_TIMEOUT


def endpoint(
    host: Host,
    *,
    become_password: Secret | None = None,
    render: Callable[[object], object] = lambda value: value,
) -> Endpoint:
    """Read a host's connection variables.

    Args:
        host: the inventory's.
        become_password: for hosts whose variables give none.
        render: makes a value of a template, for variables that contain {{ }}.

    Raises:
        InputError: with all mistakes (host-variable) of this host.
    """
    read = _Variables(host.name, host.vars, render)
    jump, command = read.proxies()
    own_password = read.secret(
        "ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"
    )
    read.only("ansible_become_user", "root", "the agent runs as root")
    read.only("ansible_become_method", "sudo", "shipit knows sudo")
    key = read.path("ansible_ssh_private_key_file", "ansible_private_key_file")
    result = Endpoint(
        name=host.name,
        address=read.text("ansible_host", "ansible_ssh_host") or host.name,
        port=read.port("ansible_port", "ansible_ssh_port"),
        user=read.text("ansible_user", "ansible_ssh_user"),
        password=read.secret("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        key_files=(key,) if key else (),
        proxy_jump=jump,
        proxy_command=command,
        host_key=read.host_key("shipit_host_key"),
        connection=read.connection("ansible_connection"),
        become=read.flag("ansible_become", "ansible_sudo"),
        become_password=own_password or become_password,
        python=read.interpreter("ansible_python_interpreter"),
        connect_timeout=read.seconds("ansible_ssh_timeout", "ansible_timeout") or CONNECT_TIMEOUT,
    )
    if read.mistakes:
        raise InputError(*read.mistakes)
    return result


@dataclass
class _Variables:
    """A host's variables, each read by its first name that is there; mistakes are collected."""

    host: str
    values: Mapping[str, object] = field(repr=False)
    render: Callable[[object], object]
    mistakes: list[Mistake] = field(default_factory=list)

    def _first(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in names:
            if self.values.get(name) is not None:
                return name, self.render(self.values[name])
        return names[0], None

    def _wrong(self, name: str, value: object, expected: str, hint: str = "") -> None:
        what = f"host {self.host}: {name} is {value!r}; expected {expected}"
        self.mistakes.append(Mistake("host-variable", what, hint=hint))

    def text(self, *names: str) -> str | None:
        name, value = self._first(names)
        if value is None or (isinstance(value, str) and value.strip()):
            return value.strip() if isinstance(value, str) else None
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)  # a user name or host of digits only, as YAML reads it
        self._wrong(name, value, "a text")
        return None

    def path(self, *names: str) -> str | None:
        text = self.text(*names)
        return str(Path(text).expanduser()) if text else None

    def secret(self, *names: str) -> Secret | None:
        name, value = self._first(names)
        if value is None or isinstance(value, Secret):
            return value
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return Secret(str(value))
        kind = type(value).__name__  # not the value: it is secret
        what = f"host {self.host}: {name} is a {kind}; expected a text"
        self.mistakes.append(Mistake("host-variable", what))
        return None

    def port(self, *names: str) -> int | None:
        name, value = self._first(names)
        if value is None:
            return None
        number = int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else 0
        if not 0 < number <= _MOST_PORTS:
            self._wrong(name, value, f"a port, 1 to {_MOST_PORTS}")
            return None
        return number

    def seconds(self, *names: str) -> float | None:
        name, value = self._first(names)
        try:
            number = float(str(value)) if value is not None else None
        except ValueError:
            number = 0.0
        if number is not None and not 0 < number < float("inf"):
            self._wrong(name, value, "seconds, more than 0")
            return None
        return number

    def flag(self, *names: str) -> bool:
        name, value = self._first(names)
        word = str(value if value is not None else "").strip().lower()
        if word not in _YES | _NO:
            self._wrong(name, value, "yes or no")
        return word in _YES

    def only(self, name: str, word: str, reason: str) -> None:
        _, value = self._first((name,))
        if value is not None and value != word:
            self._wrong(name, value, f"{word!r} or nothing: {reason}")

    def connection(self, name: str) -> Literal["ssh", "local"]:
        word = self.text(name)
        if word in _LOCAL_NAMES:
            return "local"
        if word is not None and word not in _SSH_NAMES:
            self._wrong(name, word, "ssh or local")
        return "ssh"

    def interpreter(self, name: str) -> str | None:
        word = self.text(name)
        if word is None or _AUTO_PYTHON.fullmatch(word):
            return None
        if not re.fullmatch(r"/[^\s]+|[\w.+-]+", word):
            self._wrong(name, word, "one path without spaces, like /usr/bin/python3")
            return None
        return word

    def host_key(self, name: str) -> str | None:
        word = self.text(name)
        if word is None:
            return None
        parts = word.split()[:2]
        if len(parts) != 2 or not is_public_key(*parts):  # noqa: PLR2004 - type and key
            hint = "take the line of /etc/ssh/ssh_host_ed25519_key.pub on the host"
            self._wrong(name, word, "a public key, `ssh-ed25519 AAAA...`", hint)
            return None
        return " ".join(parts)

    def proxies(self) -> tuple[str | None, str | None]:
        """Return ProxyJump and ProxyCommand of the ssh arguments; the last one given wins."""
        found: dict[str, str] = {}
        for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
            text = self.text(name) if self.values.get(name) not in (None, "") else None
            for option, value in self._options(name, text or ""):
                if option in ("proxyjump", "proxycommand"):
                    found[option] = value
                elif option not in _WITHOUT_MEANING:
                    self._unknown_option(name, option)
        return found.get("proxyjump"), found.get("proxycommand")

    def _options(self, name: str, text: str) -> Iterator[tuple[str, str]]:
        try:
            words = iter(shlex.split(text))
        except ValueError as error:
            self._wrong(name, text, f"words as of a shell ({error})")
            return
        for word in words:
            letter, rest = word[:2], word[2:]
            if letter not in ("-J", "-o"):
                yield word, ""
                continue
            value = rest or next(words, "")
            if letter == "-J":
                yield "proxyjump", value
            else:
                key, _, argument = re.sub(r"\s*=\s*|\s+", "=", value, count=1).partition("=")
                yield key.lower(), argument

    def _unknown_option(self, name: str, option: str) -> None:
        hint = "write it to ~/.ssh/config for this host, which shipit reads"
        if option == "stricthostkeychecking":
            hint = "host keys are always checked: set shipit_host_key to the host's public key"
        what = (
            f"host {self.host}: {name} has the option {option!r}; "
            "expected -J, -o ProxyJump= or -o ProxyCommand="
        )
        self.mistakes.append(Mistake("host-variable", what, hint=hint))


def is_public_key(kind: str, text: str) -> bool:
    """Whether `text` is a public key of this type, in base64 as of OpenSSH."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return blob.startswith(len(kind).to_bytes(4, "big") + kind.encode())
