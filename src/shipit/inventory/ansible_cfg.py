"""Read ansible.cfg: the settings for the inventory and for connecting to hosts.

The search is Ansible's (ANSIBLE_CONFIG, ./ansible.cfg, ~/.ansible.cfg, /etc/ansible), and an
environment variable overrides the file. A setting that would change a deploy and is not followed
is noted. docs/inventory.md has the list.
"""

from __future__ import annotations

import configparser
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SYSTEM = Path("/etc/ansible/ansible.cfg")
_YES = {"1", "true", "yes", "on", "y", "t"}
# (section, key), the environment variable, the variable of a host whose default it is
_VARIABLES = (
    ("defaults", "remote_user", "ANSIBLE_REMOTE_USER", "ansible_user"),
    ("defaults", "remote_port", "ANSIBLE_REMOTE_PORT", "ansible_port"),
    ("defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE", "ansible_private_key_file"),
    ("defaults", "timeout", "ANSIBLE_TIMEOUT", "ansible_timeout"),
    ("defaults", "interpreter_python", "ANSIBLE_PYTHON_INTERPRETER", "ansible_python_interpreter"),
    ("ssh_connection", "ssh_args", "ANSIBLE_SSH_ARGS", "ansible_ssh_args"),
    ("ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS", "ansible_ssh_common_args"),
    ("ssh_connection", "ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS", "ansible_ssh_extra_args"),
    ("privilege_escalation", "become", "ANSIBLE_BECOME", "ansible_become"),
    ("privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD", "ansible_become_method"),
    ("privilege_escalation", "become_user", "ANSIBLE_BECOME_USER", "ansible_become_user"),
)
# Settings that would change a deploy, and the values that match what shipit does anyway.
_NOT_FOLLOWED: tuple[tuple[str, str, str, set[str]], ...] = (
    ("defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING", _YES),
    ("ssh_connection", "host_key_checking", "ANSIBLE_SSH_HOST_KEY_CHECKING", _YES),
    ("defaults", "transport", "ANSIBLE_TRANSPORT", {"ssh", "smart"}),
    ("defaults", "precedence", "ANSIBLE_PRECEDENCE", set()),
    ("defaults", "jinja2_extensions", "ANSIBLE_JINJA2_EXTENSIONS", set()),
    ("defaults", "vars_plugins", "ANSIBLE_VARS_PLUGINS", set()),
    ("defaults", "vault_encrypt_identity", "ANSIBLE_VAULT_ENCRYPT_IDENTITY", set()),
    ("inventory", "enable_plugins", "ANSIBLE_INVENTORY_ENABLED", set()),
    ("inventory", "ignore_extensions", "ANSIBLE_INVENTORY_IGNORE", set()),
    ("inventory", "ignore_patterns", "ANSIBLE_INVENTORY_IGNORE_REGEX", set()),
    ("ssh_connection", "ssh_executable", "ANSIBLE_SSH_EXECUTABLE", {"ssh"}),
    ("privilege_escalation", "become_exe", "ANSIBLE_BECOME_EXE", {"sudo"}),
    ("privilege_escalation", "become_flags", "ANSIBLE_BECOME_FLAGS", {"-H -S -n"}),
)


