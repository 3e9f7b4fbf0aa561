"""Find variables of a playbook that no template uses: a mistyped name changes nothing, silently.

A variable counts as used where its name is a word of any template: in the playbook, in the files
that it names and those that these include, or in the variables of any host. Reads these files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shipit.errors import Mistake, nearest
from shipit.playbook.parsers import is_template

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.errors import Place
    from shipit.release.inputs import HostInput

_WORD = re.compile(r"\w+")
_INCLUDED = re.compile(r"\{%[-+]?\s*(?:include|import|from|extends)\s+(.*?)%\}", re.DOTALL)
_NAME = re.compile(r"""["']([^"']+)["']""")


def variables(found: Sequence[Sequence[HostInput]]) -> Iterator[Mistake]:
    """Yield a warning for each entry of `vars:` that nothing uses, in no deployment.

    Args:
        found: the hosts of each deployment; two deployments may share one `vars:` by an alias.
    """
    used: dict[Place, bool] = {}
    texts: dict[Place, Mistake] = {}
    for targets in filter(None, found):
        draft, words = targets[0].draft, _words(targets)
        for name in _own(draft.values):
            place = draft.place(("vars", name), of_key=True)
            used[place] = used.get(place, False) or name in words
            texts[place] = _mistake(name, place, targets[0].host.vars)
    yield from (texts[place] for place, is_used in used.items() if not is_used)


def _own(values: Mapping[str, object]) -> Iterable[str]:
    own = values.get("vars")
    return [str(name) for name in own] if isinstance(own, dict) else ()


def _mistake(name: str, place: Place, known: Mapping[str, object]) -> Mistake:
    what = f"no template uses the variable '{name}'"
    hint = nearest(name, known) or "correct its name, or take it out"
    return Mistake("unused-variable", what, place, hint)


def _words(targets: Sequence[HostInput]) -> set[str]:
    """Return all words of the templates that may use variables of a deployment."""
    found: set[str] = set()
    of_hosts = targets[0].host.peers.values()
    for text in _templates([targets[0].draft.values, targets[0].extra_vars, *of_hosts]):
        found.update(_WORD.findall(text))
    for text in _texts(_files(targets)).values():
        found.update(_WORD.findall(text))
    return found


def _templates(value: object) -> Iterator[str]:
    """Yield the texts in a value, at any depth, that are templates."""
    if isinstance(value, str):
        if is_template(value):
            yield value
        return
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _templates(item)


def _files(targets: Sequence[HostInput]) -> Iterator[Path]:
    for target in targets:
        for service in target.deployment.services.values():
            if service.unit:
                yield service.unit
        yield from (file.src for file in target.deployment.files if file.src.suffix == ".j2")


def _texts(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the texts of template files and of those that they include, in the same folder."""
    found: dict[Path, str] = {}
    waiting = [(path.parent, path) for path in paths]
    while waiting:
        folder, path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found[path] = path.read_text(encoding="utf-8", errors="replace")
        for statement in _INCLUDED.findall(found[path]):
            waiting += [(folder, folder / name) for name in _NAME.findall(statement)]
    return found
