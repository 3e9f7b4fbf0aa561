"""Read one YAML file into plain values, and remember the place of each.

YAML 1.1 as Ansible reads it (a JSON file is read as JSON), safe types only. Every mistake has
file:line:column, and as many as possible are reported together. The meaning of a value is up to the
caller.

Stricter than Ansible, which only warns: a duplicate key in a mapping is rejected. So are a value
that contains itself, and aliases that expand to an unreasonable size.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader

from shipit import vault, yaml_tags
from shipit.errors import InputError, Mistake, Place
from shipit.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence
    from pathlib import Path

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # pyyaml built without libyaml: the same language, slower
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"
_SAFE_TYPES = (
    *("null", "bool", "int", "float", "binary", "timestamp"),
    *("str", "seq", "map", "set", "omap", "pairs", "merge", "value"),
)
_SAFE_TAGS = frozenset(_TAG + name for name in _SAFE_TYPES)
_MERGE = f"{_TAG}merge"
_NOT_CONSTRUCTED = (ValueError, LookupError, AttributeError, yaml.YAMLError)  # what pyyaml raises
_TAB = re.compile(r" *\t")
_BARE_TEMPLATE = re.compile(r"""[:-] +[^'"#]*\{\{""")
_MAX_DEPTH = 100
_MAX_VALUES = 2_000_000


@dataclass(frozen=True)
class Document:
    """A YAML file's value, in plain Python types, and the places of its parts.

    Attributes:
        path: the file, as given.
        value: dict, list, str, int, float, bool, None, date or datetime; None for an empty file.
            Also Vaulted for `!vault` and Raw for `!unsafe`; of a file that is encrypted as a whole,
            every text is a Secret.
    """

    path: Path
    value: object
    root: Node | None = field(default=None, repr=False, compare=False)

    def place(self, loc: Sequence[str | int] = ()) -> Place:
        """Return where the value at a path of keys and indices starts.

        If there is no such value, return the place of the nearest existing part above it.
        """
        return _place(self.path, self._nodes_at(loc)[1])

    def key_place(self, loc: Sequence[str | int]) -> Place:
        """Return the place of the key of a mapping's entry; of anything else, of the value."""
        return _place(self.path, self._nodes_at(loc)[0])

    def _nodes_at(self, loc: Sequence[str | int]) -> tuple[Node | None, Node | None]:
        """Return the nodes of a key and its value, or twice the nearest existing one above."""
        key = node = self.root
        for step in loc:
            found = _child(node, step)
            if found is None:
                return node, node
            key, node = found
        return key, node


def read(path: Path, passwords: vault.Passwords = vault.NONE) -> Document:
    """Read a YAML or JSON file, which may be encrypted by ansible-vault.

    Raises:
        InputError: file-missing, file-unreadable, yaml-syntax, yaml-duplicate-key, yaml-tag, or
            those of `vault`.
    """
    return parse(path, text_of(path), passwords)


def parse(path: Path, text: str, passwords: vault.Passwords = vault.NONE) -> Document:
    """Read YAML or JSON from a text; the path is only for the places in errors.

    Raises:
        InputError: those of `read`, except for the file's own.
    """
    if vault.is_encrypted(text):
        plain = passwords.open(text, Place(str(path), 1, 1))
        opened = parse(path, plain, passwords)
        return replace(opened, value=yaml_tags.mapped(opened.value, Secret))
    try:
        value = json.loads(text, object_hook=yaml_tags.in_json(Place(str(path)), passwords))
    except ValueError:  # most files are YAML; its parser explains the mistake
        return _parse_yaml(path, text, passwords)
    except RecursionError as error:
        raise _too_deep(path) from error
    try:
        root = _compose(path, text)
    except InputError:  # a few JSON texts are not YAML: these have the file's place only
        return Document(path, value)
    if root is not None:
        _refuse_faults(path, root)
    return Document(path, value, root)


def base_60(document: Document) -> Iterator[tuple[Place, str, int]]:
    """Yield the texts such as 22:22 that YAML 1.1 reads as a number: place, text, number."""
    for node in _nodes(document.root) if document.root else ():
        if isinstance(node, ScalarNode) and node.tag == f"{_TAG}int" and ":" in node.value:
            number = _scalar(node)
            if isinstance(number, int):
                yield _place(document.path, node), str(node.value), number


def _parse_yaml(path: Path, text: str, passwords: vault.Passwords) -> Document:
    root = _compose(path, text)
    if root is None:
        return Document(path, None)
    _refuse_faults(path, root)
    try:
        value = yaml_tags.Constructor(passwords, partial(_place, path)).construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_mistake(path, text, error)) from error
    except RecursionError as error:
        raise _too_deep(path) from error
    return Document(path, value, root)


