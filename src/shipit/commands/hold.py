"""Hold the deploys of an app on its hosts, pause one that runs, and decide on its canary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.agent.protocol.controls import Control, Controls
from shipit.commands.inspect import query
from shipit.rollout.prepare import attempt_to

if TYPE_CHECKING:
    from shipit.events import Emit, Problem
    from shipit.release.inputs import RunOptions

    Answers = list[tuple[str, dict[str, Controls | Problem]]]


def hold(run: RunOptions, emit: Emit, until: str) -> Answers:
    """Refuse deploys of every app of the playbook on its hosts, until a time or for good.

    Raises:
        InputError: the input is wrong.
    """
    return _say("hold", run, emit, until)


def unhold(run: RunOptions, emit: Emit) -> Answers:
    """End all holds, also those of releases that were rolled back."""
    return _say("unhold", run, emit)


def pause(run: RunOptions, emit: Emit) -> Answers:
    """Stop the runs on the hosts before their next batch."""
    return _say("pause", run, emit)


def resume(run: RunOptions, emit: Emit) -> Answers:
    """Let paused runs go on."""
    return _say("resume", run, emit)


def promote(run: RunOptions, emit: Emit) -> Answers:
    """End the hold of a canary: the other hosts follow."""
    return _say("promote", run, emit)


def abort(run: RunOptions, emit: Emit) -> Answers:
    """Roll back a run whose canary is held."""
    return _say("abort", run, emit)


def _say(what: str, run: RunOptions, emit: Emit, until: str = "") -> Answers:
    attempt = attempt_to(what, run)
    said = Control(what, attempt.who, attempt.started, run.reason, until)
    return query(run, emit, lambda _, session: session.control(said))
