"""The indexes that a lock names besides the user's own, with the user's credentials for them.

uv and Poetry give an index of pyproject.toml a name, and take its credentials from environment
variables of that name. Those of netrc and keyring are pip's own affair.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from shipit.bundle.lock import Locked

PYPI = "https://pypi.org/simple"
_NAMED_VALUE = re.compile(r"^[\w-]+=")  # of UV_INDEX: NAME=URL
_REGISTRY = "registry "  # how an entry of uv.lock names its index
# Where pyproject.toml names indexes, and the variables with their credentials (docs of uv, Poetry).
_NAMED = (
    (("uv", "index"), "UV_INDEX_{}_USERNAME", "UV_INDEX_{}_PASSWORD"),
    (("poetry", "source"), "POETRY_HTTP_BASIC_{}_USERNAME", "POETRY_HTTP_BASIC_{}_PASSWORD"),
)
# uv's variables for indexes, each with pip's option for the same.
_OF_UV = {
    "UV_INDEX_URL": "--index-url",
    "UV_DEFAULT_INDEX": "--index-url",
    "UV_EXTRA_INDEX_URL": "--extra-index-url",
    "UV_INDEX": "--extra-index-url",
    "UV_FIND_LINKS": "--find-links",
}


def lines(
    entries: Iterable[Locked], pyproject: Path, environment: Mapping[str, str]
) -> Iterator[str]:
    """Yield lines for a requirements file that pip reads; they may hold credentials.

    Args:
        entries: of the lock.
        pyproject: of the project; may be missing.
        environment: of this process.
    """
    for variable, option in _OF_UV.items():
        for value in environment.get(variable, "").split():
            yield f"{option} {_NAMED_VALUE.sub('', value)}"
    named = dict(_named(pyproject))
    locked = (each.source.removeprefix(_REGISTRY) for each in entries if each.source)
    for url in dict.fromkeys([*locked, *named]):
        if url.rstrip("/") == PYPI:
            continue
        if "://" not in url:
            yield f"--find-links {url}"
        else:
            yield f"--extra-index-url {_with_login(url, named.get(url), environment)}"


def _named(pyproject: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield each index that a project names, with the variables of its user and its password."""
    try:
        document: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for (tool, key), *variables in _NAMED:
        found = document.get("tool", {}).get(tool, {}).get(key, [])
        for index in found if isinstance(found, list) else []:
            if isinstance(index, dict) and index.get("name") and index.get("url"):
                name = re.sub(r"[^A-Z0-9]", "_", str(index["name"]).upper())
                user, password = (variable.format(name) for variable in variables)
                yield str(index["url"]), (user, password)


def _with_login(url: str, variables: tuple[str, str] | None, environment: Mapping[str, str]) -> str:
    """Put the user's credentials for an index into its URL, unless it has some."""
    parts = urlsplit(url)
    if variables is None or "@" in parts.netloc:
        return url
    user, password = (quote(environment.get(name, ""), safe="") for name in variables)
    login = f"{user}:{password}@" if user or password else ""
    return parts._replace(netloc=f"{login}{parts.netloc}").geturl()
