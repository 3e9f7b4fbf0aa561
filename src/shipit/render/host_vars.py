"""What templates know of other hosts and of the run: Ansible's magic variables, without facts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from shipit.render.templating import Variables

if TYPE_CHECKING:
    from shipit.inventory.model import Host


class HostVars(Mapping[str, object]):
    """The variables of every host, rendered for that host when they are asked for."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[str, _OfOne] = {}
        self._asking = Variables({})

    def bind(self, asking: Variables) -> None:
        """Say whose templates ask: what they make of a secret is one."""
        self._asking = asking

    def __getitem__(self, name: str) -> object:
        if name not in self._known:
            values = {**self._host.magic, **self._host.peers[name]}
            self._known[name] = _OfOne(values, self._asking)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._host.peers)

    def __len__(self) -> int:
        return len(self._host.peers)


class _OfOne(Mapping[str, object]):
    """One host's variables; a secret among them makes a secret of what uses it."""

    def __init__(self, values: Mapping[str, object], asking: Variables) -> None:
        self._values, self._variables, self._asking = values, Variables(values), asking

    def __getitem__(self, name: str) -> object:
        if name not in self._values:
            raise KeyError(name)
        return self._asking.revealed(self._variables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def scope(host: Host, values: Mapping[str, object], secrets: Collection[str] = ()) -> Variables:
    """Return the variables for a host's templates.

    Args:
        host: its variables, and below them the magic ones.
        values: these win over the host's.
        secrets: names that no template may see the values of.
    """
    peers = HostVars(host)
    variables = Variables({**host.magic, "hostvars": peers, **host.vars, **values}, secrets)
    peers.bind(variables)
    return variables
