"""Turn validation errors of a playbook into mistakes that the user can act on.

Each has its place (file:line:column), what is wrong, what was expected, and the key's meaning with
an example. A value below `secrets` is never shown: it may be a secret written there by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from shipit.errors import Mistake, nearest
from shipit.playbook import foreign
from shipit.playbook.balancer.models import BalancerCommand, Haproxy, LoadBalancer
from shipit.playbook.canary.models import Canary, CanaryCheck
from shipit.playbook.health import Check, Health, Watch
from shipit.playbook.hooks.models import Hook, Migrate
from shipit.playbook.models import Deployment, RenderedFile
from shipit.playbook.parsers import InvalidValueError, is_template, shown, written
from shipit.playbook.project import Assets, PinnedFile, Project
from shipit.playbook.service import EnvFile, Service

if TYPE_CHECKING:
    from shipit.errors import Place
    from shipit.playbook.fields import Model
    from shipit.playbook.rules import RuleViolation
    from shipit.yaml_source import Document

Loc = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text",
    "dict_type": "a mapping (`key: value` a line)",
    "mapping_type": "a mapping (`key: value` a line)",
    "list_type": "a list (`- item` a line)",
    "tuple_type": "a list (`- item` a line)",
    "too_short": "at least one entry",
}
_FOLLOWS = "default_factory_not_called"  # a consequence of another mistake
_SHORT_EXAMPLE = (str, int, float)


class ErrorFormatter:
    """Formats the errors of one deployment of a playbook, with their places.

    `values` is what was written there, `rendered` the same after rendering.
    """

    def __init__(self, document: Document, loc: Loc, values: object, rendered: object) -> None:
        self._document, self._loc, self._values, self._rendered = document, loc, values, rendered

    def of_values(self, found: Iterable[Mapping[str, Any]], *, is_rendered: bool) -> list[Mistake]:
        """Return the mistakes among pydantic's errors; a template not yet rendered is none."""
        return [
            self._mistake(error)
            for error in found
            if error["type"] != _FOLLOWS and (is_rendered or not is_template(_offender(error)))
        ]

    def of_rules(self, findings: Iterable[RuleViolation]) -> list[Mistake]:
        return [
            Mistake(found.code, found.what, self.place(found.loc), found.hint) for found in findings
        ]

    def place(self, loc: Loc, *, of_key: bool = False) -> Place:
        """Return the place of a value (or its key), or of the nearest existing one above it."""
        path = (*self._loc, *self._in_playbook(loc))
        return self._document.key_place(path) if of_key else self._document.place(path)

    def _named(self, loc: Loc) -> str:
        """Return a path in its usual notation, without the steps that a short form omits.

        For example services.web.socket, files[0].mode.
        """
        value, named = self._rendered, ""
        for step in loc:
            if isinstance(value, Mapping if isinstance(step, str) else list) or _has(value, step):
                named += f"[{step}]" if isinstance(step, int) else f".{step}"
                value = _part(value, step)
        return named.removeprefix(".")

    def _in_playbook(self, loc: Loc) -> Loc:
        """Return the path in the playbook, without steps that only the models have."""
        value, path = self._values, ()  # type: object, Loc
        for step in loc:
            if _has(value, step):
                value, path = _part(value, step), (*path, step)
        return path

    def _mistake(self, error: Mapping[str, Any]) -> Mistake:
        loc: Loc = tuple(error["loc"])
        if error["type"] == "invalid_key" and isinstance(error["input"], bool):
            return self._boolean_key((*loc[:-1], error["input"]))
        if error["type"] in ("extra_forbidden", "invalid_key"):
            return self._unknown_key(loc)
        if error["type"] == "missing":
            return self._missing_key(loc)
        if loc[-1:] == ("[key]",):
            if isinstance(error["input"], bool):
                return self._boolean_key((*loc[:-2], error["input"]))
            what = f"the key {shown(error['input'])} in {self._named(loc[:-2])}: expected"
            place = self.place(loc[:-1], of_key=True)
            return Mistake("playbook-key", f"{what} {_expected(error)}", place)
        what = f"{self._named(loc)}: expected {_expected(error)}"
        if loc[:1] != ("secrets",):
            what += f", got {shown(_offender(error))}"
        return Mistake("playbook-value", what, self.place(loc), _meaning(loc))

    def _unknown_key(self, loc: Loc) -> Mistake:
        known, key = list(_keys(loc[:-1])), loc[-1]
        close = nearest(str(key), known)
        hint = foreign.advice(key) or close or f"known here: {', '.join(known)}"
        what = f"unknown key '{key}'{self._within(loc)}"
        return Mistake("playbook-unknown-key", what, self.place(loc, of_key=True), hint)

    def _boolean_key(self, loc: Loc) -> Mistake:
        what = f"YAML 1.1 reads this key as the boolean {str(loc[-1]).lower()}"
        hint = (
            'put it in quotes if it is a name: "yes", "no", "on", "off", "y" and "n" are booleans'
        )
        return Mistake("playbook-key", what, self.place(loc, of_key=True), hint)

    def _missing_key(self, loc: Loc) -> Mistake:
        what = f"the key '{loc[-1]}' is missing{self._within(loc)}"
        return Mistake("playbook-missing-key", what, self.place(loc[:-1]), _meaning(loc))

    def _within(self, loc: Loc) -> str:
        return f" in {self._named(loc[:-1])}" if loc[:-1] else ""


