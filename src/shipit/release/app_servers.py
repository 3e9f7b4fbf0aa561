"""What is known of app servers: what a hand-over costs the customers of each, and why. Pure.

Seen on real hosts under load with hypercorn 0.17, uvicorn 0.54, gunicorn 27 and granian 2.8;
docs/recipes.md has what each of them needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shipit.agent.protocol.manifest import Check

LISTEN_ALONE = {  # commands that can't be given a listener, and the way out
    "granian": "docs/recipes.md has what gives it one",
    "waitress-serve": "uvicorn and gunicorn take one",
}
SERVERS = ("uvicorn", "gunicorn", "hypercorn", "daphne", "uwsgi")
_USUAL = {"http": 80, "https": 443}
_PROGRAM = re.compile(r"(?:\S*?python[\d.]*\s+-m\s+)?\S*?([^/\s]+)(?:\s|$)")
_LISTENS = re.compile(r"^ListenStream=(?:.*:)?(\d+)\s*$", re.MULTILINE)
_OWN_HTTP = re.compile(r"\s--http[=\s]\S+:")  # of uvicorn: a class, where it can be patient


def gap(command: str, *, has_socket: bool, overlaps: bool) -> str:
    """Say what customers of this command lose when it is handed over; "" for nothing known."""
    found = _PROGRAM.match(command)
    program = found.group(1) if found else ""
    if overlaps and not has_socket and program in (*LISTEN_ALONE, *SERVERS):
        return (
            f"{program} listens by itself, and two of them can't listen on one port: without a"
            " `socket` it needs `handover: restart`"
        )
    if program in LISTEN_ALONE:
        return (
            f"{program} takes no listener from systemd, so it can't have a `socket`: connections"
            f" are refused while it restarts; {LISTEN_ALONE[program]}"
        )
    if program in SERVERS and not has_socket:
        return (
            f"{program} listens by itself, so connections are refused while it restarts; with a"
            " `socket` systemd keeps the listener open"
        )
    return _dropped(program, command)


def ports_without_socket(checks: Iterable[Check], socket_units: Iterable[str]) -> list[int]:
    """Return the ports of the host itself that checks ask, and that no socket unit listens on."""
    covered = {int(port) for text in socket_units for port in _LISTENS.findall(text)}
    checked_ports = {port for check in checks if (port := _own_port(check))}
    return sorted(checked_ports - covered)


def _own_port(check: Check) -> int | None:
    """Return the port that a check asks on the host itself; None for any other check."""
    targets = {"http": check.target, "tcp": f"tcp://{check.target}"}
    parts = urlsplit(targets.get(check.kind, ""))
    is_own = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    return (parts.port or _USUAL.get(parts.scheme)) if is_own else None


def _dropped(program: str, command: str) -> str:
    if program == "hypercorn":
        return (
            "hypercorn, told to stop, drops connections that it has accepted: some requests are"
            " lost at each deploy; gunicorn answers them first"
        )
    if program == "uvicorn" and not _OWN_HTTP.search(command):
        return (
            "uvicorn, told to stop, closes connections that it has accepted and not yet read from:"
            " under load a request is lost now and then; docs/recipes.md has what keeps it"
        )
    return ""
