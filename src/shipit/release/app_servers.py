"""Known limits of app servers: which requests a handover of each one loses, and why. Pure.

Measured on real hosts under load with hypercorn 0.17, uvicorn 0.54, gunicorn 27 and granian 2.8;
docs/recipes.md describes what each of them needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shipit.agent.protocol.manifest import Check

LISTEN_ALONE = {  # commands that can't be given a listener, and the alternative
    "granian": "docs/recipes.md shows how to give it one",
    "waitress-serve": "uvicorn and gunicorn take one",
}
SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "uwsgi")
_USUAL = {"http": 80, "https": 443}
_PROGRAM = re.compile(r"(?:\S*?python[\d.]*\s+-m\s+)?\S*?([^/\s]+)(?:\s|$)")
_LISTENS = re.compile(r"^ListenStream=(?:.*:)?(\d+)\s*$", re.MULTILINE)
_OWN_HTTP = re.compile(r"\s--http[=\s]\S+:")  # of uvicorn: a custom class, which may drain


def gap(command: str, *, has_socket: bool, overlaps: bool) -> str:
    """Return what clients lose in a handover of this command; "" for nothing known."""
    found = _PROGRAM.match(command)
    program = found.group(1) if found else ""
    if overlaps and not has_socket and program in (*LISTEN_ALONE, *SERVERS):
        return (
            f"{program} listens itself, and two of them can't listen on one port: without a"
            " `socket` it needs `handover: restart`"
        )
    if program in LISTEN_ALONE:
        return (
            f"{program} takes no listener from systemd, so it can't have a `socket`: connections"
            f" are refused while it restarts; {LISTEN_ALONE[program]}"
        )
    if program in SERVERS and not has_socket:
        return (
            f"{program} listens itself, so connections are refused while it restarts; with a"
            " `socket` systemd keeps the listener open"
        )
    return _dropped(program, command)


def ports_without_socket(checks: Iterable[Check], socket_units: Iterable[str]) -> list[int]:
    """Return the local ports that checks use and that no socket unit listens on."""
    covered = {int(port) for text in socket_units for port in _LISTENS.findall(text)}
    checked_ports = {port for check in checks if (port := _own_port(check))}
    return sorted(checked_ports - covered)


def _own_port(check: Check) -> int | None:
    """Return the local port that a check uses; None for any other check."""
    targets = {"http": check.target, "tcp": f"tcp://{check.target}"}
    parts = urlsplit(targets.get(check.kind, ""))
    is_own = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    return (parts.port or _USUAL.get(parts.scheme)) if is_own else None


def _dropped(program: str, command: str) -> str:
    if program == "hypercorn":
        return (
            "hypercorn drops accepted connections when it stops: some requests are lost at each"
            " deploy; gunicorn answers them first"
        )
    if program == "uvicorn" and not _OWN_HTTP.search(command):
        return (
            "uvicorn closes accepted connections that it has not yet read from when it stops:"
            " under load a request is sometimes lost; docs/recipes.md shows how to avoid it"
        )
    return ""