@dataclass(frozen=True)
class AnsibleConfig:
    """The settings of ansible.cfg and of Ansible's environment variables.

    Attributes:
        inventory: the sources to read where none is named.
        variables: defaults of hosts' connection variables.
        merges: hash_behaviour = merge: mappings of several sources are merged, not replaced.
        vaults: vault password files, each with its vault id ("" for any).
        notes: one sentence for each setting that is not followed.
    """

    inventory: tuple[Path, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    merges: bool = False
    vaults: tuple[tuple[str, Path], ...] = ()
    notes: tuple[str, ...] = ()

    def with_passwords_at_hand(self) -> AnsibleConfig:
        """Return the settings without vault passwords that are not there or that a program has."""
        at_hand = [
            (label, path)
            for label, path in self.vaults
            if path.is_file() and not os.access(path, os.X_OK)
        ]
        return replace(self, vaults=tuple(at_hand))


def load(environment: Mapping[str, str], here: Path, home: Path) -> AnsibleConfig:
    """Find and read ansible.cfg.

    Raises:
        InputError: ansible-config.
    """
    file = _find(environment, here, home)
    settings = _Settings(_parsed(file), environment, file)
    sources = settings.words("defaults", "inventory", "ANSIBLE_INVENTORY")
    behaviour = settings.text("defaults", "hash_behaviour", "ANSIBLE_HASH_BEHAVIOUR")
    return AnsibleConfig(
        inventory=tuple(settings.path(source, "ANSIBLE_INVENTORY") for source in sources),
        variables={
            name: value
            for section, key, variable, name in _VARIABLES
            if (value := settings.text(section, key, variable))
        },
        merges=behaviour.lower() == "merge",
        vaults=tuple(_vaults(settings)),
        notes=tuple(_notes(settings)),
    )


def _find(environment: Mapping[str, str], here: Path, home: Path) -> Path | None:
    named = environment.get("ANSIBLE_CONFIG")
    if named:
        path = here / Path(named).expanduser()
        return path / "ansible.cfg" if path.is_dir() else path
    candidates = [home / ".ansible.cfg", _SYSTEM]
    if not here.stat().st_mode & stat.S_IWOTH:  # as in Ansible: anybody could have written it
        candidates.insert(0, here / "ansible.cfg")
    return next((path for path in candidates if path.is_file()), None)


def _parsed(file: Path | None) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    if file is None:
        return parser
    try:
        parser.read_string(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        what = f"ansible.cfg cannot be read: {error}".splitlines()[0]
        hint = "correct it, or set ANSIBLE_CONFIG to another file"
        raise InputError(Mistake("ansible-config", what, Place(str(file)), hint)) from error
    return parser


@dataclass(frozen=True)
class _Settings:
    parser: configparser.ConfigParser
    environment: Mapping[str, str]
    file: Path | None

    def text(self, section: str, key: str, variable: str) -> str:
        """Return a setting, or "" if it is not set; the environment overrides the file."""
        if variable in self.environment:
            return self.environment[variable].strip()
        value = self.parser.get(section, key, fallback="").strip()
        is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        return value[1:-1] if is_quoted else value

    def words(self, section: str, key: str, variable: str) -> list[str]:
        """Return the items of a comma-separated list."""
        parts = self.text(section, key, variable).split(",")
        return [part.strip() for part in parts if part.strip()]

    def path(self, text: str, variable: str) -> Path:
        """Return a path; relative to the file, or to the current folder for a variable."""
        in_file = variable not in self.environment and self.file is not None
        base = self.file.parent if in_file and self.file else Path()
        expanded = os.path.expandvars(text.replace("{{CWD}}", str(Path.cwd())))
        return base / Path(expanded).expanduser()


def _vaults(settings: _Settings) -> Iterator[tuple[str, Path]]:
    variable = "ANSIBLE_VAULT_IDENTITY_LIST"
    for word in settings.words("defaults", "vault_identity_list", variable):
        label, at, file = word.rpartition("@")
        yield (label if at else ""), settings.path(file, variable)
    variable = "ANSIBLE_VAULT_PASSWORD_FILE"
    for word in settings.words("defaults", "vault_password_file", variable):
        yield "", settings.path(word, variable)


def _notes(settings: _Settings) -> Iterator[str]:
    for section, key, variable, alike in _NOT_FOLLOWED:
        value = settings.text(section, key, variable)
        if value and value.lower() not in alike:
            where = variable if variable in settings.environment else f"{settings.file}: {key}"
            yield f"{where} = {value} is not followed; see docs/inventory.md"
