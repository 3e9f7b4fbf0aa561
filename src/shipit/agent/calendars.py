"""Have this host's systemd read when the jobs of a release run, before anything is built.

A timer whose OnCalendar= systemd does not understand is loaded, with a warning in the log, and
never fires. Changes nothing.
"""

import os
from typing import Iterator, List, Mapping

from . import releases
from .host import Host
from .paths import Paths
from .protocol import Failure

STEP = "preflight"
QUICK = 10.0  # seconds
_ANALYZE = ["systemd-analyze", "calendar", "--"]


def problems(paths: Paths, host: Host, texts: Mapping[str, str]) -> Iterator[Failure]:
    """Yield the times that systemd does not understand; those of installed timers it has read."""
    for name, text in sorted(texts.items()):
        unit = name.rpartition("/")[2]
        if not name.startswith("units/") or not unit.endswith(".timer"):
            continue
        if releases.read_text(os.path.join(paths.units, unit)) == text:
            continue
        for calendar in times(text):
            done = host.run([*_ANALYZE, calendar], timeout=QUICK)
            if not done.ok:
                what = f"systemd does not understand when {unit} fires: {calendar!r}"
                hint = "write `timer:` as systemd.time(7) has it; try: systemd-analyze calendar"
                yield Failure("timer-unknown", what, STEP, hint, done.output)


def times(text: str) -> List[str]:
    """Return what a timer's text has as OnCalendar=."""
    pairs = [line.partition("=")[::2] for line in map(str.strip, text.splitlines())]
    return [value.strip() for key, value in pairs if key.strip() == "OnCalendar" and value.strip()]
