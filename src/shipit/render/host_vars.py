"""Ansible's magic variables for templates: other hosts, groups and the run; no facts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from shipit.render.templating import Variables

if TYPE_CHECKING:
    from shipit.inventory.model import Host


class HostVars(Mapping[str, object]):
    """The variables of every host, rendered for that host on access."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, _OfOne] = {}
        self.user = Variables({})  # of the templates that use this: what uses a secret becomes one

    def __getitem__(self, name: str) -> object:
        if name not in self._known:
            values = {**self._host.magic, **self._host.peers[name]}
            self._known[name] = _OfOne(values, self.user)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._host.peers)

    def __len__(self) -> int:
        return len(self._host.peers)


class _OfOne(Mapping[str, object]):
    """One host's variables; a text that uses a secret among them becomes a secret."""

    def __init__(self, values: Mapping[str, object], user: Variables) -> None:
        self._values, self._variables, self._user = values, Variables(values), user

    def __getitem__(self, name: str) -> object:
        if name not in self._values:
            raise KeyError(name)
        return self._user.revealed(self._variables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def scope(host: Host, values: Mapping[str, object], secrets: Collection[str] = ()) -> Variables:
    """Return the variables for a host's templates; `values` override those of the host.

    No template may see the values of `secrets`.
    """
    peers = HostVars(host)
    variables = Variables({**host.magic, "hostvars": peers, **host.vars, **values}, secrets)
    peers.user = variables
    return variables
