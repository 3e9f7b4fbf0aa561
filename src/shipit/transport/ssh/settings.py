"""The settings of ssh_config for one host: known_hosts files, keys, algorithms.

Pure except for the file of revoked keys. `config` reads the text, paramiko selects the options.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shipit.transport.ssh import host_keys
from shipit.transport.ssh.proxy_command import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.errors import Place

SSH_PORT = 22


@dataclass(frozen=True)
class Settings:
    """The options of ssh_config for one host.

    Attributes:
        values: by option in lower case.
        tokens: the values of %h and the like.
    """

    values: Mapping[str, object]
    tokens: Mapping[str, str]

    def known_as(self, host: str, port: int) -> tuple[str, int]:
        """Return name and port for known_hosts; a HostKeyAlias has no port there."""
        alias = self.text("hostkeyalias")
        return (alias, SSH_PORT) if alias else (host, port)

    def known_hosts(self, ours: list[str], system: list[str]) -> tuple[Path, ...]:
        """Return the known_hosts files to read, given the defaults."""
        files = [
            *self._words("userknownhostsfile", ours),
            *self._words("globalknownhostsfile", system),
        ]
        return tuple(map(self._path, files))

    def revoked(self) -> dict[bytes, Place]:
        """Read RevokedHostKeys.

        Raises:
            InputError: as in host_keys.read_revoked.
        """
        file = self._file("revokedhostkeys")
        return host_keys.read_revoked(file) if file else {}

    def certificates(self) -> tuple[Path, ...]:
        file = self._file("certificatefile")
        return (file,) if file else ()

    def identities(self) -> tuple[Path, ...]:
        files = self.values.get("identityfile")
        return tuple(map(self._path, files)) if isinstance(files, list) else ()

    def rsa_bits(self) -> int:
        """Return RequiredRSASize; 0 where it is not set."""
        text = self.text("requiredrsasize") or "0"
        return int(text) if text.isdecimal() else 0

    def has_value(self, option: str, word: str) -> bool:
        """Whether an option has this value."""
        return (self.text(option) or "").lower() == word

    def text(self, option: str) -> str | None:
        value = self.values.get(option)
        return str(value) if value is not None else None

    def _file(self, option: str) -> Path | None:
        text = self.text(option)
        return self._path(text) if text and text.lower() != "none" else None

    def _words(self, option: str, default: list[str]) -> list[str]:
        text = self.text(option)
        return default if text is None else shlex.split(text)

    def _path(self, text: str) -> Path:
        return Path(expand(text.strip('"'), dict(self.tokens))).expanduser()
