"""Parse single values of a playbook: names, numbers, durations, commands.

Pure. Each function takes a value from YAML or a template and returns the typed value, or raises
`InvalidValueError` with what was expected instead. The caller knows its key and place.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from shipit.agent.protocol.manifest import OVERLAP, RESTART
from shipit.errors import nearest
from shipit.playbook.shell import NO_SHELL, shell_word
from shipit.secrets import KINDS, Secret, Unopened
from shipit.servers.serving import SERVED

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS_OF_TIME = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}  # in seconds
LONGEST = 24 * 3600.0  # seconds; a longer wait is a typing error
RESTARTS = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
HANDOVERS = (OVERLAP, RESTART)
STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
OWN_UNITS = "shipit-"  # shipit-<app>.service runs the transactions of an app
TAKEN_APPS = ("shipit", "systemd", "dbus")  # they would collide with units and folders of others
RESERVED = ("app", "root", "user", "release", "inventory_hostname", "group_names")
# What systemd.exec(5) lists under sandboxing and the like; the defaults are in templates/.
HARDENING = (
    *("AmbientCapabilities", "CacheDirectory", "CapabilityBoundingSet", "DeviceAllow"),
    *("DevicePolicy", "InaccessiblePaths", "IPAddressAllow", "IPAddressDeny", "KeyringMode"),
    *("LimitCORE", "LimitNOFILE", "LimitNPROC", "LockPersonality", "LogsDirectory"),
    *("MemoryDenyWriteExecute", "MemoryMax", "NoExecPaths", "NoNewPrivileges", "PrivateDevices"),
    *("PrivateIPC", "PrivateMounts", "PrivateNetwork", "PrivateTmp", "PrivateUsers", "ProcSubset"),
    *("ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname"),
    *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc"),
    *("ProtectSystem", "ReadOnlyPaths", "ReadWritePaths", "RemoveIPC", "RestrictAddressFamilies"),
    *("RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "RuntimeDirectory"),
    *("SecureBits", "StateDirectory", "SupplementaryGroups", "SystemCallArchitectures"),
    *("SystemCallErrorNumber", "SystemCallFilter", "TasksMax", "TemporaryFileSystem", "UMask"),
)

_TEMPLATE = re.compile(r"\{\{|\{%|\{#")
_USER = r"[a-z_][a-z0-9_-]{0,30}"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z/][^{}#,]*(?<![: ])")
_SPECIFIER = re.compile(r"(~=|==|!=|<=|>=|<|>)\s*\d+(\.\d+)*(\.\*)?")
_VERSION = re.compile(r"3\.\d+(\.\d+)?")
_PROGRAM = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9._/+-]*")  # none of systemd's prefixes
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_DIGITS = 20  # of a whole number; Python refuses to read one of more than 4300
_CUT = 60  # characters of a value that an error shows


class InvalidValueError(ValueError):
    """A value is not what its key takes.

    Attributes:
        expected: what would be valid, to be read after "expected".
        value: the wrong value; of a list, the wrong item.
    """

    def __init__(self, expected: str, value: object) -> None:
        super().__init__(f"expected {expected}")
        self.expected, self.value = expected, value


def is_template(value: object) -> bool:
    """Whether a value is known only after its template is rendered."""
    return isinstance(value, str) and bool(_TEMPLATE.search(value))


def shown(value: object) -> str:
    """Return a value as it is shown in an error."""
    if isinstance(value, str):
        return repr(_short(value))
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, (int, float)):
        try:
            return f"{_short(str(value))} (a number)"
        except ValueError:  # Python refuses to write more than 4300 digits
            return "one of thousands of digits (a number)"
    if isinstance(value, (list, tuple, dict)):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    return "nothing" if value is None else f"{value} (a {type(value).__name__})"


def _short(text: str) -> str:
    return text if len(text) <= _CUT else text[: _CUT - 3] + "..."


def written(value: object) -> str:
    """Return a value in YAML syntax, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, str) and (_DURATION.fullmatch(value) or _NEEDS_NO_QUOTES.fullmatch(value)):
        return value
    return json.dumps(value)


# --- texts -------------------------------------------------------------------------------------


