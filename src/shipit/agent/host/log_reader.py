"""Read the end of a unit's log, as journalctl prints it."""

from typing import List

from ..system.process import run

USUAL_LINE = 512  # bytes of a line, on average
TIMEOUT = 30.0  # seconds
PLAIN = ("journalctl", "--quiet", "--no-pager", "--output=short-iso")


def last(unit: str, since: float, lines: int) -> str:
    """Return the last lines that a unit logged since a moment (seconds since the epoch).

    Before systemd 254, `--since` with `--lines` returns the first ones unless reversed. Returns
    fewer lines if they are very long.
    """
    argv = [*PLAIN, "--reverse", f"--lines={lines}", f"--unit={unit}", f"--since=@{since:.6f}"]
    return in_order(run(argv, timeout=TIMEOUT, keep=lines * USUAL_LINE, keep_start=True).output)


def in_order(log: str) -> str:
    """Reverse a log that begins with its newest entry; an entry's further lines are indented."""
    entries: List[str] = []
    for line in log.splitlines():
        if entries and line.startswith(" "):
            entries[-1] += "\n" + line
        else:
            entries.append(line)
    return "".join(entry + "\n" for entry in reversed(entries))
