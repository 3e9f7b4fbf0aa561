"""Find the page by which an app says that it is healthy, such as `@app.get("/healthz")`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from shipit.init.python.modules import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shipit.errors import Place
    from shipit.init.python.modules import Module

# The likeliest first: a page that says more than "the process runs" is seldom called ping.
_PAGES = (
    *("healthz", "health", "healthcheck", "health-check", "health_check", "readyz", "ready"),
    *("livez", "live", "_health", "status", "up", "ping"),
)
WORDS = _PAGES
_PAGE = re.compile(rf"\^?/?((?:[\w-]+/)*(?:{'|'.join(_PAGES)})/?)\$?")
_PLAIN = re.compile(r"[\w./~-]+", re.ASCII)
_DECLARING = {
    *("get", "route", "api_route", "add_api_route", "add_route", "add_url_rule", "Route"),
    *("path", "re_path", "url"),
}
_MOUNTING = {"include_router": "prefix", "register_blueprint": "url_prefix"}
_GROUPING = {"APIRouter": "prefix", "Blueprint": "url_prefix"}


def health_pages(modules: Sequence[Module]) -> list[tuple[str, Place]]:
    """Return the paths of the pages that look like health checks, the likeliest first."""
    mounted = {name: path for module in modules for name, path in _mounts(module)}
    pages = [page for module in modules for page in _pages(module, mounted)]
    found = [page for page in pages if _PLAIN.fullmatch(page[0])]  # no prefix with parameters
    return sorted(found, key=lambda page: (_rank(page[0]), page[0].count("/"), page))


def _rank(path: str) -> int:
    return _PAGES.index(path.strip("/").rpartition("/")[2])


def _pages(module: Module, mounted: Mapping[str, str]) -> Iterator[tuple[str, Place]]:
    prefixes = dict(module.made(lambda call: _prefix(call, _GROUPING)))  # of routers it makes
    for call in module.nodes(ast.Call):
        page = _PAGE.fullmatch(text_of(call.args[0])) if call.args else None
        if page and _last(call.func) in _DECLARING:
            router = call.func.value if isinstance(call.func, ast.Attribute) else None
            name = module.dotted(router) or module.name
            prefix = mounted.get(name, "") + prefixes.get(name, "")
            yield f"{prefix}/{page[1]}", module.place(call)


def _mounts(module: Module) -> Iterator[tuple[str, str]]:
    """Yield the routers, and Django's modules of URLs, that a module puts below a prefix."""
    for call in module.nodes(ast.Call):
        if call.args and (prefix := _prefix(call, _MOUNTING)):
            yield module.dotted(call.args[0]), prefix
        included = call.args[1] if call.args[1:] else None
        if isinstance(included, ast.Call) and included.args and _last(included.func) == "include":
            prefix = text_of(call.args[0]).strip("^/$")
            yield text_of(included.args[0]), f"/{prefix}" if prefix else ""


def _prefix(call: ast.Call, words: Mapping[str, str]) -> str:
    """Return the prefix that a call gives by a keyword of its own."""
    keyword = words.get(_last(call.func))
    found = (text_of(each.value) for each in call.keywords if keyword and each.arg == keyword)
    return next(found, "").rstrip("/")


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
