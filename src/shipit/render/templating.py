"""Fill templates in, strictly and in a sandbox. This module alone knows jinja2.

Promises that an undefined variable is an error that names it; that variables may refer to each
other, are rendered only when they are used, and a circle is told; that a value which is one
expression and nothing else (`"{{ port }}"`) keeps the type it has; and that a template can neither
reach Python's insides nor change what it is given. Knows nothing of playbooks.

What a text makes of a secret (a variable that ansible-vault had encrypted) is a Secret as a whole.

Of Ansible's filters there are those that jinja2 has and those of `ansiblefilters`.
"""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass
from functools import lru_cache
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
    from jinja2.environment import TemplateExpression

_SECRET = "secret-in-template"  # noqa: S105 - a code
_SECRET_WHAT = "this uses a variable that ansible-vault had encrypted"  # noqa: S105 - a sentence
_SECRET_WAY = 'secrets get into the environment alone: write `secrets: {NAME: "{{ variable }}"}`'  # noqa: S105
OWN = "shipit"  # the folder that our own templates are in, as seen from templates
_DEEPEST = 50  # variables that refer to each other in a row
_ASKED = "_variables"  # the key of a context that leads to the lazy variables
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
_BARE = re.compile(r"\{\{[-+]?(.*?)[-+]?\}\}", re.DOTALL)
_NO_FILTER = re.compile(r"No (filter|test) named '(\w+)'")
# What an expression in a template may do wrong, besides what jinja2 itself tells.
_WRONG = (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass
class TemplateFaultError(Exception):
    """A template can't be filled in.

    Attributes:
        code: template-undefined, template-syntax, template-failed, template-circle or
            secret-in-template.
        variable: the variable whose own value is at fault; "" where it is the template itself.
        line: in a template that is a file, from 1; 0 for unknown.
        file: of a template that is a file; it may be one that was included.
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
    """The variables that templates may use; each is rendered when it is first asked for."""

    def __init__(self, values: Mapping[str, object], secrets: Collection[str] = ()) -> None:
        """Args: values: may hold templates, which may use each other; secrets: names alone."""
        self._values = {**{name: _Hidden(name) for name in secrets}, **values}
        self._rendered: dict[str, object] = {}
        self._open: list[str] = []
        self._has_secret = False  # what is being filled in has asked for a secret

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> object:
        """Return a variable, rendered.

        Raises:
            TemplateFaultError: with `variable` set.
        """
        if name in self._rendered:
            return self._rendered[name]
        if isinstance(self._values[name], _Hidden):
            raise _secret_asked_for(name)
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

    def fill(self, value: object) -> object:
        """Return a value with all templates in it rendered, however deep; keys are left alone.

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
        """Return a value for a template to use; whatever it makes of a secret is one, too."""
        if isinstance(value, Secret):
            self._has_secret = True
            return value.reveal()
        if isinstance(value, dict):
            return {key: self.revealed(item) for key, item in value.items()}
        return [self.revealed(item) for item in value] if isinstance(value, list) else value

    def fill_text(self, text: str) -> object:
        """Return a text rendered; where it is one expression, what that evaluates to."""
        if "{" not in text:
            return text
        outer, self._has_secret = self._has_secret, False
        try:
            found = self._filled(text)
            return mapped(found, Secret) if self._has_secret else found
        except (TemplateError, *_WRONG) as error:
            raise _fault(error, self._values) from error
        finally:
            self._has_secret = outer

    def _filled(self, text: str) -> object:
        compiled = _compiled(text)
        if isinstance(compiled, _Expression):
            return _plain(compiled.evaluate({_ASKED: self}))
        return compiled.render({_ASKED: self})

    def fill_file(self, path: Path, extra: Mapping[str, object]) -> str:
        """Return a template file rendered, with some variables more.

        Raises:
            TemplateFaultError: with `file` and `line`.
        """
        try:
            template = _environment(path.parent).get_template(path.name)
            self._has_secret = False
            found = template.render({_ASKED: self, **extra})
            refuse_secret(Secret("") if self._has_secret else None)
            return found  # noqa: TRY300 - the check belongs to the rendering
        except TemplateFaultError as fault:
            fault.file, fault.line = _spot(fault, path)
            raise
        except (TemplateError, OSError, *_WRONG) as error:
            told = _fault(error, {**self._values, **extra})
            told.file, told.line = _spot(error, path)
            raise told from error


def refuse_secret(value: object) -> None:
    """Make sure that a rendered value shows no secret.

    Raises:
        TemplateFaultError: secret-in-template.
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, Secret):
        raise TemplateFaultError(_SECRET, _SECRET_WHAT, _SECRET_WAY)
    for item in inner:
        refuse_secret(item)


def opened(value: object) -> object:
    """Return a value out of its vault, as a Secret.

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


@dataclass(frozen=True)
class _Hidden:
    """Stands for a secret: its name is known, so that nobody is told to set it in `vars:`."""

    name: str


def _secret_asked_for(name: str) -> TemplateFaultError:
    what = f"'{name}' is one of `secrets:`: no template sees its value"
    hint = f"the services have it in their environment: read {name} there, or write ${name} in a"
    return TemplateFaultError("secret-in-template", what, f"{hint} service's `command:`")


def _fault(error: Exception, known: Mapping[str, object]) -> TemplateFaultError:
    match error:
        case UndefinedError():
            return _undefined(str(error), known)
        case TemplateNotFound():
            said = f"there is no template {error.name!r}"
        case TemplateSyntaxError():
            what = f"the template is wrong: {error.message}"
            return TemplateFaultError("template-syntax", what, _guess(str(error.message)))
        case UnicodeDecodeError():
            said = "the template is not UTF-8 text"
        case SecurityError():
            said = f"templates may not do this: {error}"
        case _:
            said = f"the template fails: {error}"
    return TemplateFaultError("template-failed", said)


def _undefined(said: str, known: Mapping[str, object]) -> TemplateFaultError:
    found = _UNDEFINED.search(said)
    if not found:
        return TemplateFaultError("template-undefined", said)
    own = [name for name in known if not name.startswith(_OF_INVENTORIES)]
    hint = (
        nearest(found[1], own)
        or nearest(found[1], known)
        or "set it in `vars:`, in the inventory or with -e"
    )
    what = f"the variable '{found[1]}' is undefined"
    return TemplateFaultError("template-undefined", what, hint)


@dataclass(frozen=True)
class _Expression:
    """A text that is one expression and nothing else."""

    compiled: TemplateExpression

    def evaluate(self, context: Mapping[str, object]) -> object:
        return self.compiled(context)


class _LazyContext(Context):
    """Asks the lazy variables for what it doesn't know itself."""

    def resolve_or_missing(self, key: str) -> Any:  # noqa: ANN401 - as jinja2 has it
        found = super().resolve_or_missing(key)
        if found is not missing and key not in self.globals_keys:
            return found
        variables = super().resolve_or_missing(_ASKED)
        if isinstance(variables, Variables) and key in variables:
            return variables.revealed(variables[key])
        return found


class _Environment(ImmutableSandboxedEnvironment):
    context_class = _LazyContext


# Compiling is pure and costs far more than rendering; the same texts are rendered for every host.
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
def _compiled(text: str) -> _Expression | Template:
    environment = _environment(None)
    body = environment.parse(text).body
    parts = body[0].nodes if len(body) == 1 and isinstance(body[0], nodes.Output) else []
    is_expression = len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData)
    bare = _BARE.fullmatch(text) if is_expression else None
    if not bare:
        return environment.from_string(text)
    return _Expression(environment.compile_expression(bare[1], undefined_to_none=False))


