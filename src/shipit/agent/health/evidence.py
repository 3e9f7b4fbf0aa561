"""Gather what an operator needs to understand why a unit is unhealthy.

The log is the unit's own since shipit started it, with repeated lines folded. Secrets in it are
masked before a line is cut.
"""

import signal
from typing import Iterable, Tuple

from ..host import log_text
from ..host.host import Host, UnitView
from ..records.redactor import Redactor
from ..system.paths import Paths

LINES = 30  # shown; repeated ones are folded
READ = 300  # lines of the log
KILLED, DUMPED = 2, 3  # CLD_KILLED, CLD_DUMPED
RESULTS = {
    "oom-kill": "the kernel killed it: out of memory",
    "start-limit-hit": "it was restarted too often in too short a time",
    "timeout": "it did not start or stop within its timeout",
    "watchdog": "its watchdog ran out",
    "resources": "systemd could not set it up (a missing file or directory?)",
    "protocol": "it did not report that it was ready",
}

# systemd's own exit statuses: systemd.exec(5).
SETUP = {
    200: "its working directory is missing or not accessible to it (workdir)",
    203: "its program cannot be executed",
    217: "its user is missing",
    226: "a directory that its unit names is missing",
}
WRITABLE = (
    "a service can write to $STATE_DIRECTORY and to shared/ in the app's root; `workdir: shared`"
    " makes relative paths lead there"
)
# Words in a log, and what to do about them; the first match counts.
ADVICE: Tuple[Tuple[Tuple[str, ...], str], ...] = (
    (
        ("attempting to bind", "can't connect to ('", "bind()", "could not bind"),
        "systemd can listen there for the service: give it a `socket:`",
    ),
    (
        (
            # Not "permission denied" alone: databases and servers log that for other reasons.
            "read-only file system",
            "cannot create",
            "[errno 30]",
            "[errno 13]",
            "erofs",
            "eacces",
            "unable to open database file",
            "attempt to write a readonly database",
        ),
        WRITABLE,
    ),
)


def where(unit: str) -> str:
    """Return how to read the whole log of a unit: from the controller, or on the host."""
    return f"shipit logs PLAYBOOK --limit HOST; on the host: journalctl -u {unit}"


def advice(log: str) -> str:
    """Return what to do about the end of a log; "" if unknown."""
    lowered = log.lower()
    return next((hint for words, hint in ADVICE if any(word in lowered for word in words)), "")


def with_exception(what: str, log: str) -> str:
    """Return what failed, prefixed by the last exception of the log, if there is one."""
    exception = log_text.exception(log)
    return f"{exception} - {what}" if exception else what


def described(view: UnitView) -> str:
    """Return the state of a unit in one line."""
    parts = [f"{view.name} is {view.active} ({view.sub})"]
    if view.load != "loaded":
        parts.append(f"systemd says: {view.load}")
    if view.result in RESULTS:
        parts.append(RESULTS[view.result])
    if view.exit_code in (KILLED, DUMPED):
        signals = {number.value: number.name for number in signal.Signals}
        name = signals.get(view.exit_status, f"signal {view.exit_status}")
        parts.append(f"its main process was killed by {name}")
    elif view.exit_code or view.exit_status:
        why = f" ({SETUP[view.exit_status]})" if view.exit_status in SETUP else ""
        parts.append(f"its main process ended with exit status {view.exit_status}{why}")
    if view.restarts:
        parts.append(f"restarted {view.restarts} times")
    return ", ".join(parts)


def of_units(paths: Paths, host: Host, views: Iterable[UnitView], since: float) -> str:
    """Return the state and the last log lines of units; `since` in seconds since the epoch."""
    mask, lines = Redactor(paths), []
    for view in views:
        log = mask.text(host.unit_log(view.name, since=since, lines=READ)).rstrip()
        shown = log_text.folded(log)[-LINES:]
        lines += [described(view), *(shown or [f"(no log; {where(view.name)} may have more)"])]
    return "\n".join(lines)
