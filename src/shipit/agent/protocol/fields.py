"""What a field of a message may contain, beyond its type. Checked when a message is read.

    release: str = field(metadata=RELEASE)
    outcome: str = field(metadata=one_of("committed", "rolled_back"))

A text that becomes a path, an argument or a key on the other side is restricted here, so that no
code behind `codec.from_json` needs to check it again. Free text is not: it is escaped for display.
"""

import re
from typing import Any, Callable, Mapping

Check = Callable[[Any], bool]
CHECK = "check"  # the key in a field's metadata
LONGEST = 366 * 24 * 3600.0  # seconds
_RELEASE = r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,199}"


def matching(pattern: str) -> Mapping[str, Check]:
    """Return the metadata of a text that fully matches this pattern."""
    # Compiled on first use: most sessions use few of the messages.
    return {CHECK: lambda value: re.fullmatch(pattern, value) is not None}


def one_of(*words: str) -> Mapping[str, Check]:
    """Return the metadata of a field with one of these values."""
    return {CHECK: frozenset(words).__contains__}


def each_matching(pattern: str) -> Mapping[str, Check]:
    """Return the metadata of a list whose items match this pattern."""
    return {CHECK: lambda value: all(re.fullmatch(pattern, item) for item in value)}


def keys_matching(pattern: str) -> Mapping[str, Check]:
    """Return the metadata of a mapping whose keys match this pattern."""
    return {CHECK: lambda value: all(re.fullmatch(pattern, key) for key in value)}


RELEASE = matching(_RELEASE)  # an id: one name below releases/
RELEASE_OR_NONE = matching(rf"({_RELEASE})?")
RELEASES = each_matching(_RELEASE)
TXN = matching(r"[A-Za-z0-9-]{1,64}")
TXN_OR_NONE = matching(r"[A-Za-z0-9-]{0,64}")
# Units named shipit-<app> drive the deploys of other apps.
APP = matching(r"(?!shipit(-|$))[a-z][a-z0-9-]{0,30}")
SERVICES = each_matching(r"[a-z][a-z0-9-]{0,30}")
HEX = matching(r"([0-9a-f]{2}){0,64}")
WORD = matching(r"[a-z][a-z0-9-]{0,63}")  # kebab-case: a code, a type of run
FILE_NAME = matching(r"(?!\.\.?$)[^/\x00-\x1f\x7f]{1,255}")
PATH = matching(r"/[^\x00-\x1f\x7f]{0,4095}")
# A path in a release, or none.
INSIDE = matching(r"((?!\.\.?(/|$))[^/\x00-\x1f\x7f]+(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)*)?")
PATHS_INSIDE = keys_matching(r"(?!/)[^\x00-\x1f\x7f]{1,4095}")  # in a release; staging does more
SHA256 = matching(r"[0-9a-f]{64}")
PYTHON_PROGRAM = r"bin/python3\.[0-9]{1,3}"  # in an interpreter's archive: venvs are made by it
PROGRAM = matching(PYTHON_PROGRAM)
PYTHON = matching(r"[0-9]{1,4}\.[0-9]{1,4}[0-9A-Za-z.+-]{0,64}")
# The format of every controller, so that two times compare as text.
UTC = matching(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\+00:00|Z)"
)
SECONDS: Mapping[str, Check] = {CHECK: lambda value: 0 <= value <= LONGEST}
COUNT: Mapping[str, Check] = {CHECK: lambda value: value >= 0}
