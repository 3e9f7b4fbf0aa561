"""Find the environment variables without which an app does not start.

`os.environ["NAME"]`, `os.getenv("NAME")` without a default, fields of pydantic's BaseSettings, and
what django-environ and decouple read.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from shipit.init.python.modules import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.errors import Place
    from shipit.init.python.modules import Module

WORDS = ("environ", "getenv", "BaseSettings", "decouple")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
# Set by systemd, by the shell or by the app itself.
_GIVEN = {
    *("HOME", "PATH", "USER", "LANG", "TZ", "PWD", "TMPDIR", "HOSTNAME", "PYTHONPATH", "SHELL"),
    *("DJANGO_SETTINGS_MODULE", "PORT", "NOTIFY_SOCKET", "LISTEN_FDS", "STATE_DIRECTORY", "DEBUG"),
}
_READERS = {"os.getenv", "os.environ.get", "decouple.config"}
_SETTINGS = {"pydantic_settings.BaseSettings", "pydantic.BaseSettings"}
_OF_DJANGO_ENVIRON = ("environ.Env", "environ.FileAwareEnv")
_ITS_KINDS = ("", ".str", ".url", ".bool", ".int", ".list", ".db_url")


def required(modules: Sequence[Module]) -> list[tuple[str, Place]]:
    """Return the variables that are read without a default, by name, each where it is read."""
    found: dict[str, Place] = {}
    for module in modules:
        for name, place in (*_subscripts(module), *_calls(module), *_fields(module)):
            if _VARIABLE.fullmatch(name) and name not in _GIVEN:
                found.setdefault(name, place)
    return sorted(found.items())


def _subscripts(module: Module) -> Iterator[tuple[str, Place]]:
    for node in module.nodes(ast.Subscript):
        if isinstance(node.ctx, ast.Load) and module.dotted(node.value) == "os.environ":
            yield text_of(node.slice), module.place(node)


def _calls(module: Module) -> Iterator[tuple[str, Place]]:
    environs = module.made(lambda call: module.dotted(call.func) in _OF_DJANGO_ENVIRON)
    readers = _READERS | {name + kind for name, _ in environs for kind in _ITS_KINDS}
    for call in module.nodes(ast.Call):
        has_default = len(call.args) > 1 or any(each.arg == "default" for each in call.keywords)
        if call.args and not has_default and module.dotted(call.func) in readers:
            yield text_of(call.args[0]), module.place(call)


def _fields(module: Module) -> Iterator[tuple[str, Place]]:
    """Yield the fields without a default of pydantic's settings."""
    for node in module.nodes(ast.ClassDef):
        if _SETTINGS.isdisjoint(map(module.dotted, node.bases)):
            continue
        prefix = _prefix(node)
        for field in (each for each in node.body if isinstance(each, ast.AnnAssign)):
            if isinstance(field.target, ast.Name) and not field.value:
                yield f"{prefix}{field.target.id}".upper(), module.place(field)


def _prefix(settings: ast.ClassDef) -> str:
    keywords = (node for node in ast.walk(settings) if isinstance(node, ast.keyword))
    return next((text_of(each.value) for each in keywords if each.arg == "env_prefix"), "")