def page(template: str, **names: object) -> str:
    """Return one of our own templates of HTML, filled in; whatever is put into it is escaped."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        loader=FileSystemLoader(own_templates()),
    )
    return environment.get_template(template).render(names)


def own_templates() -> Path:
    """Return the folder of our own templates: in the wheel, or at the top of the source tree."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "templates"
    return packaged if packaged.is_dir() else package.parents[1] / "templates"


def mistake(fault: TemplateFaultError, place: Place | None) -> Mistake:
    """Return a fault as a mistake; its own file is the better place, where it has one."""
    spot = Place(fault.file, fault.line) if fault.file else place
    via = f" (in the variable '{fault.variable}')" if fault.variable else ""
    return Mistake(fault.code, fault.what + via, spot, fault.hint)


def _plain(value: object) -> object:
    """Return what an expression gave as plain values, and make sure that it is defined."""
    if isinstance(value, Undefined):
        return str(value)  # a strict one raises, and says what is undefined
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, GeneratorType, range)):
        return [_plain(item) for item in value]
    return value


def _guess(said: str) -> str:
    found = _NO_FILTER.search(said)
    if not found:
        return ""
    environment = _environment(None)
    return nearest(found[2], environment.filters if found[1] == "filter" else environment.tests)


def _spot(error: Exception, path: Path) -> tuple[str, int]:
    """Return the file and line of a template that an error comes from."""
    if isinstance(error, TemplateSyntaxError) and error.filename:
        return error.filename, error.lineno
    return str(path), _line_of(error, path)


def _line_of(error: Exception, path: Path) -> int:
    lines = [
        line or 0
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename) == path
    ]
    return lines[-1] if lines else 0


def _to_json(value: object) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _to_bool(value: object) -> bool:
    """Ansible's `bool`, but for what it silently takes for false."""
    text = str(value).lower()
    if text in ("true", "yes", "on", "1", "t", "y"):
        return True
    if text in ("false", "no", "off", "0", "f", "n", "none", ""):
        return False
    raise ValueError(f"{text!r} is neither true nor false")