def text_of(path: Path) -> str:
    try:
        raw = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except FileNotFoundError as error:
        what = "the file does not exist"
        raise InputError(Mistake("file-missing", what, Place(str(path)))) from error
    except OSError as error:
        what = f"the file cannot be read: {error.strerror}"
        raise InputError(Mistake("file-unreadable", what, Place(str(path)))) from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8", "replace")
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        place = _place_in_text(path, good, len(good))
        raise InputError(Mistake("yaml-syntax", what, place, "save the file as UTF-8")) from error


def _compose(path: Path, text: str) -> Node | None:
    """Parse the text into a tree of nodes."""
    strange = Reader.NON_PRINTABLE.search(text)
    if strange:
        what = f"the character U+{ord(strange.group()):04X} is not allowed in YAML"
        place = _place_in_text(path, text, strange.start())
        raise InputError(Mistake("yaml-syntax", what, place))
    loader = Loader(text)
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise InputError(_syntax_mistake(path, text, error)) from error
    except yaml.YAMLError as error:
        raise InputError(Mistake("yaml-syntax", str(error), Place(str(path)))) from error
    except RecursionError as error:
        raise _too_deep(path) from error
    finally:
        loader.dispose()


def _too_deep(path: Path) -> InputError:
    what = "the values are nested too deeply to be read"
    return InputError(Mistake("yaml-syntax", what, Place(str(path))))


