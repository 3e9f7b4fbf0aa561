"""Run the hooks of one point in a transaction, each at most once.

A hook is written into the journal before it starts and after it has ended. Its end goes into the
host's history.
"""

from contextlib import suppress
from dataclasses import replace
from typing import List, Optional, Tuple

from ...protocol.hooks import OK, Hook, HookLine
from ...protocol.messages import Failure, StepBegan, StepEnded, StepFailed
from ...records import history
from ...system.failures import Refused, from_os_error
from ...system.paths import Paths
from ..journal import Journal
from .command import STEP, Run, execute, failure_of


def run(of: Run, open_: Journal) -> Tuple[Journal, Optional[Failure]]:
    """Run the hooks of this point up to the first that fails; return the journal, which has them.

    Raises:
        OSError: one could not be written down before its start.
    """
    for number, hook in _due(of, open_):
        open_, failure = run_one(of, open_, str(number), hook)
        if failure is not None:
            return open_, failure
    return open_, None


def report(of: Run, open_: Journal) -> Journal:
    """Run all hooks of this point, and report those that fail; return the journal."""
    for number, hook in _due(of, open_):
        try:
            open_, failure = run_one(of, open_, str(number), hook)
        except OSError as error:
            failure = from_os_error(error, STEP)
        if failure is not None:
            of.emit(StepFailed(failure))
    return open_


def _due(of: Run, open_: Journal) -> List[Tuple[int, Hook]]:
    """Return the hooks of this host that have not begun, each with its number."""
    return [
        (number, hook)
        for number, hook in enumerate(of.of.hooks)
        if hook.when == of.when
        and (open_.attempt.elected or not hook.once)
        and str(number) not in open_.hooks
    ]


def run_one(of: Run, open_: Journal, key: str, hook: Hook) -> Tuple[Journal, Optional[Failure]]:
    """Run one hook; `key`: its number in the release, or what else the journal has it under.

    Raises:
        OSError: it could not be written down before its start.
    """
    open_ = of.store.save(_with(open_, key, ""))
    began = of.host.now()
    of.emit(StepBegan(STEP, f"{hook.name} ({hook.when})"))
    try:
        done = execute(of, hook)
        how, failure = OK if done.ok else done.end(hook.timeout), failure_of(hook, done)
    except Refused as refused:  # interrupted, or the host cannot run it
        how, failure = f"[{refused.failure.code}] {refused.failure.what}", refused.failure
    seconds = of.host.now() - began
    of.emit(StepEnded(STEP, seconds, ok=failure is None))
    number = int(key) if key.isdecimal() else 0
    record(of.paths, open_, HookLine(hook.name, hook.when, how, seconds, number))
    return of.store.save(_with(open_, key, how)), failure


def _with(open_: Journal, key: str, how: str) -> Journal:
    return replace(open_, hooks={**open_.hooks, key: how})


def record(paths: Paths, open_: Journal, line: HookLine) -> None:
    with suppress(OSError):  # it is for people; the journal is what counts
        history.append_hook(paths, open_.txn, line)
