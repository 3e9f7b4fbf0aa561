"""Make values of Ansible's own tags, in YAML and in JSON: !vault, !unsafe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from shipit.vault import Passwords, Vaulted

if TYPE_CHECKING:
    from collections.abc import Callable

    from shipit.errors import Place

VAULT_TAGS = frozenset({"!vault", "!vault-encrypted"})
UNSAFE_TAG = "!unsafe"
OWN_TAGS = VAULT_TAGS | {UNSAFE_TAG}
_KINDS = {ScalarNode: "str", SequenceNode: "seq", MappingNode: "map"}


class Raw(str):
    """A text in which {{ }} means nothing: Ansible's !unsafe."""

    __slots__ = ()


class Constructor(SafeConstructor):
    """Constructs plain values, and Vaulted and Raw for Ansible's tags."""

    def __init__(self, passwords: Passwords, place_of: Callable[[Node], Place]) -> None:
        super().__init__()
        self._passwords, self._place_of = passwords, place_of

    def vaulted(self, node: ScalarNode) -> Vaulted:
        return Vaulted(str(node.value), self._place_of(node), self._passwords)

    def unsafe(self, node: Node) -> object:
        tag = f"tag:yaml.org,2002:{_KINDS[type(node)]}"
        plain = type(node)(tag, node.value, node.start_mark, node.end_mark)
        return mapped(self.construct_object(plain, deep=True), Raw)


for _tag in VAULT_TAGS:
    Constructor.add_constructor(_tag, Constructor.vaulted)  # type: ignore[type-var]
Constructor.add_constructor(UNSAFE_TAG, Constructor.unsafe)  # type: ignore[type-var]


def in_json(place: Place, passwords: Passwords) -> Callable[[dict[str, object]], object]:
    """Return an object_hook that constructs Ansible's tagged values in JSON."""

    def change(value: dict[str, object]) -> object:
        match value:
            case {"__ansible_vault": str(text), **rest} if not rest:
                return Vaulted(text, place, passwords)
            case {"__ansible_unsafe": str(text), **rest} if not rest:
                return Raw(text)
            case _:
                return value

    return change


def mapped(value: object, change: Callable[[str], object]) -> object:
    """Return a value with all texts in it changed; keys are unchanged."""
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [mapped(item, change) for item in value]
    return change(value) if isinstance(value, str) else value