def matching(pattern: str, expected: str) -> Callable[[object], str]:
    """Return a parser of texts that match a pattern as a whole."""
    form = re.compile(pattern)

    def parse(value: object) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise InvalidValueError(expected, value)
        return value

    return parse


def one_of(*words: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in words:
            several = f"one of {', '.join(words)}"
            raise InvalidValueError(several if words[2:] else " or ".join(words), value)
        return str(value)

    return parse


text = matching(r"(?s).*", "text (put it in quotes)")
name = matching(
    r"[a-z][a-z0-9-]{0,30}",
    "a name of a-z, 0-9 and -, that begins with a letter, at most 31 characters",
)
user_name = matching(_USER, "the name of a system user (a-z, 0-9, _ and -)")
group_name = matching(_USER, "the name of a system group (a-z, 0-9, _ and -)")
variable = matching("[A-Za-z_][A-Za-z0-9_]*", "a variable's name of letters, digits and _")
handover = one_of(*HANDOVERS)
stop_signal = one_of(*STOP_SIGNALS)
installer = one_of("uv", "pip")
confirm = one_of("controller", "host")
transfer = one_of("push", "pull")


def line(value: object) -> str:
    """One line that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidValueError("text that isn't empty", value)
    if _breaks_a_line(value.strip()):
        raise InvalidValueError(
            "one line without control characters, not ended by a backslash", value
        )
    return value.strip()


def app_name(value: object) -> str:
    if value in TAKEN_APPS:
        raise InvalidValueError(f"another name: {value} is the name of a part of the system", value)
    if isinstance(value, str) and value.startswith(OWN_UNITS):
        raise InvalidValueError(f"another name: units called {OWN_UNITS}* are shipit's own", value)
    return name(value)


def template_variable(value: object) -> str:
    if value in RESERVED:
        raise InvalidValueError(
            f"another name: {value} has a meaning of its own in templates", value
        )
    return variable(value)


def env_value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InvalidValueError("text or a whole number (put anything else in quotes)", value)
    return value


def secret_reference(value: object) -> str | Secret | Unopened:
    if isinstance(value, (Secret, Unopened)):  # a template's, of a variable in ansible-vault
        return value
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind not in KINDS or not rest.strip():
        raise InvalidValueError("a reference: env:NAME, file:PATH or command:ARGV", value)
    return f"{kind}:{rest.strip()}"


def whole(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        is_number = isinstance(value, str) and value.isdecimal() and len(value) <= _DIGITS
        number = int(str(value)) if is_number else value
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise InvalidValueError(f"a whole number from {least} to {most}", value)
        return number

    return parse


count = whole(1, 1000)
http_status = whole(100, 599)
instances = whole(1, 64)


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValueError("true or false", value)
    return value


def duration(value: object) -> float:
    """Return seconds; more than zero and at most a day."""
    seconds = duration_or_zero(value)
    if not seconds:
        raise InvalidValueError(
            "a duration that is longer than zero, such as 250ms, 30s or 5m", value
        )
    return seconds


def pause(value: object) -> float:
    """Return seconds; at least one."""
    seconds = duration_or_zero(value)
    if seconds < 1:
        raise InvalidValueError("a duration of at least 1s, such as 30s or 5m", value)
    return seconds


def duration_or_zero(value: object) -> float:
    """Return seconds; at most a day."""
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value) if -LONGEST <= value <= LONGEST else None  # an int may be huge
    elif isinstance(value, str):
        found = _DURATION.fullmatch(value.strip())
        seconds = float(found[1]) * UNITS_OF_TIME[found[2]] if found else None
    if seconds is None or not 0 <= seconds <= LONGEST:
        raise InvalidValueError("a duration such as 250ms, 30s, 5m or 1h, at most 24h", value)
    return seconds


def python_specifier(value: object) -> str:
    """Which Pythons: a specifier, or a version whose patches all count if it names none."""
    if isinstance(value, str) and _VERSION.fullmatch(value):
        return f"=={value}" if value.count(".") > 1 else f"=={value}.*"
    parts = value.split(",") if isinstance(value, str) else []
    if not parts or not all(_SPECIFIER.fullmatch(part.strip()) for part in parts):
        expected = 'a version such as "3.13", in quotes, or a specifier such as ">=3.11,<3.14"'
        raise InvalidValueError(expected, value)
    return ",".join(part.strip() for part in parts)


def restart(value: object) -> str:
    if value is False:  # YAML 1.1 reads a bare `no` as False
        return "no"
    if value not in RESTARTS:
        raise InvalidValueError(f"one of systemd's: {', '.join(RESTARTS)}", value)
    return str(value)


def file_mode(value: object) -> int:
    if isinstance(value, int):
        raise InvalidValueError(
            'a mode in quotes, such as "0640" (without them YAML reads it as 416)', value
        )
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}", value):
        raise InvalidValueError(
            'an octal mode in quotes, such as "0640", without special bits', value
        )
    return int(value, 8)


def command(value: object) -> str:
    """A service's command, on one line: the first word is a program, the rest systemd's syntax."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidValueError("a command", value)
    joined = re.sub(r"\s*\n\s*", " ", value.strip())
    program = joined.split(maxsplit=1)[0]
    if _breaks_a_line(joined):
        raise InvalidValueError("no control characters, and no backslash at the end", value)
    if _ASSIGNMENT.match(program):
        raise InvalidValueError("a program first; variables belong in `env:`", value)
    if shell := shell_word(joined):
        raise InvalidValueError(f"a command without {shell!r}: {NO_SHELL}", value)
    if not _PROGRAM.fullmatch(program):
        raise InvalidValueError(
            "a command whose first word is a program's plain name or path", value
        )
    if "/" in program and not program.startswith("/"):
        raise InvalidValueError("a program of the release's venv/bin, or an absolute path", value)
    return joined


def serve(value: object) -> str:
    """A server and its arguments: a command whose program is known."""
    line = command(value)
    server = line.partition(" ")[0]
    if server not in SERVED:
        guess = nearest(server, SERVED)
        expected = "a server that is known, and its arguments"
        raise InvalidValueError(expected + (f" ({guess})" if guess else ""), value)
    return line


def words(value: object) -> str:
    """A command that is run without a shell: shlex.split returns its words."""
    try:
        found = shlex.split(value) if isinstance(value, str) else []
    except ValueError as error:
        raise InvalidValueError(f"a command whose quotes are closed ({error})", value) from error
    if not found or not found[0]:
        raise InvalidValueError("a command", value)
    if has_control(str(value).replace("\n", " ").replace("\t", " ")):  # lines of `sh -c '...'`
        raise InvalidValueError("a command without control characters", value)
    if shell := shell_word(str(value).strip()):
        raise InvalidValueError(f"a command without {shell!r}: {NO_SHELL}", value)
    return str(value).strip()


def json_fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        raise InvalidValueError("a mapping of the fields that must be in the answer", value)
    _refuse_no_json(value)
    return value


def _refuse_no_json(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidValueError("keys that are text (put them in quotes)", key)
            _refuse_no_json(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_no_json(item)
    elif value is not None and not isinstance(value, (bool, int, float, str)):
        raise InvalidValueError("values that JSON has (put dates in quotes)", value)


def directive(value: object) -> str:
    """The name of a systemd directive that confines a service."""
    if value not in HARDENING:
        guess = nearest(str(value), HARDENING)
        expected = "a directive of systemd.exec(5) that confines a service"
        raise InvalidValueError(expected + (f" ({guess})" if guess else ""), value)
    return str(value)


def directive_value(value: object) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or _breaks_a_line(value):
        raise InvalidValueError(
            "true, false (removes it), or the directive's value in quotes", value
        )
    return value


def has_control(value: str) -> bool:
    return any(ord(character) < ord(" ") or character == "\x7f" for character in value)


def _breaks_a_line(value: str) -> bool:
    """Whether a value would end its line of a unit, or continue it on the next one."""
    return has_control(value) or value.endswith("\\")


def sha256(value: object) -> str:
    """The digest of a file."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value
    raise InvalidValueError("a sha256 of 64 hexadecimal digits in lower case", value)
