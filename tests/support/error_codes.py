"""Find every error code of shipit in its source: what is given as `code`, to a call or in a dict.

Reads the source, runs none of it, and knows no file by its name. A variable is followed to what
it is set to: a constant, a table, or what a function returns.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_COMPOUND = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")  # other words in a table are no codes


_Spot: TypeAlias = "tuple[ast.AST, _Module, ast.FunctionDef | None]"  # a node and where it stands


@dataclass(frozen=True)
class Found:
    """The codes, and the places that give one which cannot be followed: there should be none."""

    codes: frozenset[str]
    lost: tuple[str, ...]


def scan(top: Path) -> Found:
    """Scan all Python files below a folder."""
    files = sorted(top.rglob("*.py"))
    modules = [_Module(str(file), ast.parse(file.read_text(encoding="utf-8"))) for file in files]
    takers = _takers(modules)
    codes: set[str] = set()
    lost: list[str] = []
    for module in modules:
        codes |= module.defaults
        for node, function in _inside(module.tree, None):
            for given in _given(node, module, takers):
                here = _literals(given) or _followed(given, module, function, modules)
                codes |= here
                if not here and not _is_handed_on(given, function):
                    lost.append(f"{module.name}:{given.lineno}: {ast.unparse(given)}")
    return Found(frozenset(codes), tuple(lost))


@dataclass
class _Module:
    name: str
    tree: ast.Module
    takers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """What is defined here -> where among its arguments it takes a code, if it does."""
    functions: dict[str, list[ast.FunctionDef]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[ast.expr]] = field(default_factory=dict)
    bases: dict[str, set[str]] = field(default_factory=dict)
    defaults: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants = _set_in(self.tree)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef) and node.name != "__init__":
                self.functions[node.name].append(node)
                self._learn_function(node.name, node)
            elif isinstance(node, ast.ClassDef):
                self._learn_class(node)
            elif isinstance(node, ast.ImportFrom):
                self.imported |= {alias.name for alias in node.names}

    def _learn_function(self, name: str, function: ast.FunctionDef) -> None:
        arguments = [each.arg for each in function.args.args if each.arg not in ("self", "cls")]
        self.takers[name] |= {at for at, argument in enumerate(arguments) if argument == "code"}
        values = zip(reversed(arguments), reversed(function.args.defaults), strict=False)
        self.defaults |= {text for at, value in values if at == "code" for text in _literals(value)}

    def _learn_class(self, kind: ast.ClassDef) -> None:
        made = [n for n in kind.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        fields = [n for n in kind.body if isinstance(n, ast.AnnAssign)]
        for function in made:
            self._learn_function(kind.name, function)
        for at, each in enumerate(fields):
            if ast.unparse(each.target) == "code" and not made:
                self.takers[kind.name].add(at)
                self.defaults |= _literals(each.value) if each.value else set()
        if not made:
            self.bases[kind.name] = {_last_name(base) for base in kind.bases}


def _takers(modules: Iterable[_Module]) -> dict[str, set[int]]:
    """Return who takes a code, and where; a class without a constructor takes it as its base."""
    takers: dict[str, set[int]] = defaultdict(set)
    bases = {name: above for module in modules for name, above in module.bases.items()}
    for module in modules:
        for name, places in module.takers.items():
            takers[name] |= places
            takers[f"{PurePath(module.name).stem}.{name}"] |= places
    for _ in bases:  # at worst each is the base of the next
        for name, above in bases.items():
            takers[name] |= set().union(*(takers.get(base, set()) for base in above))
    return takers


def _given(node: ast.AST, module: _Module, takers: dict[str, set[int]]) -> Iterator[ast.expr]:
    """Yield what a call or a dict gives for a code."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        yield from (value for key, value in pairs if key and _literals(key) == {"code"})
    if not isinstance(node, ast.Call):
        return
    yield from (word.value for word in node.keywords if word.arg == "code")
    name = _last_name(node.func)
    dotted = ast.unparse(node.func)  # `messages.problem` is that of a module of this name
    if name in module.takers or name.startswith("_"):  # nobody calls what is private elsewhere
        places = module.takers[name]
    else:
        places = takers.get(dotted, takers.get(name, set()))
    for at in places:
        if at < len(node.args):
            given = node.args[at]
            yield given.value if isinstance(given, ast.Starred) else given


