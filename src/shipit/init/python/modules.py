"""A project's Python modules as syntax trees. Nothing of the project is imported or run."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from shipit.errors import Place
from shipit.init.project_files import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shipit.init.project_files import ProjectFiles

Node = TypeVar("Node", bound=ast.AST)
T = TypeVar("T")
SOURCE_FOLDER = "src/"


@dataclass(frozen=True)
class Module:
    """A module that the app can import.

    Attributes:
        name: its dotted name.
        names: what a local name means, by its imports: `Api` is `fastapi.FastAPI`.
    """

    name: str
    path: str
    tree: ast.Module = field(repr=False)
    names: Mapping[str, str] = field(repr=False)

    def place(self, node: ast.expr | ast.stmt) -> Place:
        return Place(self.path, node.lineno)

    def dotted(self, node: ast.expr | None) -> str:
        """Return what a name such as `fastapi.FastAPI` means; "" for any other expression."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self.names.get(node.id, f"{self.name}.{node.id}")
        return ".".join([first, *reversed(attributes)])

    def nodes(self, kind: type[Node]) -> Iterator[Node]:
        """Yield the nodes of a kind, at any depth."""
        return of_kind(kind, self.tree)

    def made(self, maker: Callable[[ast.Call], T]) -> Iterator[tuple[str, T]]:
        """Yield each name that is given to a call, with what `maker` says of it, if anything."""
        for node in self.nodes(ast.Assign):
            if isinstance(node.value, ast.Call) and (found := maker(node.value)):
                yield from ((self.dotted(target), found) for target in node.targets)


def parse(files: ProjectFiles, top: str, words: Iterable[str]) -> tuple[list[Module], list[Note]]:
    """Return the modules below a folder (`""`, or a path with a slash) that have any of the words.

    The others cannot say anything of interest, and are not parsed.
    """
    modules, notes = [], []
    wanted = tuple(words)
    for path, text in files.texts.items():
        name = module_name(path, top)
        if not name or not any(word in text for word in wanted):
            continue
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            notes.append(Note(f"is not Python: {error.msg}", Place(path, error.lineno or 0)))
        except (ValueError, RecursionError, MemoryError):  # null bytes, or nested too deeply
            notes.append(Note("is not Python that can be read", Place(path)))
        else:
            is_package = path.endswith("__init__.py")
            modules.append(Module(name, path, tree, dict(_imports(tree, name, is_package))))
    return modules, notes


def module_name(path: str, top: str) -> str:
    """Return the dotted name by which the app imports a file; "" if it can't."""
    if not (path.endswith(".py") and path.startswith(top)):
        return ""
    parts = path.removeprefix(top).removeprefix(SOURCE_FOLDER).removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if all(map(str.isidentifier, parts)) else ""


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[tuple[str, str]]:  # noqa: FBT001 - of the file
    """Yield each imported name with what it means."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: None if is_package else -1]
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((each.asname or each.name, f"{origin}.{each.name}") for each in node.names)


def text_of(node: ast.expr) -> str:
    """Return the text that an expression is; "" for any other expression."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else ""


def of_kind(kind: type[Node], tree: ast.AST) -> Iterator[Node]:
    return (node for node in ast.walk(tree) if isinstance(node, kind))
