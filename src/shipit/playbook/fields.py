"""The types of a playbook's values: how each is parsed, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationInfo, WithJsonSchema

from shipit.agent.protocol.hooks import ON_HOST
from shipit.agent.protocol.manifest import REPORT, ROLLBACK
from shipit.playbook import calendars, headers, parsers, paths
from shipit.playbook.fleet import canaries, limits, windows
from shipit.secrets import Secret, SecretUrl, Unopened

# The keys that name files of this machine: a deploy needs these files, a rollback does not.
TEMPLATES = frozenset({"unit", "src", "signers"})  # kept beside the playbook
EVERY_FILE = TEMPLATES | {"wheel", "lock", "wheelhouse", "path"}


@dataclass(frozen=True)
class ReadContext:
    """A playbook's folder, and the keys whose files must exist."""

    folder: Path
    must_exist: Collection[str]


def _local(read: Callable[..., Path]) -> Callable[[object, ValidationInfo], Path]:
    """Return a parser of paths on this machine, for a playbook of some folder."""

    def parse(value: object, info: ValidationInfo) -> Path:
        here: ReadContext = info.context  # type: ignore[assignment] # given by `validate`
        return read(value, here.folder, must_exist=info.field_name in here.must_exist)

    return parse


@dataclass(frozen=True, eq=False)  # pydantic needs its hash, and a schema has none
class FieldType:
    """How a value is parsed, and the JSON Schema of its input."""

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
_RESTARTS = {"enum": [*parsers.RESTARTS, False]}

