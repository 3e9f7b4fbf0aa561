"""Check with this host's systemd when the jobs of a release run, before anything is built.

systemd loads a timer whose OnCalendar= it cannot parse, with a warning in the log, and never
starts its job. Changes nothing.
"""

import os
from typing import Iterator, Mapping

from ..host.host import Host
from ..protocol.messages import Failure
from ..protocol.rules import unit_text
from ..records import releases
from ..system.paths import Paths

STEP = "preflight"
QUICK = 10.0  # seconds


def problems(paths: Paths, host: Host, texts: Mapping[str, str]) -> Iterator[Failure]:
    """Yield the times that systemd cannot parse. Skip installed timers, which it has read."""
    for name, text in sorted(texts.items()):
        unit = name.rpartition("/")[2]
        if not name.startswith("units/") or not unit.endswith(".timer"):
            continue
        if releases.read_text(os.path.join(paths.units, unit)) == text:
            continue
        for calendar in unit_text.settings(text, "Timer").get("OnCalendar", ()):
            done = host.run(["systemd-analyze", "calendar", "--", calendar], timeout=QUICK)
            if not done.ok:
                what = f"systemd cannot parse OnCalendar= of {unit}: {calendar!r}"
                hint = (
                    "write `timer:` in the syntax of systemd.time(7); try systemd-analyze calendar"
                )
                yield Failure("timer-unknown", what, STEP, hint, done.output)
