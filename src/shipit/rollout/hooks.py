"""The hooks of a deploy: who runs them, and those of the controller, each once at its point.

A hook of the controller runs as the user who deploys, without a shell, in the playbook's folder. It
gets SHIPIT_* variables, and none of the app's secrets.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from shipit.agent.protocol.hooks import (
    AFTER_ACTIVATE,
    AFTER_COMMIT,
    BEFORE_ACTIVATE,
    BEFORE_COMMIT,
    ON_ROLLBACK,
    STAGED,
)
from shipit.agent.protocol.migrations import PENDING_TIMEOUT
from shipit.events import HookOutput, HostFailed, Problem, StepBegan, StepEnded
from shipit.playbook.hooks.models import CONTROLLER, ONCE
from shipit.release.plan import Action
from shipit.rollout.canary import choice
from shipit.rollout.controller import command
from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Act

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shipit.events import Emit
    from shipit.playbook.hooks.models import Hook
    from shipit.playbook.models import Deployment
    from shipit.release.build import BuiltRelease
    from shipit.release.inputs import HostInput
    from shipit.release.plan import HostPlan
    from shipit.rollout.strategy import Step

    Made = Mapping[str, tuple[BuiltRelease, HostPlan]]

UNDRAIN, UNDRAIN_TRIES = 60.0, 3  # seconds that haproxy has, tries that a command has
BEFORE_STAGE = "before_stage"
STEP = "hook"
_ENV_REFERENCE = re.compile(r"env:(\w+)")


# --- who runs them -----------------------------------------------------------------------------


def elected(made: Made, order: Sequence[HostInput]) -> str:
    """Return the host that runs what runs once: the first that is switched; "" if none has to."""
    deployment = order[0].deployment
    runs_once = deployment.migrate or any(hook.run == ONCE for hook in deployment.hooks)
    first = (*choice.canaries(made, order), *(each.name for each in choice.changing(made, order)))
    return next(iter(first), "") if runs_once else ""


def planned(made: Made, order: Sequence[HostInput]) -> dict[str, tuple[BuiltRelease, HostPlan]]:
    """Return the releases with plans that name the hooks of each host that changes."""
    chosen = elected(made, order)
    hooks = {
        target.name: tuple(_planned(hook, target.deployment, chosen) for hook in _of(target))
        for target in order
    }
    return {
        name: (built, replace(plan, hooks=() if plan.action is Action.NOTHING else hooks[name]))
        for name, (built, plan) in made.items()
    }


def _of(target: HostInput) -> tuple[Hook, ...]:
    return target.deployment.hooks


def _planned(hook: Hook, deployment: Deployment, chosen: str) -> str:
    user = f" as {hook.user or deployment.user}"
    where = {CONTROLLER: "on the controller", ONCE: f"once, on {chosen}{user}"}
    return f"{hook.when}: {hook.command} ({where.get(hook.run, f'on each host{user}')})"


def longest(deployment: Deployment) -> float:
    """Return the seconds that the hooks of one host, its migration and its assets may take."""
    migration = deployment.migrate.timeout + PENDING_TIMEOUT if deployment.migrate else 0.0
    hooks = sum(hook.timeout for hook in deployment.hooks if hook.on_host)
    assets = deployment.assets.timeout if deployment.assets and deployment.assets.command else 0.0
    return migration + draining(deployment) + assets + hooks


def draining(deployment: Deployment) -> float:
    """Return the seconds that leaving the load balancer and coming back may take, also twice."""
    if (balancer := deployment.load_balancer) is None:
        return 0.0
    if balancer.haproxy:
        return 2 * (balancer.wait + UNDRAIN)
    return 2 * UNDRAIN_TRIES * sum(it.timeout for it in (balancer.drain, balancer.undrain) if it)


def first_alone(deployment: Deployment) -> bool:
    """Whether what runs once must have ended before any other host is switched."""
    once = any((hook.run, hook.when) == (ONCE, BEFORE_ACTIVATE) for hook in deployment.hooks)
    return once or deployment.migrate is not None


# --- of the controller -------------------------------------------------------------------------


class PointHooks(Protocol):
    """What is run here between the steps of a rollout."""

    def before(self, step: Step, is_stopped: Callable[[], bool]) -> bool:
        """Run what is due before a step; return whether the rollout may go on."""

    def at_end(self, phases: Iterable[Phase], is_stopped: Callable[[], bool]) -> None:
        """Run what is due after the last step; a failure is reported."""


class NoHooks:
    """No hooks."""

    def before(self, _step: Step, _is_stopped: Callable[[], bool]) -> bool:
        return True

    def at_end(self, _phases: Iterable[Phase], _is_stopped: Callable[[], bool]) -> None:
        """Do nothing."""


POINTS_BEFORE: Mapping[Act, tuple[str, ...]] = {
    Act.STAGE: (BEFORE_STAGE,),
    Act.SWITCH: (STAGED, BEFORE_ACTIVATE),
    Act.COMMIT: (AFTER_ACTIVATE, BEFORE_COMMIT),
    Act.ROLL_BACK: (),
}


@dataclass
class ControllerHooks:
    """The hooks that run here in one deploy or rollback; a rollback has those of `on_rollback`."""

    hooks: Sequence[Hook]
    folder: Path
    environment: Mapping[str, str]
    emit: Emit
    is_rollback: bool = False
    _past: set[str] = field(default_factory=set)

    def before(self, step: Step, is_stopped: Callable[[], bool]) -> bool:
        points = () if self.is_rollback else POINTS_BEFORE[step.act]
        return all(self._run(point, is_stopped) for point in points)

    def at_end(self, phases: Iterable[Phase], is_stopped: Callable[[], bool]) -> None:
        found = set(phases)
        if self.is_rollback:
            if Phase.COMMITTED in found:
                self._run(ON_ROLLBACK, is_stopped)
            return
        if Phase.ROLLED_BACK in found:
            self._run(ON_ROLLBACK, lambda: False)  # also after a Ctrl-C
        if Phase.COMMITTED in found and found <= {Phase.COMMITTED, Phase.UNCHANGED}:
            self._run(AFTER_COMMIT, is_stopped)

    def _run(self, point: str, is_stopped: Callable[[], bool]) -> bool:
        """Run the hooks of a point the first time; return whether all have succeeded."""
        if point in self._past:
            return True
        self._past.add(point)
        due = [hook for hook in self.hooks if (hook.run, hook.when) == (CONTROLLER, point)]
        goes_on = point in (AFTER_COMMIT, ON_ROLLBACK)
        results = []
        for hook in due:
            results.append(self._run_one(hook, is_stopped))
            if not (results[-1] or goes_on):
                break
        return all(results)

    def _run_one(self, hook: Hook, is_stopped: Callable[[], bool]) -> bool:
        began, lines = time.monotonic(), command.Lines(lambda text: self._heard(hook, text))
        self.emit(StepBegan(CONTROLLER, STEP, f"{hook.name} ({hook.when})"))
        environment = {**self.environment, "SHIPIT_HOOK": hook.when}
        wanted = command.Command(hook.command, self.folder, environment, hook.timeout)
        wrong = command.run(wanted, lines, is_stopped).wrong
        self.emit(StepEnded(CONTROLLER, STEP, time.monotonic() - began, not wrong))
        if wrong:
            code = "hook-timeout" if "did not end" in wrong else "hook-failed"
            what = f"the hook {hook.name} ({hook.when}) {wrong}"
            hint = "it ran here, in the playbook's folder; see its output"
            problem = Problem(CONTROLLER, code, what, STEP, hint, lines.end_of_all)
            self.emit(HostFailed(problem))
        return not wrong

    def _heard(self, hook: Hook, text: str) -> None:
        self.emit(HookOutput(CONTROLLER, hook.name, text))


def environment(
    targets: Sequence[HostInput], variables: Mapping[str, str], own: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return the environment of the controller's commands: the user's own, without the secrets.

    A variable that a secret of the playbook or the token of a check is read from is left out, and
    so is one of ours that is too long to start a program with.
    """
    references = {each for target in targets for each in _references(target.deployment)}
    hidden = {found[1] for each in references if (found := _ENV_REFERENCE.fullmatch(each))}
    ours = {f"SHIPIT_{name}": value for name, value in variables.items()}
    kept = {name: value for name, value in own.items() if name not in hidden | set(ours)}
    return {**kept, **command.fitting(ours)}


def _references(deployment: Deployment) -> Iterator[str]:
    yield from map(str, deployment.secrets.values())
    if deployment.canary:
        yield from (str(check.token) for check in deployment.canary.checks)
