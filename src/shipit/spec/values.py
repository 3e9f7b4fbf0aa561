"""The types of a playbook's values: how each is read, and what the JSON Schema says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationInfo, WithJsonSchema

from shipit.secret import Secret, Unopened
from shipit.spec import calendars, headers, places, words


@dataclass(frozen=True)
class Surroundings:
    """Where a playbook lies, and whether the files that it names must be there."""

    folder: Path
    must_exist: bool


def _file(value: object, info: ValidationInfo) -> Path:
    here: Surroundings = info.context  # type: ignore[assignment] # given by `validate`
    return places.local_file(value, here.folder, must_exist=here.must_exist)


def _one_file(value: object, info: ValidationInfo) -> Path:
    here: Surroundings = info.context  # type: ignore[assignment] # given by `validate`
    return places.the_one_file(value, here.folder, must_exist=here.must_exist)


def _directory(value: object, info: ValidationInfo) -> Path:
    here: Surroundings = info.context  # type: ignore[assignment] # given by `validate`
    return places.local_folder(value, here.folder, must_exist=here.must_exist)


@dataclass(frozen=True, eq=False)  # pydantic needs its hash, and a schema has none
class Takes:
    """How a value is read, and what the JSON Schema says of what people write."""

    read: Callable[..., object]
    schema: dict[str, Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401
        annotated = Annotated[Any, PlainValidator(self.read), WithJsonSchema(self.schema)]
        return handler.generate_schema(annotated)


_TEXT: dict[str, Any] = {"type": "string"}
_TEXT_OR_WHOLE: dict[str, Any] = {"type": ["string", "integer"]}
_TEXT_OR_NUMBER: dict[str, Any] = {"type": ["string", "number"]}
_BATCHES = {"anyOf": [_TEXT_OR_WHOLE, {"type": "array", "items": _TEXT_OR_WHOLE, "minItems": 1}]}
_SWITCH_OR_TEXT = {"type": ["boolean", "string"]}
_STATUS = {"type": "integer", "minimum": 100, "maximum": 599}
_NAME = {**_TEXT, "pattern": "^[a-z][a-z0-9-]{0,30}$"}
_MODE = {**_TEXT, "pattern": "^0?[0-7]{3}$"}
_REFERENCE = {**_TEXT, "pattern": "^(env|file|command):."}
_RESTARTS = {"enum": [*words.RESTARTS, False]}

Name = Annotated[str, Takes(words.name, _NAME)]
AppName = Annotated[str, Takes(words.app_name, _NAME)]
GroupName = Annotated[str, Takes(words.group_name, _TEXT)]
UserName = Annotated[str, Takes(words.user_name, _TEXT)]
Line = Annotated[str, Takes(words.line, _TEXT)]
Text = Annotated[str, Takes(words.text, _TEXT)]
Count = Annotated[int, Takes(words.count, {"type": "integer", "minimum": 1})]
Instances = Annotated[int, Takes(words.instances, {"type": "integer", "minimum": 1, "maximum": 64})]
HttpStatus = Annotated[int, Takes(words.http_status, _STATUS)]
Percentage = Annotated[float, Takes(words.percentage, _TEXT_OR_NUMBER)]
Duration = Annotated[float, Takes(words.duration, _TEXT_OR_NUMBER)]
DurationOrZero = Annotated[float, Takes(words.duration_or_zero, _TEXT_OR_NUMBER)]
Batches = Annotated[tuple[int | str, ...], Takes(words.batches, _BATCHES)]
Specifier = Annotated[str, Takes(words.python_specifier, _TEXT)]
Restart = Annotated[str, Takes(words.restart, _RESTARTS)]
FileMode = Annotated[int, Takes(words.file_mode, _MODE)]
Root = Annotated[str, Takes(places.root, {**_TEXT, "pattern": "^/"})]
WorkDirectory = Annotated[str, Takes(places.work_directory, _TEXT)]
Destination = Annotated[str, Takes(places.destination, _TEXT)]
File = Annotated[Path, Takes(_file, _TEXT)]
OneFile = Annotated[Path, Takes(_one_file, _TEXT)]
Directory = Annotated[Path, Takes(_directory, _TEXT)]
Command = Annotated[str, Takes(words.command, _TEXT)]
Words = Annotated[str, Takes(words.words, _TEXT)]
Calendar = Annotated[str, Takes(calendars.calendar, _TEXT)]
Listen = Annotated[str, Takes(places.socket_address, _TEXT_OR_WHOLE)]
TcpAddress = Annotated[str, Takes(places.tcp_address, _TEXT_OR_WHOLE)]
UnixAddress = Annotated[str, Takes(places.unix_address, _TEXT)]
Url = Annotated[str, Takes(places.url, _TEXT)]
JsonFields = Annotated[Mapping[str, object], Takes(words.json_fields, {"type": "object"})]
HostName = Annotated[str, Takes(headers.host, _TEXT)]
Header = Annotated[str, Takes(headers.name, _TEXT)]
HeaderValue = Annotated[str, Takes(headers.value, _TEXT_OR_WHOLE)]
Variable = Annotated[str, Takes(words.variable, _TEXT)]
VarName = Annotated[str, Takes(words.template_variable, _TEXT)]
EnvValue = Annotated[str, Takes(words.env_value, _TEXT_OR_WHOLE)]
Reference = Annotated[str | Secret | Unopened, Takes(words.secret_reference, _REFERENCE)]
Directive = Annotated[str, Takes(words.directive, _TEXT)]
DirectiveValue = Annotated[bool | str, Takes(words.directive_value, _SWITCH_OR_TEXT)]
Handover = Annotated[str, Takes(words.handover, {"enum": [*words.HANDOVERS]})]
Switch = Annotated[bool, Takes(words.switch, {"type": "boolean"})]
Confirm = Annotated[str, Takes(words.confirm, {"enum": ["controller", "host"]})]
Installer = Annotated[Literal["uv", "pip"], Takes(words.installer, {"enum": ["uv", "pip"]})]


class Model(BaseModel):
    """What all mappings of a playbook have in common: they are frozen, and know all their keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
