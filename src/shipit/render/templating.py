"""Render templates, strictly and in a sandbox. Only this module imports jinja2.

An undefined variable is an error that names it. Variables may refer to each other and are rendered
when they are first used; a circle is an error. A value that is a single expression
(`"{{ port }}"`) keeps its type. A template can neither reach Python's internals nor change what it
is given. Knows nothing about playbooks.

A text that uses a secret (a variable encrypted by ansible-vault) becomes a Secret as a whole.

Filters are those of jinja2 and those of `ansible_filters`.
"""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
    nodes,
)
from jinja2.environment import TemplateExpression
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from shipit.errors import InputError, Mistake, Place, nearest
from shipit.render.ansible_filters import FILTERS, OMIT, lookup, without_omitted
from shipit.secrets import Secret
from shipit.vault import Vaulted
from shipit.yaml_tags import Raw, mapped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jinja2 import Template

_SECRET = "secret-in-template"  # noqa: S105 - a code
_SECRET_WHAT = "this uses a variable that ansible-vault had encrypted"  # noqa: S105 - a sentence
_SECRET_WAY = 'secrets get into the environment alone: write `secrets: {NAME: "{{ variable }}"}`'  # noqa: S105
OWN = "shipit"  # the folder of our own templates, as templates see it
_DEEPEST = 50  # variables that refer to each other in a row
_VARIABLES = "_variables"  # the context's key for the lazy variables
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_BARE = re.compile(r"\{\{[-+]?(.*?)[-+]?\}\}", re.DOTALL)
_NO_FILTER = re.compile(r"No (filter|test) named '(\w+)'")
# Errors that an expression in a template may raise, besides those of jinja2.
_WRONG = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass
class TemplateFaultError(Exception):
    """A template can't be rendered.

    Attributes:
        code: template-undefined, template-syntax, template-failed, template-circle or
            secret-in-template.
        variable: the variable whose value is wrong; "" if it is the template itself.
        line: of a template file, from 1; 0 if unknown.
        file: the template file; it may be an included one.
    """

    code: str
    what: str
    hint: str = ""
    variable: str = ""
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return self.what


_OF_INVENTORIES = ("ansible_", "inventory_", "group_names")


class Variables:
    """The variables that templates may use; each is rendered when it is first used."""

    def __init__(self, values: Mapping[str, object], secrets: Collection[str] = ()) -> None:
        """Args: values: may contain templates that use each other; secrets: names only."""
        self._values = dict(values)
        self._secrets = frozenset(secrets) - values.keys()
        self._rendered: dict[str, object] = {}
        self._open: list[str] = []
        self._has_secret = False  # the current template has used a secret

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self._secrets

    def __getitem__(self, name: str) -> object:
        """Return a variable, rendered.

        Raises:
            TemplateFaultError: with `variable` set.
        """
        if name in self._rendered:
            return self._rendered[name]
        if name in self._secrets:
            what = f"'{name}' is one of `secrets:`: no template sees its value"
            hint = f"the services have it in their environment: read {name} there"
            raise TemplateFaultError(_SECRET, what, hint)
        if name in self._open or len(self._open) >= _DEEPEST:
            circle = " -> ".join([*self._open, name])
            what = f"variables refer to each other in a circle, or too deep: {circle}"
            raise TemplateFaultError("template-circle", what, variable=name)
        self._open.append(name)
        try:
            self._rendered[name] = self.fill(self._values[name])
        except TemplateFaultError as fault:
            fault.variable = fault.variable or name
            raise
        finally:
            self._open.pop()
        return self._rendered[name]

    def has_used(self, name: str) -> bool:
        return name in self._rendered

    def fill(self, value: object) -> object:
        """Return a value with all templates in it rendered, at any depth; keys are unchanged.

        Raises:
            TemplateFaultError: for the first one that can't be rendered.
        """
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, str):
            return self.fill_text(value)
        if isinstance(value, dict):
            return without_omitted({key: self.fill(item) for key, item in value.items()})
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        return opened(value)

    def revealed(self, value: object) -> object:
        """Return a value for a template to use, and note whether it contains a secret."""
        if isinstance(value, Secret):
            self._has_secret = True
            return value.reveal()
        if isinstance(value, dict):
            return {key: self.revealed(item) for key, item in value.items()}
        return [self.revealed(item) for item in value] if isinstance(value, list) else value

    def fill_text(self, text: str) -> object:
        """Return the rendered text; of a single expression, its value."""
        if "{" not in text:
            return text
        outer, self._has_secret = self._has_secret, False
        try:
            compiled, context = _compiled(text), {_VARIABLES: self}
            if isinstance(compiled, TemplateExpression):
                found = _plain(compiled(context))
            else:
                found = compiled.render(context)
            return mapped(found, Secret) if self._has_secret else found
        except (TemplateError, *_WRONG) as error:
            raise _fault(error, [*self._values, *self._secrets]) from error
        finally:
            self._has_secret = outer

    def fill_file(self, path: Path, extra: Mapping[str, object]) -> str:
        """Return the rendered template file; `extra` adds variables.

        Raises:
            TemplateFaultError: with `file` and `line`.
        """
        try:
            template = _environment(path.parent).get_template(path.name)
            self._has_secret = False
            found = template.render({_VARIABLES: self, **extra})
            refuse_secret(Secret("") if self._has_secret else None)
            return found  # noqa: TRY300 - the check belongs to the rendering
        except TemplateFaultError as fault:
            fault.file, fault.line = _spot(fault, path)
            raise
        except (TemplateError, OSError, *_WRONG) as error:
            failure = _fault(error, [*self._values, *self._secrets, *extra])
            failure.file, failure.line = _spot(error, path)
            raise failure from error


