"""Parse the ssh arguments of Ansible's variables as ssh does.

As in ssh, the first of several values of an option counts (keys add up). An argument that shipit
can't follow is reported with a hint.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLLOWED = {"proxyjump", "proxycommand", "port", "user", "identityfile"}
_LETTERS = {"J": "proxyjump", "p": "port", "l": "user", "i": "identityfile"}
# Forwarding, terminals, verbosity, and connection sharing: shipit has one connection per host, kept
# alive, and nothing on the host needs an agent or a display.
_WITHOUT_MEANING = {
    *("controlmaster", "controlpersist", "controlpath", "compression", "forwardagent", "batchmode"),
    *("serveraliveinterval", "serveralivecountmax", "tcpkeepalive", "loglevel", "requesttty"),
    *("preferredauthentications", "connecttimeout", "connectionattempts", "gssapiauthentication"),
    *("forwardx11", "updatehostkeys", "checkhostip", "hashknownhosts"),
}
_FLAGS_WITHOUT_MEANING = "CqvtTxXYaAnkK"
_OTHER_ARGUMENTS = "BbcDEeIFLmOQRSWw"  # letters that take a value
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


def parse(text: str) -> SshArguments:
    """Read arguments as ssh does.

    Raises:
        ValueError: the words can't be told apart, or a value is missing.
    """
    found = SshArguments()
    keys: list[str] = []
    refused: list[tuple[str, str]] = []
    for option, value in _pairs(shlex.split(text)):
        if option == "identityfile":
            keys.append(value)
        elif option in _FOLLOWED:
            _take(found.options, option, value)
        elif option not in _WITHOUT_MEANING:
            refused.append((option, _HINTS.get(option, _CONFIG)))
    return SshArguments(found.options, tuple(keys), tuple(refused))


def _take(options: dict[str, str], option: str, value: str) -> None:
    """Keep the first value; ProxyJump and ProxyCommand count as one option."""
    jumps = {"proxyjump", "proxycommand"}
    rivals = jumps if option in jumps else {option}
    if not rivals & options.keys():
        options[option] = value


def _pairs(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield options in lower case with their values; a word that is no option as it is."""
    waiting = iter(words)
    for word in waiting:
        if not re.match(r"-[A-Za-z0-9]", word):
            yield word, ""
            continue
        yield from _letters(word[1:], waiting)


def _letters(letters: str, waiting: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the options of one word; the last may take its rest or the next word as value."""
    for index, letter in enumerate(letters, 1):
        if letter in _FLAGS_WITHOUT_MEANING:
            continue
        if letter not in {*_LETTERS, *_OTHER_ARGUMENTS, "o"}:
            yield f"-{letter}", ""
            continue
        value = letters[index:] or next(waiting, "")
        if not value:
            raise ValueError(f"-{letter} needs a value")
        yield _option(value) if letter == "o" else (_LETTERS.get(letter, f"-{letter}"), value)
        return


def _option(text: str) -> tuple[str, str]:
    """Split `Name=value` or `Name value`."""
    name, _, value = re.sub(r"\s*=\s*|\s+", "=", text.strip(), count=1).partition("=")
    return name.lower(), value.strip('"')
