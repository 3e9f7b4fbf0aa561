"""After a run, make its hosts agree whether they hold the release.

A host that rolled back because of the release itself holds it, by its own history. If the run was
rolled back for that, the others hold it as well: a later deploy to some of them is refused, too. If
the run went on without that host, its hold is ended: the fleet has accepted the release.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.agent.protocol.controls import Control
from shipit.agent.protocol.refusals import ABORTED, VERDICTS
from shipit.errors import HostError
from shipit.events import Noted, Outcome
from shipit.rollout.connections import result_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.agent.protocol.messages import Attempt
    from shipit.events import HostResult
    from shipit.rollout.connections import Connections


def speaks_against(result: HostResult) -> bool:
    """Whether a host rolled back because of the release itself.

    A host's first release speaks of the host as much as of the release: it holds nothing.
    """
    problem = result.problem
    had_another = bool(result.release)
    if problem is None or result.outcome is not Outcome.ROLLED_BACK or not had_another:
        return False
    is_own = not result.because or problem.code == ABORTED
    return is_own and problem.code in VERDICTS


def controls(
    results: Mapping[str, HostResult], releases: Mapping[str, str], attempt: Attempt
) -> dict[str, Control]:
    """Return what each host has to record; `releases` are the ids that the run was about."""
    against = [name for name, result in results.items() if speaks_against(result)]
    if not against:
        return {}
    outcomes = {result.outcome for result in results.values()}
    went_on = not any(result.because for result in results.values())
    is_accepted = Outcome.COMMITTED in outcomes or (Outcome.UNCHANGED in outcomes and went_on)
    problem = results[against[0]].problem
    what = problem.what.splitlines()[0] if problem else ""
    why = f"it failed on {against[0]}: {what}"
    ends = (Outcome.ROLLED_BACK, Outcome.DISCARDED)
    others = [n for n, it in results.items() if it.outcome in ends and n not in against]
    verb, names = ("unhold", against) if is_accepted else ("hold", others)
    return {
        name: Control(verb, attempt.who, attempt.started, why, release=releases[name])
        for name in names
        if name in releases
    }


def agree(said: Mapping[str, Control], connections: Connections) -> None:
    """Let the hosts record it; one that cannot keeps what its own history says."""

    def record(name: str, control: Control) -> None:
        try:
            connections.sessions[name].control(control)
        except HostError as error:
            text = f"it did not record the {control.what} of {control.release}: {error.what}"
            connections.emit(Noted(text, name))

    there = {name: control for name, control in said.items() if name in connections.sessions}
    for future in [connections.executor.submit(record, *each) for each in there.items()]:
        result_of(future)
