r"""Write the env files that systemd reads (EnvironmentFile= of systemd.exec(5)).

The service gets exactly the given values, or there is an error that names the variable. The grammar
written here is a subset of systemd's (src/basic/env-file.c):

    file  = *( key "=" DQUOTE *( plain / escape ) DQUOTE LF )
    escape = "\" ( DQUOTE / "\" / "$" / "`" )
    plain = any other character; a newline or tab stands for itself

systemd expands nothing in such a file. It rejects the whole file for one character that is not a
valid Unicode scalar, and versions before 247 drop a variable with a control character: both are
rejected here, as are values that the kernel can't pass on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shipit.errors import InputError, Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.secrets import Secret

LONGEST = 128 * 1024 - 1  # bytes of KEY=value: the kernel's MAX_ARG_STRLEN, with its NUL
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPED = re.compile(r'(["\\$`])')
_KEPT_CONTROLS = "\t\n"
_DELETE = 0x7F
_FIRST_PLAIN = 0x20
_NONCHARACTERS = range(0xFDD0, 0xFDF0)  # and the last two of each plane: Unicode, chapter 23.7


def env_file(values: Mapping[str, str | Secret]) -> str:
    """Return the text of an env file; it contains the secrets unmasked.

    Raises:
        InputError: env-value, for every variable that systemd can't pass on.
    """
    plain = {key: revealed(value) for key, value in values.items()}
    mistakes = [
        Mistake("env-value", f"the environment variable {key} {fault}", hint=hint)
        for key, value in plain.items()
        for fault, hint in faults(key, value)
    ]
    if mistakes:
        raise InputError(*mistakes)
    escaped = {key: _ESCAPED.sub(r"\\\1", value) for key, value in plain.items()}
    return "".join(f'{key}="{value}"\n' for key, value in escaped.items())


def revealed(value: str | Secret) -> str:
    return value if isinstance(value, str) else value.reveal()


def faults(key: str, value: str) -> list[tuple[str, str]]:
    """Return what is wrong with a variable, and a hint; never shows the value."""
    if not _KEY.fullmatch(key):
        return [("has a name that isn't letters, digits and _", "")]
    for position, character in enumerate(value, start=1):
        if why := _refused(character):
            code = f"U+{ord(character):04X}"
            what = f"holds {why} ({code}, character {position})"
            return [(what, "encode it, for example in base64")]
    size = len(f"{key}={value}".encode())
    if size > LONGEST:
        return [(f"has {size} bytes; Linux takes {LONGEST}", "use a file instead (`files:`)")]
    return []


def _refused(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the surrogates of UTF-16
        return "a lone surrogate"
    if code in _NONCHARACTERS or code & 0xFFFE == 0xFFFE:  # noqa: PLR2004 - see _NONCHARACTERS
        return "a noncharacter"
    if (code < _FIRST_PLAIN and character not in _KEPT_CONTROLS) or code == _DELETE:
        return "a control character"
    return ""