def _syntax_mistake(path: Path, text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    place = Place(str(path), mark.line + 1, mark.column + 1) if mark else Place(str(path))
    what = error.problem or "this is not YAML"
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if _TAB.match(line):
        hint = "YAML is indented by spaces alone: set your editor so, and replace the tabs"
        return Mistake("yaml-syntax", "a tab indents this line", place, hint)
    if _BARE_TEMPLATE.search(line):
        what = "a value that holds {{ is not in quotes: YAML takes { for a mapping"
        return Mistake("yaml-syntax", what, place, 'write it in quotes: key: "{{ name }}"')
    if what.startswith("mapping values are not allowed"):
        hint = 'a value with ": " in it must be in quotes; or this line is indented too far'
        return Mistake("yaml-syntax", what, place, hint)
    began = error.context_mark
    since = f" that starts at line {began.line + 1}" if error.context and began else ""
    return Mistake("yaml-syntax", what, place, (error.context or "") + since)


def _refuse_faults(path: Path, root: Node) -> None:
    _unfold(path, root, (), {})
    mistakes = [mistake for node in _nodes(root) for mistake in _faults(path, node)]
    if mistakes:
        raise InputError(*sorted(mistakes, key=lambda mistake: mistake.place or Place("")))


def _unfold(
    path: Path, node: Node, above: tuple[int, ...], known: dict[int, tuple[int, int]]
) -> tuple[int, int]:
    """Return the depth of a node and the number of its values, with aliases expanded.

    Raises:
        InputError: a node contains itself, is nested too deeply, or expands to too many values.
    """
    if id(node) in known:
        return known[id(node)]
    if id(node) in above:
        what = "this value contains itself by an alias (*)"
        raise InputError(Mistake("yaml-syntax", what, _place(path, node)))
    inner = () if len(above) > _MAX_DEPTH else _parts(node)
    parts = [_unfold(path, part, (*above, id(node)), known) for part in inner]
    depth = 1 + max((depth for depth, _ in parts), default=0)
    size = 1 + sum(size for _, size in parts)
    if depth > _MAX_DEPTH or size > _MAX_VALUES:
        limits = f"at most {_MAX_DEPTH} levels and {_MAX_VALUES} values, aliases written out"
        what = "this value is nested too deeply or unfolds to too much"
        raise InputError(Mistake("yaml-syntax", what, _place(path, node), limits))
    known[id(node)] = (depth, size)
    return depth, size


def _nodes(root: Node) -> Iterator[Node]:
    """Yield each node once, however many aliases refer to it."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend(_parts(node))
            yield node


def _parts(node: Node) -> Iterable[Node]:
    if isinstance(node, MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, SequenceNode) else []


def _faults(path: Path, node: Node) -> Iterator[Mistake]:
    if node.tag in yaml_tags.VAULT_TAGS and not isinstance(node, ScalarNode):
        what, hint = f"{node.tag} must be a text", "write `!vault |`, and what ansible-vault made"
        yield Mistake("vault-damaged", what, _place(path, node), hint)
    elif node.tag not in _SAFE_TAGS | yaml_tags.OWN_TAGS:
        shown = node.tag.removeprefix(_TAG)
        hint = "write a plain value: text, number, true, false, null, a list or a mapping"
        yield Mistake("yaml-tag", f"the tag {shown} is not supported", _place(path, node), hint)
    elif isinstance(node, ScalarNode) and node.tag not in {_MERGE, *yaml_tags.OWN_TAGS}:
        yield from _bad_scalar(path, node)
    elif isinstance(node, MappingNode):
        yield from _duplicates(path, node)


def _bad_scalar(path: Path, node: ScalarNode) -> Iterator[Mistake]:
    """Yield a mistake for an invalid date or number, such as 2024-13-45."""
    try:
        _scalar(node)
    except _NOT_CONSTRUCTED:
        kind = node.tag.removeprefix(_TAG)
        what = f"{node.value!r} is not a valid {kind}"
        yield Mistake("yaml-syntax", what, _place(path, node), "put it in quotes if it is text")


def _duplicates(path: Path, node: MappingNode) -> Iterator[Mistake]:
    first: dict[Hashable, Node] = {}
    for key_node, _ in node.value:
        if not isinstance(key_node, ScalarNode) or key_node.tag == _MERGE:
            continue
        try:
            key = _scalar(key_node)
        except _NOT_CONSTRUCTED:  # reported as a bad scalar
            continue
        if key in first:
            what = f"the key '{key_node.value}' is given twice: first in line {_line(first[key])}"
            hint = "keep one of the two"
            yield Mistake("yaml-duplicate-key", what, _place(path, key_node), hint)
        else:
            first[key] = key_node


def _scalar(node: ScalarNode) -> Hashable:
    if node.tag == f"{_TAG}str":
        return str(node.value)
    value: Hashable = SafeConstructor().construct_document(node)
    return value


def _child(node: Node | None, step: str | int) -> tuple[Node, Node] | None:
    """Return the key's and the value's node of an entry; an item of a list is its own key."""
    if isinstance(node, SequenceNode):
        inside = isinstance(step, int) and 0 <= step < len(node.value)
        return (node.value[step], node.value[step]) if inside else None
    if isinstance(node, MappingNode):
        # From the end: a merge (<<) inserts its entries at the front, and the last one counts.
        for key, value in reversed(node.value):
            if isinstance(key, ScalarNode) and step in (_scalar(key), key.value):
                return key, value
    return None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _place(path: Path, node: Node | None) -> Place:
    if node is None:
        return Place(str(path))
    return Place(str(path), _line(node), int(node.start_mark.column) + 1)


def _place_in_text(path: Path, text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(str(path), before.count("\n") + 1, offset - before.rfind("\n"))