def _followed(
    given: ast.expr, module: _Module, function: ast.FunctionDef | None, modules: Iterable[_Module]
) -> set[str]:
    """Return the codes in all that an expression may come from."""
    codes: set[str] = set()
    seen: set[ast.AST] = set()
    todo: list[_Spot] = [(given, module, function)]
    while todo:
        top, home, around = todo.pop()
        if top in seen:
            continue
        seen.add(top)
        for node in ast.walk(top):
            codes |= {text for text in _literals(node) if _COMPOUND.fullmatch(text)}
            todo += _stands_for(node, home, around, modules)
            if isinstance(node, ast.Call) and around is function:  # no call in what is called
                todo += _returned(_last_name(node.func), home, modules)
    return codes


def _stands_for(
    node: ast.AST, home: _Module, function: ast.FunctionDef | None, modules: Iterable[_Module]
) -> Iterator[_Spot]:
    """Yield what a name stands for: in its function, its module or where it is from."""
    if isinstance(node, ast.Name) and function is not None:
        yield from ((value, home, function) for value in _set_in(function).get(node.id, ()))
    is_own = isinstance(node, ast.Name) and node.id not in home.imported
    for owner in [home] if is_own else modules:
        yield from ((value, owner, None) for value in owner.constants.get(_last_name(node), ()))


def _returned(name: str, home: _Module, modules: Iterable[_Module]) -> Iterator[_Spot]:
    for owner in [home] if name in home.functions else modules:
        for called in owner.functions.get(name, ()):
            found = (n.value for n in ast.walk(called) if isinstance(n, ast.Return) and n.value)
            yield from ((_first(value), owner, called) for value in found)


@cache
def _set_in(top: ast.FunctionDef | ast.Module) -> dict[str, list[ast.expr]]:
    """Return what each variable of a function, or of a module itself, is set to."""
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in top.body if isinstance(top, ast.Module) else ast.walk(top):
        if isinstance(node, ast.For):
            pairs = [(node.target, node.iter)]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs = [(target, node.value) for target in targets]
        else:
            continue
        for target, value in pairs:
            names = [_last_name(each) for each in getattr(target, "elts", [target])]
            parts = value.elts if isinstance(value, ast.Tuple) and len(names) > 1 else []
            each = parts if len(parts) == len(names) else [value] * len(names)
            for name, part in zip(names, each, strict=True):
                found[name].append(part)
    return found


def _inside(
    node: ast.AST, function: ast.FunctionDef | None
) -> Iterator[tuple[ast.AST, ast.FunctionDef | None]]:
    """Yield every node with the function that it is in."""
    function = node if isinstance(node, ast.FunctionDef) else function
    yield node, function
    for child in ast.iter_child_nodes(node):
        yield from _inside(child, function)


def _is_handed_on(given: ast.expr, function: ast.FunctionDef | None) -> bool:
    """Whether it is a parameter or another error's code, which is found where that is made."""
    if isinstance(given, ast.Attribute):
        return given.attr == "code"
    if not isinstance(given, ast.Name) or function is None:
        return False
    values = [_first(value) for value in _set_in(function).get(given.id, ())]
    if values:
        return all(_is_handed_on(value, function) for value in values)
    return given.id in {each.arg for each in function.args.args + function.args.kwonlyargs}


def _literals(node: ast.AST) -> set[str]:
    if isinstance(node, ast.IfExp):
        return _literals(node.body) | _literals(node.orelse)
    text = node.value if isinstance(node, ast.Constant) else None
    return {text} if isinstance(text, str) and CODE.fullmatch(text) else set()


def _first(value: ast.expr) -> ast.expr:
    return value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
