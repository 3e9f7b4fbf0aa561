"""Travels inside the agent that the fault matrix ships, and makes planned faults happen there.

It is no part of the product: `faults.saboteur` packs it into a copy of the package, and `lay` puts
it around the states of the transaction. The plan lies on the host, so that it survives a power cut;
each fault happens once. What has to come from outside (power, cable, controller) is asked for by a
mark, and waited for until the mark is gone. Where nobody brings it about, the agent goes on, and
the mark is kept under another name: the case has shown nothing.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FOLDER = Path("/var/lib/shipit-faults")
PLAN, MARK, IGNORED = FOLDER / "plan.json", FOLDER / "mark", FOLDER / "ignored"
ERROR, KILL = "error", "kill"
PATIENCE = 60.0  # seconds


def lay(table: Any) -> None:  # noqa: ANN401 - the agent's module
    """Put the faults before and after the effect of every state."""
    for state, effect in list(table.EFFECTS.items()):
        table.EFFECTS[state] = _around(state.value, effect)


def _around(state: str, effect: Any) -> Any:  # noqa: ANN401 - an Effect
    def sabotaged(*given: Any) -> Any:  # noqa: ANN401 - as the effect
        strike(state, "before")
        ended = effect(*given)
        strike(state, "after")
        return ended

    return sabotaged


def strike(state: str, when: str) -> None:
    """Let what is planned for this moment happen."""
    what = _taken(state, when)
    if what == ERROR:
        raise OSError(errno.EIO, "planned", f"{when} {state}")
    if what == KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    if what:
        _ask_for(what)


def _taken(state: str, when: str) -> str:
    """Return what is due now, and take it off the plan."""
    try:
        plan = json.loads(PLAN.read_text())
    except FileNotFoundError:
        return ""
    for due in plan:
        if (due["state"], due["when"]) == (state, when):
            plan.remove(due)
            _write(PLAN, json.dumps(plan))
            return str(due["what"])
    return ""


def _ask_for(what: str) -> None:
    _write(MARK, what)
    deadline = time.monotonic() + PATIENCE
    while MARK.exists():
        if time.monotonic() >= deadline:
            with suppress(FileNotFoundError):  # it was obeyed at the last moment
                MARK.rename(IGNORED)
            return
        time.sleep(0.005)


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)
