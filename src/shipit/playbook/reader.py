"""Read a playbook: what should run where, in one YAML file.

Reading has two steps, because templates in values need a host's variables: `read` checks all that
needs no variables, `typed` the rest once everything is rendered. Both report all mistakes at once,
each with file:line:column. `render` does the rendering.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shipit import yaml_source
from shipit.errors import InputError, Mistake, Place
from shipit.playbook import foreign, models, rules
from shipit.playbook.errors import ErrorFormatter
from shipit.playbook.fields import EVERY_FILE, ReadContext
from shipit.playbook.models import Deployment
from shipit.vault import NONE, Passwords
from shipit.yaml_source import Document

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

Loc = tuple[str | int, ...]
_TEMPLATE = {"type": "string", "pattern": r"\{[{%]"}
_ANNOTATIONS = ("description", "examples", "default")
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Draft:
    """One deployment of a playbook, whose templates are not rendered yet.

    Attributes:
        loc: its path in the document: () or (index,).
        values: the values as written.
        must_exist: the keys whose files must exist on this machine.
    """

    document: Document
    loc: Loc
    values: Mapping[str, object] = field(repr=False)
    must_exist: Collection[str] = EVERY_FILE

    @property
    def name(self) -> str:
        return str(self.values.get("name") or self.values.get("app"))

    @property
    def hosts(self) -> str:
        """The pattern of hosts."""
        return str(self.values["hosts"])

    @property
    def folder(self) -> Path:
        """The folder that paths in the playbook are relative to."""
        return self.document.path.parent

    def place(self, loc: Loc, *, of_key: bool = False) -> Place:
        """Return the place of a value of this deployment."""
        return self.formatter(self.values).place(loc, of_key=of_key)

    def formatter(self, rendered: Mapping[str, object]) -> ErrorFormatter:
        return ErrorFormatter(self.document, self.loc, self.values, rendered)


def read(
    path: Path, passwords: Passwords = NONE, *, must_exist: Collection[str] = EVERY_FILE
) -> tuple[Draft, ...]:
    """Read a playbook of one deployment (a mapping) or several (a list).

    The files that it names by the keys in `must_exist` must exist.

    Raises:
        InputError: with all mistakes that can be found without variables.
    """
    document = _ours(path, yaml_source.text_of(path), passwords)
    value = document.value
    parts = value if isinstance(value, list) else [value]
    locs: list[Loc] = [(i,) for i in range(len(parts))] if isinstance(value, list) else [()]
    drafts, mistakes = [], []
    for loc, part in zip(locs, parts, strict=True):
        if isinstance(part, dict):
            draft = Draft(document, loc, part, must_exist)
            drafts.append(draft)
            mistakes += _check(draft, part, is_rendered=False)[1]
        else:
            mistakes.append(_no_deployment(document, loc, part))
    if not parts:
        mistakes.append(_no_deployment(document, (), None))
    confused = {
        place: Mistake(
            "yaml-base-60",
            f"{text} is the number {number} in YAML 1.1, which reads it in base 60",
            place,
            f'put it in quotes: "{text}"',
        )
        for place, text, number in yaml_source.base_60(document)
    }
    mistakes = [each for each in mistakes if each.place not in confused] + [*confused.values()]
    if mistakes:
        raise InputError(*mistakes)
    return tuple(drafts)


def _ours(path: Path, text: str, passwords: Passwords) -> Document:
    """Return the document; the error for another tool's file names the tool."""
    document = Document(path, None)
    if not (found := foreign.text_is(text)):
        document = yaml_source.parse(path, text, passwords)
        found = foreign.value_is(document.value)
    if found:
        what = f"this is {found[0]}, not a shipit playbook"
        raise InputError(Mistake("foreign-file", what, Place(str(path), 1, 1), found[1]))
    return document


def typed(draft: Draft, rendered: Mapping[str, object]) -> Deployment:
    """Return the deployment of a draft's rendered values.

    Raises:
        InputError: with all mistakes, at the places of the values before rendering.
    """
    deployment, mistakes = _check(draft, rendered, is_rendered=True)
    if mistakes or deployment is None:
        raise InputError(*mistakes)
    return deployment


def _check(
    draft: Draft, values: Mapping[str, object], *, is_rendered: bool
) -> tuple[Deployment | None, list[Mistake]]:
    """Return the deployment, if it is valid, and the mistakes in these values, by place."""
    formatter = draft.formatter(values)
    mistakes = set(formatter.of_rules(rules.findings(values)))
    found = models.validate(values, ReadContext(draft.folder, draft.must_exist))
    if isinstance(found, Deployment):
        return found, sorted(mistakes, key=_order)
    mistakes |= set(formatter.of_values(found, is_rendered=is_rendered))
    return None, sorted(mistakes, key=_order)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a playbook, for editors. Every value may be a template instead."""
    deployment = models.json_schema()
    definitions = deployment.pop("$defs")
    deployment["properties"]["health"] |= _or_list(_ref("Check"), _ref("Health"))
    deployment["properties"]["health"].pop("$ref", None)
    definitions["Deployment"] = deployment
    for key, model in (("project", "Project"), ("bundle", "PinnedFile"), ("python", "Python")):
        short = {"anyOf": [{"type": "string"}, _ref(model)]}
        deployment["properties"][key] = _annotations(deployment["properties"][key]) | short
    short = definitions["Canary"]["properties"]["hosts"]
    named = _annotations(deployment["properties"]["canary"])
    deployment["properties"]["canary"] = named | {"anyOf": [*short["anyOf"], _ref("Canary")]}
    file = {"anyOf": [{"type": "string"}, _ref("EnvFile")]}
    for name in ("Deployment", "Service"):
        keys = definitions[name]["properties"]
        keys["env_file"] = _annotations(keys["env_file"]) | _or_list(file, file)
    for definition in definitions.values():
        for key, found in definition["properties"].items():
            annotations = _annotations(found)
            rule = {
                word: part for word, part in found.items() if word not in (*_ANNOTATIONS, "title")
            }
            if rule != {"type": "string"}:  # that takes templates already
                rule = {"anyOf": [rule, _TEMPLATE]}
            definition["properties"][key] = annotations | rule
    return {
        "$schema": _DRAFT,
        "title": "A shipit playbook",
        "anyOf": [
            _ref("Deployment"),
            {"type": "array", "items": _ref("Deployment"), "minItems": 1},
        ],
        "$defs": definitions,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _or_list(item: dict[str, Any], instead: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [instead, {"type": "array", "items": item}]}


def _annotations(found: dict[str, Any]) -> dict[str, Any]:
    return {word: found[word] for word in _ANNOTATIONS if word in found}


def _no_deployment(document: Document, loc: Loc, part: object) -> Mistake:
    what = "the playbook is empty" if part is None else "a deployment must be a mapping"
    hint = "write `app:`, `hosts:`, `project:` and `services:`"
    return Mistake("playbook-empty", what, document.place(loc), hint)


def _order(mistake: Mistake) -> tuple[object, ...]:
    place = mistake.place
    return (place.line, place.column, mistake.what) if place else (0, 0, mistake.what)
