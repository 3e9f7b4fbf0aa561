"""Rehearse a deploy on disposable machines: deploy, break it, watch the rollback, roll back.

No real host is touched, the playbook's files are only read, and the machines are removed at the
end, also after Ctrl-C, unless they are to be kept. Secrets are fetched as in a deploy.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from shipit.commands import deploy
from shipit.errors import InputError, Mistake, Place
from shipit.events import Noted
from shipit.lab.commands import LabError
from shipit.output.printable import printable
from shipit.rehearsal import histories, hosts, load, probe, report_text
from shipit.rehearsal.environment import as_changed, how_to_reach, machines_for, set_up
from shipit.rehearsal.faults import Site, inject, unsettled
from shipit.rehearsal.providers import nspawn, vagrant
from shipit.rehearsal.providers.base import MachineChoice
from shipit.rehearsal.report_html import page
from shipit.rehearsal.report_text import RehearsalReport
from shipit.rehearsal.scenario import FAULTS, STEPS, Bar, StepResult, as_written, wrong_with
from shipit.rehearsal.timeline import Timeline
from shipit.release.inputs import inventory_of
from shipit.rollout.prepare import wanted_by

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shipit.events import Emit
    from shipit.rehearsal.environment import Environment
    from shipit.rehearsal.hosts import Assignment
    from shipit.rehearsal.providers.base import Provider
    from shipit.rehearsal.scenario import Fault, Step
    from shipit.release.inputs import ResolvedInput, RunOptions

PROVIDERS = {"nspawn": nspawn.PROVIDER, "vagrant": vagrant.PROVIDER}
GROUP = "rehearsal"  # the inventory's group of the hosts to rehearse
FAILED, INTERRUPTED = 3, 130  # exit statuses


def rehearse(
    run: RunOptions,
    emit: Emit,
    *,
    choice: MachineChoice = MachineChoice(),  # noqa: B008 - it is frozen
    keep: bool = False,
    report: Path | None = None,
    faults: bool = False,
) -> int:
    """Rehearse the playbook and report the results.

    Args:
        run: the options of a deploy; machines replace its hosts.
        emit: receives every event, the report last.
        choice: the provider and suite of the machines.
        keep: leave the machines running, and print how to reach them.
        report: the file for the report as HTML; the text is written beside it.
        faults: inject faults as well: a killed controller, a cut cable, a power cut.

    Returns:
        0 if every step ended as expected, 3 if one did not, 130 after Ctrl-C.

    Raises:
        InputError: the input is wrong; raised before a machine is booted.
        LabError: this machine can't boot others, or can't remove them.
    """
    provider = _provider(choice)
    if report:
        _prepare_report(report)
    timeline = Timeline(emit)
    wanted = wanted_by(run, timeline)
    assignment = _assign(run, wanted, timeline)
    plan = _plan(run, provider, wanted, assignment, (*STEPS, *FAULTS) if faults else STEPS)
    rehearsal = None
    try:
        with machines_for(assignment, provider, timeline, keep=keep) as machines:
            site = set_up(run, wanted, assignment, machines)
            try:
                rehearsal = _run_steps(site, plan, timeline)
            finally:
                if keep:
                    emit(Noted(how_to_reach(site)))
    finally:
        if rehearsal is not None:  # also where the machines can't be removed
            _write_report(rehearsal, report, emit)
    if rehearsal.is_interrupted:
        return INTERRUPTED
    return 0 if rehearsal.is_good else FAILED


def _plan(
    run: RunOptions,
    provider: Provider,
    wanted: Sequence[Sequence[ResolvedInput]],
    assignment: Assignment,
    steps: Sequence[Step],
) -> RehearsalReport:
    """Return the report of a rehearsal without results, once each step can change the playbook."""
    unsupported = tuple(step for step in steps if step.fault in provider.unsupported)
    playable = tuple(step for step in steps if step not in unsupported)
    for change in dict.fromkeys(step.change or as_written for step in playable):
        for each in wanted:
            as_changed(each, change)
    return RehearsalReport(str(run.playbook), provider, assignment, (), playable, unsupported)


def _assign(run: RunOptions, wanted: Sequence[Sequence[ResolvedInput]], emit: Emit) -> Assignment:
    groups = inventory_of(run).groups
    chosen = groups.get(GROUP, ())
    assignment = hosts.assign([[resolved.name for resolved in each] for each in wanted], chosen)
    if GROUP in groups and not set(chosen) & set(assignment.machines):
        emit(Noted(f"no host of the playbook is in the group {GROUP}: the first hosts are used"))
    return assignment


def _provider(choice: MachineChoice) -> Provider:
    if choice.provider not in PROVIDERS:
        what = f"there is no provider {choice.provider!r}"
        raise InputError(Mistake("rehearsal-provider", what, hint=f"known: {', '.join(PROVIDERS)}"))
    provider = PROVIDERS[choice.provider]
    if choice.suite:
        if provider.with_suite is None:
            what = f"{choice.provider} takes no --suite"
            hint = "leave it out: the provider's own settings say what its machines run"
            raise InputError(Mistake("rehearsal-suite", what, hint=hint))
        provider = provider.with_suite(choice.suite)
    provider.check()
    return provider


def _prepare_report(report: Path) -> None:
    """Check that the report can be written, and delete an older one: they could be mixed up."""
    existing = [path for path in _files(report) if path.exists()]
    if report.is_dir() or not all(os.access(it, os.W_OK) for it in existing or [report.parent]):
        what, hint = "the report can't be written here", "--report FILE.html"
        raise InputError(Mistake("rehearsal-report", what, Place(str(report)), hint))
    for path in existing:
        if path.is_file() and not path.is_symlink():  # /dev/null and /dev/stdout are no report
            with suppress(PermissionError):  # not our folder: the file is overwritten at the end
                path.unlink()


def _files(report: Path) -> tuple[Path, Path]:
    return report, report.with_name(report.name.removesuffix(".html") + ".txt")


def _write_report(rehearsal: RehearsalReport, report: Path | None, emit: Emit) -> None:
    text = report_text.report(rehearsal)
    emit(Noted(text))
    if report:
        as_page, as_text = _files(report)
        as_page.write_text(printable(page(rehearsal)))
        as_text.write_text(printable(text))
        emit(Noted(f"the report: {as_page} and {as_text}"))


# --- the steps ---------------------------------------------------------------------------------


def _run_steps(
    environment: Environment, plan: RehearsalReport, timeline: Timeline
) -> RehearsalReport:
    """Run the steps up to the first that fails or is interrupted."""
    results: list[StepResult] = []
    for number, step in enumerate(plan.steps, 1):
        try:
            timeline(Noted(f"step {number} of {len(plan.steps)}: {step.title}"))
            result = _run_step(step, environment, timeline, results)
        except KeyboardInterrupt:
            return replace(plan, results=results, is_interrupted=True)
        except LabError as error:  # a machine did not obey
            texts = timeline.masked((str(error), *timeline.problems))
            result = StepResult(step, timeline.seconds, texts, bars=tuple(timeline.bars))
        results.append(result)
        if result.wrong:
            break
    return replace(plan, results=results)


def _run_step(
    step: Step, environment: Environment, timeline: Timeline, before: Sequence[StepResult]
) -> StepResult:
    """Run one step under load and check the machines."""
    started = load.start(environment, before[-1].releases if before else {})
    timeline.begin()
    ended = _deploy_or_break(step, environment, timeline)
    seconds = timeline.seconds
    served = load.stop(started, environment.machines)
    if INTERRUPTED in ended.statuses:  # the deploy has reported it
        raise KeyboardInterrupt
    observations = probe.observe(environment)
    first = before[0].releases if before else {}
    wrong = (*ended.wrong, *wrong_with(step, ended.statuses, observations, first))
    texts = timeline.masked((*wrong, *timeline.problems)) if wrong else ()
    bars = (*timeline.bars, *ended.bars)
    return StepResult(step, seconds, texts, observations, ended.settled, served, bars)


@dataclass(frozen=True)
class _StepEnd:
    """The exit status of each deployment, up to the first that was interrupted."""

    statuses: list[int]
    wrong: tuple[str, ...] = ()
    settled: float | None = None
    bars: tuple[Bar, ...] = ()


def _deploy_or_break(step: Step, environment: Environment, timeline: Timeline) -> _StepEnd:
    if step.change is None:
        return _StepEnd([deploy.rollback(environment.run, timeline)])
    if step.fault is not None:
        return _inject(step.fault, step, environment, timeline)
    statuses: list[int] = []
    for each in environment.wanted:
        statuses.append(deploy.ship(as_changed(each, step.change), environment.run, timeline))
        if statuses[-1] == INTERRUPTED:
            break
    return _StepEnd(statuses)


def _inject(fault: Fault, step: Step, environment: Environment, timeline: Timeline) -> _StepEnd:
    """Inject the fault into each deployment; the slowest recovery counts."""
    slowest, statuses, wrong, bars = 0.0, list[int](), list[str](), list[Bar]()
    for each in environment.wanted:
        changed, began = as_changed(each, step.change or as_written), timeline.seconds
        of, machines = changed[0].deployment, environment.assignment.machines
        names = {resolved.name: machines[resolved.name] for resolved in changed}
        site = Site(of.app, of.root, names, environment.machines, of.health.deadline)
        outcome = inject(fault, partial(deploy.ship, changed, environment.run), site, timeline)
        if outcome.status == INTERRUPTED:
            return _StepEnd([INTERRUPTED])
        if outcome.seconds is None:
            wrong.append(f"{site.app}: {unsettled(outcome, site)}")
            return _StepEnd(statuses, tuple(wrong))
        statuses.append(outcome.status)
        wrong += histories.not_by_lease(fault, outcome.host, outcome.attempts)
        slowest = max(slowest, outcome.seconds)
        at = began + outcome.after
        bars.append(Bar(outcome.host, fault.value, at, outcome.seconds, ok=False))
    return _StepEnd(statuses, tuple(wrong), slowest, tuple(bars))
