"""Ask ansible-core what inventories mean: the reference for our own reader.

Runs as a process of its own, so that Ansible's global state, plugins and warnings stay out of the
tests; whoever starts it sets ANSIBLE_CONFIG. Each line on stdin is a request in JSON, its sources,
its selections (pairs of pattern and limit), a playbook's folder and a vault password; each line on
stdout is the answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import MutableSet
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError  # type: ignore[import-untyped]
from ansible.inventory import group  # type: ignore[import-untyped]
from ansible.inventory.manager import InventoryManager  # type: ignore[import-untyped]
from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]
from ansible.parsing.vault import (  # type: ignore[import-untyped]
    VaultSecret,
    VaultSecretsContext,
)
from ansible.plugins.loader import init_plugin_loader  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]
from ansible.vars.manager import VariableManager  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OF_ANSIBLE_ITSELF = {
    *("ansible_config_file", "ansible_facts", "ansible_playbook_python", "ansible_version"),
    *("groups", "omit", "playbook_dir"),
}

HARMLESS = "Invalid characters were found in group names but not replaced"


class OrderedSet(MutableSet[Any]):
    """A set that keeps its order: Ansible walks groups in sets, in another order each run."""

    def __init__(self, items: Iterable[Any] = ()) -> None:
        self._items = dict.fromkeys(items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def add(self, value: Any) -> None:  # noqa: ANN401 - a set of anything
        self._items[value] = None

    def discard(self, value: Any) -> None:  # noqa: ANN401 - a set of anything
        self._items.pop(value, None)

    def update(self, items: Iterable[Any]) -> None:
        self._items.update(dict.fromkeys(items))

    def difference_update(self, items: Iterable[Any]) -> None:
        self.__isub__(set(items))

    def copy(self) -> OrderedSet:
        return OrderedSet(self)


def main(requests: Iterable[str]) -> None:
    init_plugin_loader([])
    group.set = OrderedSet
    answers = sys.stdout
    sys.stdout = sys.stderr  # Ansible's own output
    for line in requests:
        answer = answered(json.loads(line))
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


def answered(request: dict[str, Any]) -> dict[str, Any]:
    warnings: list[str] = []
    display = Display()
    display.warning = lambda msg, *_, **__: warnings.append(str(msg))
    display.error_as_warning = lambda msg, *_, **__: warnings.append(str(msg))
    display.deprecated = lambda *_, **__: None
    loader = DataLoader()
    if request["vault"]:
        secret = VaultSecret(request["vault"].encode())
        loader.set_vault_secrets([("default", secret)])
        VaultSecretsContext._current = VaultSecretsContext([("default", secret)])
    if request["playbook"]:
        loader.set_basedir(request["playbook"])
    try:
        manager = InventoryManager(loader, sources=request["sources"])
    except AnsibleError as error:
        return {"warnings": [str(error)]}
    variables = VariableManager(loader=loader, inventory=manager)
    variables.safe_basedir = bool(request["playbook"])  # as ansible-inventory --playbook-dir
    hosts = manager.get_hosts("all")
    return {
        "warnings": [text for text in warnings if not text.startswith(HARMLESS)],
        "hosts": [host.name for host in hosts],
        "groups": {name: [h.name for h in g.get_hosts()] for name, g in manager.groups.items()},
        "vars": {host.name: of_host(variables, host) for host in hosts},
        "selections": [selected(manager, warnings, *each) for each in request["selections"]],
    }


def of_host(variables: VariableManager, host: object) -> dict[str, Any]:
    found = variables.get_vars(host=host, include_hostvars=False, stage="all")
    if found["inventory_dir"] == str(None):  # a list of hosts has none
        found["inventory_dir"] = None
    return {name: value for name, value in found.items() if name not in OF_ANSIBLE_ITSELF}


def selected(
    manager: InventoryManager, warnings: list[str], pattern: str, limit: str | None
) -> dict[str, Any]:
    warnings.clear()
    try:
        manager.clear_caches()
        known = manager._inventory.localhost
        if known and known.implicit:
            manager._inventory.localhost = None  # what an earlier selection made
        manager.subset(limit)
        hosts = [host.name for host in manager.get_hosts(pattern)]
    except (AnsibleError, IndexError) as error:
        return {"hosts": [], "warnings": [str(error)]}
    finally:
        manager.subset(None)
    return {"hosts": hosts, "warnings": list(warnings)}


if __name__ == "__main__":
    main(sys.stdin)
