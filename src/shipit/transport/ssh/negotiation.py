"""Negotiate the algorithms that `algorithms` chose; remember what the host offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import paramiko

from shipit.transport.ssh import algorithms
from shipit.transport.ssh.algorithms import CIPHERS, HOST_KEYS, KEX, MACS, PUBKEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.transport.ssh.algorithms import Kind
    from shipit.transport.ssh.auth import HostKeyPolicy


class Negotiator(paramiko.Transport):
    """A transport whose algorithms are set before it starts."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - paramiko's
        super().__init__(*args, **options)
        self._offered: dict[str, list[str]] = {}
        self._library: dict[Kind, tuple[str, ...]] = {}
        self._ours: dict[Kind, tuple[str, ...]] = {}

    def choose(self, settings: Mapping[str, object], policy: HostKeyPolicy) -> None:
        """Set what to offer.

        Raises:
            InputError: ssh-config-algorithms.
        """
        security = self.get_security_options()
        self._library = {
            KEX: tuple(security.kex),
            HOST_KEYS: tuple(security.key_types),
            CIPHERS: tuple(security.ciphers),
            MACS: tuple(security.digests),
            PUBKEYS: tuple(self.preferred_pubkeys),
        }
        ours = {kind: algorithms.chosen(kind, xs, settings) for kind, xs in self._library.items()}
        if not algorithms.is_ordered(HOST_KEYS, settings):
            ours[HOST_KEYS] = policy.preferred(ours[HOST_KEYS])
        security.kex, security.key_types = ours[KEX], ours[HOST_KEYS]
        security.ciphers, security.digests = ours[CIPHERS], ours[MACS]
        refused = set(self._library[PUBKEYS]) - set(ours[PUBKEYS])
        self.disabled_algorithms = {"pubkeys": sorted(refused)}
        self._ours = ours

    def mismatch(self) -> tuple[str, str] | None:
        """Return which kind of algorithm we and the host don't share, and a hint."""
        return algorithms.mismatch(self._offered, self._ours, self._library)

    def _really_parse_kex_init(self, m: Any, ignore_first_byte: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - paramiko's
        parsed = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]
        if not ignore_first_byte:  # the host's list, not our own read back
            self._offered = {key: list(value) for key, value in parsed.items() if "list" in key}
        return parsed
