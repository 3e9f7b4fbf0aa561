"""Observe a release under live traffic for a while, and compare it with the previous one.

Some faults show only then: memory that grows, errors in the log, a crash after a minute. The
baseline is the previous release: its processes' memory and its units' logs.
"""

import re
from typing import Dict, Iterable, List, Mapping, Optional

from ..host.host import Host, UnitView
from ..protocol.manifest import Manifest
from ..protocol.messages import Failure, StepBegan, StepEnded
from ..protocol.rules.unit_names import family
from ..system.failures import Refused
from . import evidence, gate
from .gate import Context, Emit, Interrupted
from .measure import Measure

STEP = "bake"
LOOKS = 20  # checks in the whole window
SHORTEST, LONGEST = 0.5, 10.0  # seconds between two checks
PAST = 600.0  # seconds of the previous release's log that are read, at most
LINES = 5000  # of a log; of a longer one only the last lines count
MIB = 2**20
# The limit is above both: the old one's times this, and plus this.
SPARE_MEMORY, TIMES_MEMORY = 64 * MIB, 2.0
SPARE_ERRORS, TIMES_ERRORS = 5, 3.0  # lines; the same
ERROR = re.compile(r"\b(?:ERROR|CRITICAL|FATAL|error\s*\]|Traceback \(most recent call last\))")


def measured(host: Host, manifest: Manifest, seconds: float) -> Dict[str, Measure]:
    """Return by family the memory of a release's services and their rate of logged errors."""
    seconds = max(1.0, min(seconds, PAST))
    views = _watched(host, manifest)
    lines = _error_lines(host, views.values(), host.wall() - seconds)
    return {
        name: Measure(_memory(host, name, views), len(found) * 60.0 / seconds)
        for name, found in lines.items()
    }


def observe(
    host: Host, of: Context, before: Mapping[str, Measure], emit: Emit, interrupted: Interrupted
) -> Optional[Failure]:
    """Observe for `bake` seconds; return why to roll back, or None."""
    bake = of.manifest.gate.bake
    if not bake:
        return None
    began, since = host.now(), host.wall()
    emit(StepBegan(STEP, f"observed for {bake:g} s"))
    failure: Optional[Failure] = None
    while failure is None and host.now() - began < bake:
        left = bake - (host.now() - began)
        host.sleep(min(left, max(SHORTEST, min(bake / LOOKS, LONGEST))))
        failure = interrupted() or gate.check_units(host, of) or _worse(host, of, before, since)
    emit(StepEnded(STEP, host.now() - began, failure is None))
    return failure


def _worse(
    host: Host, of: Context, before: Mapping[str, Measure], since: float
) -> Optional[Failure]:
    """Return what is worse than in the previous release; None if nothing, or if there was none."""
    try:
        views = _watched(host, of.manifest)
    except Refused:  # systemd may be re-executing: check again
        return None
    lines = _error_lines(host, views.values(), since)
    for name in lines:
        was = before.get(name)
        if was is None:
            continue
        wrong = grown(was, _memory(host, name, views)) or erring(
            was, lines[name], of.manifest.gate.bake
        )
        if wrong:
            own = [view for view in views.values() if family(view.name) == name]
            shown = "\n".join([*lines[name][-evidence.LINES :], *map(evidence.described, own)])
            hint = f"the whole log: {evidence.where(f'{name}*')}"
            return Failure("soak-failed", f"{name}: {wrong}", STEP, hint, shown)
    return None


def grown(was: Measure, memory: int) -> str:
    """Report a service that uses far more memory than its predecessor; "" if it does not."""
    if not was.memory or memory <= max(was.memory * TIMES_MEMORY, was.memory + SPARE_MEMORY):
        return ""
    return f"it uses {memory / MIB:.0f} MiB, the previous release {was.memory / MIB:.0f} MiB"


def erring(was: Measure, lines: List[str], seconds: float) -> str:
    """Report a service that logs far more errors than its predecessor; "" if it does not."""
    usual = was.errors * seconds / 60.0
    if len(lines) <= max(usual * TIMES_ERRORS, usual + SPARE_ERRORS):
        return ""
    return (
        f"it has logged {len(lines)} errors, the previous release {usual:.0f} in the same time:"
        f" {lines[-1].strip()}"
    )


def _watched(host: Host, manifest: Manifest) -> Dict[str, UnitView]:
    return host.show([unit.name for unit in manifest.units if unit.watched])


def _memory(host: Host, name: str, views: Iterable[str]) -> int:
    return sum(host.memory(unit) for unit in views if family(unit) == name)


def _error_lines(host: Host, views: Iterable[UnitView], since: float) -> Dict[str, List[str]]:
    """Return by family the lines of the logs that report errors."""
    found: Dict[str, List[str]] = {}
    for view in views:
        log = host.unit_log(view.name, since=since, lines=LINES)
        found.setdefault(family(view.name), []).extend(filter(ERROR.search, log.splitlines()))
    return found
