"""How to reach a host: Ansible's connection variables as one frozen value.

All mistakes in a host's variables are reported together, each with the variable. A field that is
None or empty here is decided by ~/.ssh/config when the host is connected. Connects to nothing.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from shipit.errors import ErrorCollector, Mistake, Unreachable
from shipit.secrets import Secret
from shipit.transport import ssh_arguments
from shipit.transport.ssh_arguments import SshArguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shipit.inventory.model import Host

CONNECT_TIMEOUT = 10.0  # seconds
_SSH_NAMES = {"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"}
_LOCAL_NAMES = {"local", "ansible.builtin.local"}
_YES, _NO = {"1", "true", "yes", "on", "y", "t"}, {"0", "false", "no", "off", "n", "f", ""}
_AUTO_PYTHON = re.compile(r"auto(_legacy)?(_silent)?")
_SUDO_NAMES = {"sudo", "ansible.builtin.sudo"}
# The start of the agent looks it up the same way.
_ENV_PYTHON = re.compile(r"/usr/bin/env\s+(python[0-9.]*)")
# As in OpenSSH: they may be used in a ProxyCommand, or be read as an option of a program.
_UNSAFE_ADDRESS = re.compile(r"""^-|[\x00-\x20\x7f'`"$\\;&<>|(){},]""")
_UNSAFE_USER = re.compile(r"""^-|[\x00-\x1f\x7f'`";&<>|(){}]|\s-|\\$""")
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?P<address>[^@]*?)(?::\d+)?")
_MOST_PORTS = 65535