def refuse_secret(value: object) -> None:
    """Check that a rendered value contains no secret.

    Raises:
        TemplateFaultError: secret-in-template.
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, Secret):
        raise TemplateFaultError(_SECRET, _SECRET_WHAT, _SECRET_WAY)
    for item in inner:
        refuse_secret(item)


def opened(value: object) -> object:
    """Return a vaulted value decrypted, as a Secret; others unchanged.

    Raises:
        TemplateFaultError: with the code of the vault.
    """
    if not isinstance(value, Vaulted):
        return value
    try:
        return value.open()
    except InputError as error:
        wrong = error.mistakes[0]
        fault = TemplateFaultError(wrong.code, wrong.what, wrong.hint)
        if wrong.place:
            fault.file, fault.line = wrong.place.file, wrong.place.line
        raise fault from error


def _fault(error: Exception, known: Collection[str]) -> TemplateFaultError:
    match error:
        case UndefinedError():
            return _undefined(str(error), known)
        case TemplateNotFound():
            message = f"there is no template {error.name!r}"
        case TemplateSyntaxError():
            what = f"the template is wrong: {error.message}"
            return TemplateFaultError("template-syntax", what, _guess(str(error.message)))
        case UnicodeDecodeError():
            message = "the template is not UTF-8 text"
        case SecurityError():
            message = f"templates may not do this: {error}"
        case _:
            message = f"the template fails: {error}"
    return TemplateFaultError("template-failed", message)


def _undefined(message: str, known: Collection[str]) -> TemplateFaultError:
    found = _UNDEFINED.search(message)
    if not found:
        return TemplateFaultError("template-undefined", message)
    own = [name for name in known if not name.startswith(_OF_INVENTORIES)]
    hint = (
        nearest(found[1], own)
        or nearest(found[1], known)
        or "set it in `vars:`, in the inventory or with -e"
    )
    what = f"the variable '{found[1]}' is undefined"
    return TemplateFaultError("template-undefined", what, hint)


class _LazyContext(Context):
    """Falls back to the lazy variables for unknown names."""

    def resolve_or_missing(self, key: str) -> Any:  # noqa: ANN401 - as jinja2 has it
        found = super().resolve_or_missing(key)
        if found is not missing and key not in self.globals_keys:
            return found
        variables = super().resolve_or_missing(_VARIABLES)
        if isinstance(variables, Variables) and key in variables:
            return variables.revealed(variables[key])
        return found


class _Environment(ImmutableSandboxedEnvironment):
    context_class = _LazyContext


# Compiling is pure and costs far more than rendering; every host renders the same texts.
@lru_cache(maxsize=128)
def _environment(folder: Path | None) -> _Environment:
    own = PrefixLoader({OWN: FileSystemLoader(own_templates())})
    loader = ChoiceLoader([own, FileSystemLoader(folder)]) if folder else own
    environment = _Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        loader=loader,
    )
    environment.filters |= {"to_json": _to_json, "bool": _to_bool, **FILTERS}
    environment.globals |= {"lookup": lookup, "omit": OMIT}
    return environment


@lru_cache(maxsize=4096)
def _compiled(text: str) -> TemplateExpression | Template:
    environment = _environment(None)
    body = environment.parse(text).body
    parts = body[0].nodes if len(body) == 1 and isinstance(body[0], nodes.Output) else []
    is_expression = len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)
    bare = _BARE.fullmatch(text) if is_expression else None
    if not bare:
        return environment.from_string(text)
    return environment.compile_expression(bare[1], undefined_to_none=False)


def page(template: str, **names: object) -> str:
    """Render one of our own HTML templates; all values are escaped."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        loader=FileSystemLoader(own_templates()),
    )
    return environment.get_template(template).render(names)


@cache
def own_templates() -> Path:
    """Return the folder of our own templates: in the wheel or at the top of the source tree."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "templates"
    return packaged if packaged.is_dir() else package.parents[1] / "templates"


def mistake(fault: TemplateFaultError, place: Place | None) -> Mistake:
    """Return a fault as a mistake, placed in its own file if it has one."""
    spot = Place(fault.file, fault.line) if fault.file else place
    via = f" (in the variable '{fault.variable}')" if fault.variable else ""
    return Mistake(fault.code, fault.what + via, spot, fault.hint)


def _plain(value: object) -> object:
    """Return the value of an expression as plain types; raise if it is undefined."""
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined raises and names it
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, GeneratorType, range)):
        return [_plain(item) for item in value]
    return value


def _guess(message: str) -> str:
    found = _NO_FILTER.search(message)
    if not found:
        return ""
    environment = _environment(None)
    return nearest(found[2], environment.filters if found[1] == "filter" else environment.tests)


def _spot(error: Exception, path: Path) -> tuple[str, int]:
    """Return the file and line of a template that an error comes from."""
    if isinstance(error, TemplateSyntaxError) and error.filename:
        return error.filename, error.lineno
    calls = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in calls if Path(frame.f_code.co_filename) == path]
    return str(path), lines[-1] if lines else 0


def _to_json(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _to_bool(value: object) -> bool:
    """Ansible's `bool`, but an unknown word is an error instead of false."""
    text = str(value).lower()
    if text in ("true", "yes", "on", "1", "t", "y"):
        return True
    if text in ("false", "no", "off", "0", "f", "n", "none", ""):
        return False
    raise ValueError(f"{text!r} is neither true nor false")