def _offender(error: Mapping[str, Any]) -> object:
    """Return the wrong value: of a list, it may be one item."""
    cause = error.get("ctx", {}).get("error")
    return cause.value if isinstance(cause, InvalidValueError) else error.get("input")


def _expected(error: Mapping[str, Any]) -> str:
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, InvalidValueError):
        return cause.expected
    if error["type"] in ("model_type", "model_attributes_type"):
        return f"a mapping with the keys {', '.join(_keys(tuple(error['loc'])))}"
    return _EXPECTED.get(error["type"], str(error["msg"]))


def _has(value: object, step: str | int) -> bool:
    is_item = isinstance(value, list) and isinstance(step, int) and step < len(value)
    return is_item or (isinstance(value, Mapping) and step in value)


def _part(value: Any, step: str | int) -> object:  # noqa: ANN401 - YAML's
    return value[step] if _has(value, step) else None


# The models at each path; `*` is any item, and any service.
_MODELS: dict[Loc, type[Model]] = {
    (): Deployment,
    ("project",): Project,
    ("bundle",): PinnedFile,
    ("env_file", "*"): EnvFile,
    ("files", "*"): RenderedFile,
    ("services", "*"): Service,
    ("services", "*", "env_file", "*"): EnvFile,
    ("migrate",): Migrate,
    ("load_balancer",): LoadBalancer,
    ("load_balancer", "haproxy"): Haproxy,
    ("load_balancer", "drain"): BalancerCommand,
    ("load_balancer", "undrain"): BalancerCommand,
    ("assets",): Assets,
    ("hooks", "*"): Hook,
    ("canary",): Canary,
    ("canary", "checks", "*"): CanaryCheck,
    ("health",): Health,
    ("watch",): Watch,
    ("health", "checks", "*"): Check,
}


def _keys(loc: Loc) -> dict[str, str]:
    """Return the keys that are allowed at a path, each with its meaning."""
    of_any = tuple(
        "*" if isinstance(step, int) or loc[:index] == ("services",) else step
        for index, step in enumerate(loc)
    )
    model = _MODELS.get(of_any)
    meanings = {}
    for name, field in model.model_fields.items() if model else ():
        key = field.alias or name
        shortest = [e for e in field.examples or [] if isinstance(e, _SHORT_EXAMPLE)][:1]
        example = f" For example: {key}: {written(shortest[0])}" if shortest else ""
        meanings[key] = f"{key}: {field.description}{example}"
    return meanings


def _meaning(loc: Loc) -> str:
    """Return the meaning of the key that a path belongs to."""
    for end in range(len(loc), 0, -1):
        known = _keys(loc[: end - 1])
        if str(loc[end - 1]) in known:
            return known[str(loc[end - 1])]
    return ""