@dataclass(frozen=True)
class Endpoint:
    """How one host is reached, and as which user.

    Attributes:
        name: the host's name in the inventory and in all messages.
        port: None for that of ~/.ssh/config, or 22.
        user: None for that of ~/.ssh/config, or the user who runs shipit.
        key_files: private keys to try first.
        proxy_jump: hops as for ssh -J, `user@host:port,...`; "none" overrides ~/.ssh/config.
        proxy_command: as for ssh -o ProxyCommand=.
        host_key: the only key to accept, `type base64`; None for those of known_hosts.
        become: become root by sudo unless already root.
        python: the path of the agent's interpreter; None to find one.
        connect_timeout: seconds, for each of connecting, greeting and authentication.
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

    def unreachable(self, code: str, what: str, hint: str = "", evidence: str = "") -> Unreachable:
        """Return the error for a session with this host that could not be opened."""
        return Unreachable(code, what, host=self.name, step="connect", hint=hint, evidence=evidence)


def endpoint(
    host: Host,
    *,
    become_password: Secret | None = None,
    render: Callable[[object], object] = lambda value: value,
) -> Endpoint:
    """Read a host's connection variables; `become_password` is for hosts that have none.

    Raises:
        InputError: with all mistakes (host-variable) of this host.
    """
    read = _Variables(host.name, {**host.defaults, **host.vars}, render)
    before, after = read.ssh_arguments()
    jumps = (before if before.jumps else after).options
    own_password = read.secret(
        "ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"
    )
    read.only("ansible_become_user", {"root"}, "the agent runs as root")
    read.only("ansible_become_method", _SUDO_NAMES, "shipit knows sudo")
    key = read.optional("ansible_private_key_file", "ansible_ssh_private_key_file")
    keys = [str(Path(key).expanduser())] if key else []
    found = Endpoint(
        name=host.name,
        address=read.address("ansible_host", "ansible_ssh_host"),
        port=read.port(before, after, "ansible_port", "ansible_ssh_port"),
        user=read.user(before, after, "ansible_user", "ansible_ssh_user"),
        password=read.secret("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"),
        key_files=(*before.keys, *keys, *after.keys),
        proxy_jump=read.jump(jumps.get("proxyjump")),
        proxy_command=jumps.get("proxycommand"),
        host_key=read.host_key("shipit_host_key"),
        connection=read.connection("ansible_connection"),
        become=read.flag("ansible_become", "ansible_sudo"),
        become_password=own_password or become_password,
        python=read.interpreter("ansible_python_interpreter"),
        connect_timeout=read.seconds("ansible_timeout", "ansible_ssh_timeout") or CONNECT_TIMEOUT,
    )
    return read.result(found)


class _Variables(ErrorCollector):
    """A host's variables; of several names the last one that is set counts, as in Ansible."""

    def __init__(
        self, host: str, values: Mapping[str, object], render: Callable[[object], object]
    ) -> None:
        super().__init__()
        self.host, self.values, self.render = host, values, render

    def _last(self, names: tuple[str, ...]) -> tuple[str, object]:
        for name in reversed(names):
            if self.values.get(name) is not None:
                value = self.render(self.values[name])
                # From a vault; it may be an address.
                return name, value.reveal() if isinstance(value, Secret) else value
        return names[0], None

    def _wrong(self, name: str, value: object, expected: str, hint: str = "") -> None:
        what = f"host {self.host}: {name} is {value!r}; expected {expected}"
        self.mistakes.append(Mistake("host-variable", what, hint=hint))

    def text(self, *names: str) -> str | None:
        name, value = self._last(names)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # a user name or host of digits only, as YAML reads it
        if isinstance(value, str) and value.strip():
            return value.strip()
        if value is not None:
            self._wrong(name, value, "a text")
        return None

    def optional(self, *names: str) -> str | None:
        """Return a text; None if it is empty."""
        name, value = self._last(names)
        return None if value == "" else self.text(name)

    def address(self, *names: str) -> str:
        name, _ = self._last(names)
        found = self.text(*names) or self.host
        if not is_safe_address(found):
            self._unsafe(name, found, "the address of a host")
        return found

    def user(self, before: SshArguments, after: SshArguments, *names: str) -> str | None:
        name, _ = self._last(names)
        found = before.options.get("user") or self.optional(*names) or after.options.get("user")
        if found is not None and not is_safe_user(found):
            self._unsafe(name, found, "the name of a user")
        return found

    def jump(self, found: str | None) -> str | None:
        """Return the hops; reject what ssh would read as an option."""
        for hop in (found or "").split(",") if found else ():
            parts = _HOP.fullmatch(hop.strip())
            address, user = (parts["address"], parts["user"]) if parts else (hop, None)
            if not is_safe_address(address.strip("[]")) or not is_safe_user(user or "root"):
                self._unsafe("ProxyJump", hop, "a jump host")
        return found

    def _unsafe(self, name: str, value: str, expected: str) -> None:
        hint = "no leading -, and no character that a shell would act on"
        self._wrong(name, value, expected, hint)

    def secret(self, *names: str) -> Secret | None:
        name, value = self._last(names)
        if value is None:
            return None
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return Secret(str(value))
        kind = type(value).__name__  # not the value: it is secret
        what = f"host {self.host}: {name} is a {kind}; expected a text"
        self.mistakes.append(Mistake("host-variable", what))
        return None

    def port(self, before: SshArguments, after: SshArguments, *names: str) -> int | None:
        name, value = self._last(names)
        value = before.options.get("port") or (
            after.options.get("port") if value is None else value
        )
        if value is None:
            return None
        number = int(value) if isinstance(value, (int, str)) and str(value).isdecimal() else 0
        if not 0 < number <= _MOST_PORTS:
            self._wrong(name, value, f"a port, 1 to {_MOST_PORTS}")
            return None
        return number

    def seconds(self, *names: str) -> float | None:
        name, value = self._last(names)
        try:
            number = float(str(value)) if value is not None else None
        except ValueError:
            number = 0.0
        if number is not None and not 0 < number < float("inf"):
            self._wrong(name, value, "seconds, more than 0")
            return None
        return number

    def flag(self, *names: str) -> bool:
        name, value = self._last(names)
        word = str(value if value is not None else "").strip().lower()
        if word not in _YES | _NO:
            self._wrong(name, value, "yes or no")
        return word in _YES

    def only(self, name: str, words: set[str], reason: str) -> None:
        _, value = self._last((name,))
        if value not in {None, "", *words}:
            self._wrong(name, value, f"{min(words, key=len)!r} or nothing: {reason}")

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
        if found := _ENV_PYTHON.fullmatch(word):
            return found[1]
        if not re.fullmatch(r"/[^\s]+|[\w.+-]+", word):
            self._wrong(name, word, "one path without spaces, like /usr/bin/python3")
            return None
        return word

    def host_key(self, name: str) -> str | None:
        word = self.text(name)
        if word is None:
            return None
        kind, text = (*word.split(), "")[:2]
        try:
            blob = base64.b64decode(text, validate=True)
        except ValueError:
            blob = b""
        if not blob.startswith(len(kind).to_bytes(4, "big") + kind.encode()):
            hint = "take the line of /etc/ssh/ssh_host_ed25519_key.pub on the host"
            self._wrong(name, word, "a public key, `ssh-ed25519 AAAA...`", hint)
            return None
        return f"{kind} {text}"

    def ssh_arguments(self) -> tuple[SshArguments, SshArguments]:
        """Return the ssh arguments before and after Ansible's own for port, key and user."""
        names = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
        before, common, extra = (self._parsed(name) for name in names)
        taken = ssh_arguments.JUMPS if common.jumps else set()
        rest = {k: v for k, v in extra.options.items() if k not in taken}
        return before, SshArguments({**rest, **common.options}, (*common.keys, *extra.keys))

    def _parsed(self, name: str) -> SshArguments:
        text = self.optional(name) if self.values.get(name) is not None else None
        try:
            found = ssh_arguments.parse(text or "")
        except ValueError as error:
            self._wrong(name, text, f"words as in a shell ({error})")
            return SshArguments()
        for option, hint in found.refused:
            what = (
                f"host {self.host}: {name} has {option!r}; expected -J, -p, -l, -i, or -o with "
                "ProxyJump, ProxyCommand, Port, User, IdentityFile"
            )
            self.mistakes.append(Mistake("host-variable", what, hint=hint))
        return found


def is_safe_address(text: str) -> bool:
    """Whether a program or a shell can read it as nothing but a host's name or address."""
    return bool(text) and not _UNSAFE_ADDRESS.search(text)


def is_safe_user(text: str) -> bool:
    """Whether a program or a shell can read it as nothing but a user's name."""
    return bool(text) and not _UNSAFE_USER.search(text)
