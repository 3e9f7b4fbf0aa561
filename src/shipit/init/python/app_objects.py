"""Find the objects that a server or a worker loads: `app = FastAPI()`, `def create_app()`."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shipit.init.frameworks import MAKERS, Framework

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.errors import Place
    from shipit.init.python.modules import Module

_NAMES = ("app", "application", "asgi", "wsgi", "api")
_MODULES = ("asgi", "wsgi", "main", "app", "__init__", "server", "api")


@dataclass(frozen=True)
class AppObject:
    """Something that a server can load.

    Attributes:
        target: as servers take it, `shop.wsgi:app`.
        is_factory: whether it has to be called, without arguments.
    """

    framework: Framework
    target: str
    place: Place
    is_factory: bool = False

    @property
    def why(self) -> str:
        return f"{self.framework.name}{' factory' if self.is_factory else ''}"


def web_objects(modules: Sequence[Module]) -> list[AppObject]:
    """Return all objects of web frameworks, the likeliest one first.

    A factory counts only where no module calls it: else the object that it makes is the app.
    """
    factories = {
        f"{module.name}.{function.name}": (framework, module, function)
        for module in modules
        for function, framework in _factories(module)
    }
    makers = {**MAKERS, **{name: found[0] for name, found in factories.items()}}
    objects = [
        AppObject(makers[maker], f"{module.name}:{name}", module.place(node))
        for module in modules
        for name, maker, node in assignments(module)
        if maker in makers
    ]
    called = {maker for module in modules for _, maker, _ in assignments(module)}
    uncalled = [
        AppObject(framework, f"{module.name}:{function.name}", module.place(function), True)
        for name, (framework, module, function) in factories.items()
        if name not in called
    ]
    return sorted([*objects, *uncalled], key=_likelihood)


def assignments(module: Module) -> Iterator[tuple[str, str, ast.stmt]]:
    """Yield the names that a module gives to what a call returns: name, callee, statement."""
    for node in _executed(module.tree.body):
        targets = node.targets if isinstance(node, ast.Assign) else ()
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call):
            callee = module.dotted(value.func)
            yield from ((each.id, callee, node) for each in targets if isinstance(each, ast.Name))


def _executed(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that importing a module executes, those in `if` and `try` too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            inner = [*node.body, *getattr(node, "orelse", ())]
            yield from _executed(inner)


def _factories(module: Module) -> Iterator[tuple[ast.FunctionDef, Framework]]:
    """Yield the functions that make an app and need no arguments."""
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef) and not _needs_arguments(node.args):
            made = {module.dotted(node.returns), *_made_in(node, module)} & MAKERS.keys()
            if made and any(isinstance(each, ast.Return) for each in ast.walk(node)):
                yield node, MAKERS[min(made)]


def _made_in(function: ast.FunctionDef, module: Module) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Call):
            yield module.dotted(node.value.func)


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) > len(arguments.defaults)
    return positional or any(default is None for default in arguments.kw_defaults)


def _likelihood(found: AppObject) -> tuple[object, ...]:
    module, _, name = found.target.partition(":")
    last = module.rpartition(".")[2]
    return (
        found.is_factory,
        _NAMES.index(name) if name in _NAMES else len(_NAMES),
        _MODULES.index(last) if last in _MODULES else len(_MODULES),
        module.count("."),
        found.target,
    )


def named(modules: Sequence[Module], makers: Mapping[str, str]) -> Iterator[tuple[str, str, Place]]:
    """Yield the objects that are made by other calls: what they are, their target and place."""
    for module in modules:
        for name, maker, node in assignments(module):
            if maker in makers:
                yield makers[maker], f"{module.name}:{name}", module.place(node)
