"""Parse the ssh arguments of Ansible's variables as ssh does.

As in ssh, the first of several values of an option counts (keys add up). An argument that shipit
can't follow is reported with a hint.
"""

from __future__ import annotations

import re
import shlex
import string
from dataclasses import dataclass, field
from getopt import GetoptError, gnu_getopt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLLOWED = {"proxyjump", "proxycommand", "port", "user", "identityfile"}
_LETTERS = {"-J": "proxyjump", "-p": "port", "-l": "user", "-i": "identityfile"}
JUMPS = {"proxyjump", "proxycommand"}  # they count as one option
# Forwarding, terminals, verbosity, and connection sharing: shipit has one connection per host, kept
# alive, and nothing on the host needs an agent or a display.
_WITHOUT_MEANING = {
    *("controlmaster", "controlpersist", "controlpath", "compression", "forwardagent", "batchmode"),
    *("serveraliveinterval", "serveralivecountmax", "tcpkeepalive", "loglevel", "requesttty"),
    *("preferredauthentications", "connecttimeout", "connectionattempts", "gssapiauthentication"),
    *("forwardx11", "updatehostkeys", "checkhostip", "hashknownhosts"),
}
_FLAGS_WITHOUT_MEANING = "CqvtTxXYaAnkK"
_WITH_VALUE = "BbcDEeIFLmOQRSWwJpilo"
_FORM = "".join(c + ":" * (c in _WITH_VALUE) for c in string.ascii_letters + string.digits)
_CONFIG = "write it to ~/.ssh/config for this host, which shipit reads"
_HINTS = {
    "stricthostkeychecking": (
        "host keys are always checked: set shipit_host_key to the host's public key"
    ),
    "userknownhostsfile": (
        "host keys are always checked: write it to ~/.ssh/config, or set shipit_host_key"
    ),
    "-F": "shipit reads ~/.ssh/config alone: Include the file there",
}


@dataclass(frozen=True)
class SshArguments:
    """Parsed ssh arguments.

    Attributes:
        options: by name in lower case; of ProxyJump and ProxyCommand the first one given.
        keys: files of private keys, in order.
        refused: options that shipit can't follow, each with a hint.
    """

    options: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def jumps(self) -> bool:
        return bool(JUMPS & self.options.keys())


def parse(text: str) -> SshArguments:
    """Read arguments as ssh does.

    Raises:
        ValueError: the words can't be distinguished, or a value is missing.
    """
    taken: dict[str, str] = {}
    keys: list[str] = []
    refused: list[tuple[str, str]] = []
    for option, value in _options(shlex.split(text)):
        if option == "identityfile":
            keys.append(value)
        elif option in _FOLLOWED:
            rivals = JUMPS if option in JUMPS else {option}
            if not rivals & taken.keys():
                taken[option] = value
        elif option not in _WITHOUT_MEANING:
            refused.append((option, _HINTS.get(option, _CONFIG)))
    return SshArguments(taken, tuple(keys), tuple(refused))


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield options in lower case with their values; a word that is no option as it is."""
    try:
        options, others = gnu_getopt([word for word in words if word[:2] != "--"], _FORM)
    except GetoptError as error:
        raise ValueError(f"-{error.opt} needs a value") from error
    for letter, value in options:
        if letter[1] in _WITH_VALUE and not value:
            raise ValueError(f"{letter} needs a value")
        if letter == "-o":  # Name=value or Name value
            name, _, setting = re.sub(r"\s*=\s*|\s+", "=", value.strip(), count=1).partition("=")
            yield name.lower(), setting.strip('"')
        elif letter[1] not in _FLAGS_WITHOUT_MEANING:
            yield _LETTERS.get(letter, letter), value
    yield from ((word, "") for word in words if word in others or word[:2] == "--")
