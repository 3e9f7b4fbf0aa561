"""Read the settings in the text of a systemd unit, as systemd.syntax(7) has them.

The controller reads each text once, as it has rendered it, and what it finds travels in the
manifest's units. The host reads the texts of earlier versions; of all the directories and owners.
"""

import shlex
from typing import Dict, List, Mapping, Tuple

PREFIXES = "@-:+!|"  # of a command: systemd.service(5)


def settings(text: str, section: str) -> Dict[str, List[str]]:
    """Return the values of each setting of a section, in order, without comments.

    An empty assignment clears the earlier values of its setting. A line that ends in a backslash
    continues in the next one.
    """
    found: Dict[str, List[str]] = {}
    current = ""
    for line in map(str.strip, text.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            current = line
        elif current == f"[{section}]" and "=" in line and line[0] not in "#;":
            key, _, value = map(str.strip, line.partition("="))
            found[key] = [*found.get(key, ()), value] if value else []
    return found


def last(values: Mapping[str, List[str]], key: str) -> str:
    """Return the last value of a setting, "" if it is not set."""
    return (values.get(key) or [""])[-1]


def command(text: str) -> Tuple[str, ...]:
    """Return the words of a service's first command; empty if it has none."""
    line = (settings(text, "Service").get("ExecStart") or [""])[0].lstrip(PREFIXES)
    try:
        return tuple(shlex.split(line))
    except ValueError:  # a quote that is not closed: systemd refuses it
        return tuple(line.split())


def listen(text: str) -> Tuple[str, ...]:
    """Return the addresses of a socket's stream listeners."""
    return tuple(settings(text, "Socket").get("ListenStream", ()))