Name = Annotated[str, FieldType(parsers.name, _NAME)]
AppName = Annotated[str, FieldType(parsers.app_name, _NAME)]
GroupName = Annotated[str, FieldType(parsers.group_name, _TEXT)]
UserName = Annotated[str, FieldType(parsers.user_name, _TEXT)]
Line = Annotated[str, FieldType(parsers.line, _TEXT)]
Text = Annotated[str, FieldType(parsers.text, _TEXT)]
Count = Annotated[int, FieldType(parsers.count, {"type": "integer", "minimum": 1})]
CountOrZero = Annotated[int, FieldType(limits.count_or_zero, {"type": "integer", "minimum": 0})]
CountOrShare = Annotated[int | str, FieldType(limits.count_or_share, _TEXT_OR_WHOLE)]
Instances = Annotated[
    int, FieldType(parsers.instances, {"type": "integer", "minimum": 1, "maximum": 64})
]
HttpStatus = Annotated[int, FieldType(parsers.http_status, _STATUS)]
Percentage = Annotated[float, FieldType(limits.percentage, _TEXT_OR_NUMBER)]
Duration = Annotated[float, FieldType(parsers.duration, _TEXT_OR_NUMBER)]
DurationOrZero = Annotated[float, FieldType(parsers.duration_or_zero, _TEXT_OR_NUMBER)]
FreezeWindow = Annotated[windows.Window, FieldType(windows.window, _TEXT)]
TimeZone = Annotated[ZoneInfo, FieldType(windows.zone, _TEXT)]
Batches = Annotated[tuple[int | str, ...], FieldType(limits.batches, _BATCHES)]
CanaryHosts = Annotated[int | str | tuple[str, ...], FieldType(canaries.hosts, _BATCHES)]
Number = Annotated[float, FieldType(canaries.number, {"type": "number"})]
Times = Annotated[float, FieldType(canaries.times, {"type": "number", "exclusiveMinimum": 0})]
PrometheusUrl = Annotated[str, FieldType(canaries.server, _TEXT)]
OnTimeout = Annotated[
    str,
    FieldType(
        parsers.one_of("stop", "rollback", "promote"), {"enum": ["stop", "rollback", "promote"]}
    ),
]
BundleUrl = Annotated[
    SecretUrl, FieldType(paths.bundle_url, {**_TEXT, "pattern": "^[a-z][a-z0-9+.-]*://"})
]
Specifier = Annotated[str, FieldType(parsers.python_specifier, _TEXT)]
PythonSource = Annotated[
    str, FieldType(parsers.one_of("host", "bundle"), {"enum": ["host", "bundle"]})
]
Restart = Annotated[str, FieldType(parsers.restart, _RESTARTS)]
FileMode = Annotated[int, FieldType(parsers.file_mode, _MODE)]
Root = Annotated[str, FieldType(paths.root, {**_TEXT, "pattern": "^/"})]
WorkDirectory = Annotated[str, FieldType(paths.work_directory, _TEXT)]
Destination = Annotated[str, FieldType(paths.destination, _TEXT)]
AssetsFolder = Annotated[str, FieldType(paths.assets_folder, _TEXT)]
File = Annotated[Path, FieldType(_local(paths.local_file), _TEXT)]
OneFile = Annotated[Path, FieldType(_local(paths.the_one_file), _TEXT)]
Directory = Annotated[Path, FieldType(_local(paths.local_folder), _TEXT)]
Command = Annotated[str, FieldType(parsers.command, _TEXT)]
Serve = Annotated[str, FieldType(parsers.serve, _TEXT)]
StopSignal = Annotated[str, FieldType(parsers.stop_signal, {"enum": [*parsers.STOP_SIGNALS]})]
Words = Annotated[str, FieldType(parsers.words, _TEXT)]
Calendar = Annotated[str, FieldType(calendars.calendar, _TEXT)]
Listen = Annotated[str, FieldType(paths.socket_address, _TEXT_OR_WHOLE)]
TcpAddress = Annotated[str, FieldType(paths.tcp_address, _TEXT_OR_WHOLE)]
UnixAddress = Annotated[str, FieldType(paths.unix_address, _TEXT)]
Url = Annotated[str, FieldType(paths.url, _TEXT)]
JsonFields = Annotated[Mapping[str, object], FieldType(parsers.json_fields, {"type": "object"})]
HostName = Annotated[str, FieldType(headers.host, _TEXT)]
Header = Annotated[str, FieldType(headers.name, _TEXT)]
HeaderValue = Annotated[str, FieldType(headers.value, _TEXT_OR_WHOLE)]
Sha256 = Annotated[str, FieldType(parsers.sha256, {**_TEXT, "pattern": "^[0-9a-f]{64}$"})]
Variable = Annotated[str, FieldType(parsers.variable, _TEXT)]
VarName = Annotated[str, FieldType(parsers.template_variable, _TEXT)]
EnvValue = Annotated[str, FieldType(parsers.env_value, _TEXT_OR_WHOLE)]
Reference = Annotated[str | Secret | Unopened, FieldType(parsers.secret_reference, _REFERENCE)]
Directive = Annotated[str, FieldType(parsers.directive, _TEXT)]
DirectiveValue = Annotated[bool | str, FieldType(parsers.directive_value, _SWITCH_OR_TEXT)]
Handover = Annotated[str, FieldType(parsers.handover, {"enum": [*parsers.HANDOVERS]})]
Flag = Annotated[bool, FieldType(parsers.flag, {"type": "boolean"})]
_HOOK_POINTS = ("before_stage", *ON_HOST)
HookPoint = Annotated[str, FieldType(parsers.one_of(*_HOOK_POINTS), {"enum": [*_HOOK_POINTS]})]
_HOOK_RUNS = ("each", "once", "controller")
HookRun = Annotated[str, FieldType(parsers.one_of(*_HOOK_RUNS), {"enum": [*_HOOK_RUNS]})]
_ON_FAILURE = (REPORT, ROLLBACK)
OnFailure = Annotated[str, FieldType(parsers.one_of(*_ON_FAILURE), {"enum": [*_ON_FAILURE]})]
Pause = Annotated[float, FieldType(parsers.pause, _TEXT_OR_NUMBER)]
Confirm = Annotated[str, FieldType(parsers.confirm, {"enum": ["controller", "host"]})]
Transfer = Annotated[str, FieldType(parsers.transfer, {"enum": ["push", "pull"]})]
Installer = Annotated[Literal["uv", "pip"], FieldType(parsers.installer, {"enum": ["uv", "pip"]})]


class Model(BaseModel):
    """The base of all mappings of a playbook: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
