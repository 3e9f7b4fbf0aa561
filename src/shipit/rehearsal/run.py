"""Play a deploy through on disposable machines: deploy, break, watch the return, roll back.

Promises that no real host is touched, that the playbook's files are only read, and that the
machines are gone at the end, also after Ctrl-C, unless they are to be kept. Secrets are fetched as
in a deploy. What the machines are is their provider's business.
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
from shipit.lab.lab import LabError
from shipit.output.printable import printable
from shipit.rehearsal import faults as breaking
from shipit.rehearsal import histories, hosts, load, probe, report_text
from shipit.rehearsal.environment import as_changed, how_to_reach, machines_for, set_up
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

__all__ = ["FAILED", "GROUP", "INTERRUPTED", "PROVIDERS", "MachineChoice", "rehearse"]

PROVIDERS = {"nspawn": nspawn.PROVIDER, "vagrant": vagrant.PROVIDER}
GROUP = "rehearsal"  # of the inventory: of a playbook's hosts, those that are played
FAILED, INTERRUPTED = 3, 130  # no real host was touched, whatever went wrong


def rehearse(
    run: RunOptions,
    emit: Emit,
    *,
    choice: MachineChoice = MachineChoice(),  # noqa: B008 - it is frozen
    keep: bool = False,
    report: Path | None = None,
    faults: bool = False,
) -> int:
    """Play the playbook through and tell how it went.

    Args:
        run: as of a deploy; its hosts are played by machines.
        emit: is told all that happens, the report last.
        choice: of the machines.
        keep: leave the machines running, and say how to reach them.
        report: a file for the report as a page of HTML; as text it is written beside it.
        faults: play what the world does to a deploy as well: killed, cut off, without power.

    Returns:
        0 if every act ended as it has to, 3 if one did not, 130 after Ctrl-C.

    Raises:
        InputError: something a person wrote is wrong; told before a machine is booted.
        LabError: this machine can't boot others, or can't remove them.
    """
    maker = _provider(choice)
    _refuse_if_unwritable(report)
    _remove_older(report)
    recording = Timeline(emit)
    wanted = wanted_by(run, recording)
    cast = _cast(run, wanted, recording)
    planned = _planned(run, maker, (*STEPS, *FAULTS) if faults else STEPS, cast)
    _refuse_if_unchangeable(wanted, planned.acts)
    played = None
    try:
        with machines_for(cast, maker, recording, keep=keep) as machines:
            place = set_up(run, wanted, cast, machines)
            try:
                played = _played(place, planned, recording)
            finally:
                if keep:
                    emit(Noted(how_to_reach(place)))
    finally:
        if played is not None:  # also where the machines can't be removed
            _tell(played, report, emit)
    if played.is_interrupted:
        return INTERRUPTED
    return 0 if played.is_good else FAILED


def _planned(
    run: RunOptions, maker: Provider, acts: Sequence[Step], cast: Assignment
) -> RehearsalReport:
    unplayable = tuple(act for act in acts if act.fault in maker.unable)
    playable = tuple(act for act in acts if act not in unplayable)
    return RehearsalReport(str(run.playbook), maker, cast, (), playable, unplayable)


def _refuse_if_unchangeable(
    wanted: Sequence[Sequence[ResolvedInput]], acts: Sequence[Step]
) -> None:
    """Say so before a machine is booted, and not in the middle of the acts."""
    for change in dict.fromkeys(act.change or as_written for act in acts):
        for each in wanted:
            as_changed(each, change)


def _cast(run: RunOptions, wanted: Sequence[Sequence[ResolvedInput]], emit: Emit) -> Assignment:
    groups = inventory_of(run).groups
    chosen = groups.get(GROUP, ())
    made = hosts.assign([[wish.target.name for wish in each] for each in wanted], chosen)
    if GROUP in groups and not set(chosen) & set(made.machines):
        emit(Noted(f"no host of the playbook is in the group {GROUP}: the first ones are played"))
    return made


def _provider(choice: MachineChoice) -> Provider:
    if choice.provider not in PROVIDERS:
        what = f"there is no provider {choice.provider!r}"
        raise InputError(Mistake("rehearsal-provider", what, hint=f"known: {', '.join(PROVIDERS)}"))
    maker = PROVIDERS[choice.provider]
    if choice.suite and maker.with_suite is None:
        what = f"{choice.provider} takes no --suite"
        hint = "its box says what the machines run: see the Vagrantfile"
        raise InputError(Mistake("rehearsal-suite", what, hint=hint))
    if choice.suite and maker.with_suite is not None:
        maker = maker.with_suite(choice.suite)
    maker.refuse()
    return maker


def _refuse_if_unwritable(report: Path | None) -> None:
    """Say so before an hour is spent, and not after."""
    if report is None:
        return
    spots = [spot for spot in _files(report) if spot.exists()] or [report.parent]
    if report.is_dir() or not all(os.access(spot, os.W_OK) for spot in spots):
        what = "the report can't be written here"
        raise InputError(
            Mistake("rehearsal-report", what, Place(str(report)), "--report FILE.html")
        )


def _remove_older(report: Path | None) -> None:
    """Let no older report stand in for this one, should it never be written."""
    for path in _files(report) if report else ():
        if path.is_file() and not path.is_symlink():  # /dev/null and /dev/stdout are no report
            with suppress(PermissionError):  # a folder of others: it is overwritten at the end
                path.unlink()


def _files(report: Path) -> tuple[Path, Path]:
    return report, report.with_name(report.name.removesuffix(".html") + ".txt")


def _tell(played: RehearsalReport, report: Path | None, emit: Emit) -> None:
    text = report_text.report(played)
    emit(Noted(text))
    if report:
        as_page, as_text = _files(report)
        as_page.write_text(printable(page(played)))
        as_text.write_text(printable(text))
        emit(Noted(f"the report: {as_page} and {as_text}"))


# --- the acts ----------------------------------------------------------------------------------


def _played(stage: Environment, planned: RehearsalReport, recording: Timeline) -> RehearsalReport:
    """Play the acts, up to the first that goes wrong or is interrupted."""
    scenes: list[StepResult] = []
    for number, act in enumerate(planned.acts, 1):
        try:
            recording(Noted(f"act {number} of {len(planned.acts)}: {act.title}"))
            scene = _play(act, stage, recording, scenes)
        except KeyboardInterrupt:
            scene = None
        except LabError as error:
            scene = _broken_off(act, error, recording)
        if scene is None:
            return replace(planned, scenes=scenes, is_interrupted=True)
        scenes.append(scene)
        if scene.wrong:
            break
    return replace(planned, scenes=scenes)


def _play(
    act: Step, stage: Environment, recording: Timeline, before: Sequence[StepResult]
) -> StepResult | None:
    """Play one act while customers ask, and look at the machines; None if it was interrupted."""
    running = before[-1].releases if before else {}
    first = before[0].releases if before else {}
    sent = load.start(stage.wanted, running, stage.cast.machines, stage.machines)
    recording.begin()
    ended = _perform(act, stage, recording)
    seconds = recording.seconds
    served = load.stop(sent, stage.machines)
    if INTERRUPTED in ended.statuses:
        return None
    sights = probe.observe(stage.run, stage.wanted, stage.cast, stage.machines)
    wrong = (*ended.wrong, *wrong_with(act, ended.statuses, sights, first))
    told = recording.masked((*wrong, *recording.problems)) if wrong else ()
    bars = (*recording.bars, *ended.bars)
    return StepResult(act, seconds, told, sights, ended.settled, served, bars)


def _broken_off(act: Step, error: LabError, recording: Timeline) -> StepResult:
    """Return the scene of an act whose machines did not do as they were told."""
    told = recording.masked((str(error), *recording.problems))
    return StepResult(act, recording.seconds, told, bars=recording.bars)


@dataclass(frozen=True)
class _Ended:
    """The exit status of each deployment, up to the first that was interrupted."""

    statuses: list[int]
    wrong: tuple[str, ...] = ()
    settled: float | None = None
    bars: tuple[Bar, ...] = ()


def _perform(act: Step, stage: Environment, recording: Timeline) -> _Ended:
    if act.change is None:
        return _Ended([deploy.rollback(stage.run, recording)])
    if act.fault is not None:
        return _break(act.fault, act, stage, recording)
    statuses: list[int] = []
    for each in stage.wanted:
        statuses.append(deploy.ship(as_changed(each, act.change), stage.run, recording))
        if statuses[-1] == INTERRUPTED:
            break
    return _Ended(statuses)


def _break(fault: Fault, act: Step, stage: Environment, recording: Timeline) -> _Ended:
    """Break a deploy of every deployment; the slowest return is the one that counts."""
    slowest, statuses, wrong, bars = 0.0, list[int](), list[str](), list[Bar]()
    for each in stage.wanted:
        changed = as_changed(each, act.change or as_written)
        place, began = _place(changed, stage), recording.seconds
        damage = breaking.play(fault, partial(deploy.ship, changed, stage.run), place, recording)
        if damage.status == INTERRUPTED:
            return _Ended([INTERRUPTED])
        if damage.seconds is None:
            return _Ended(statuses, (*wrong, f"{place.app}: {breaking.unsettled(damage, place)}"))
        statuses.append(damage.status)
        wrong += histories.otherwise(fault, damage.host, damage.attempts)
        slowest = max(slowest, damage.seconds)
        struck = began + damage.after
        bars.append(Bar(damage.host, fault.value, struck, damage.seconds, ok=False))
    return _Ended(statuses, tuple(wrong), slowest, tuple(bars))


def _place(wanted: Sequence[ResolvedInput], stage: Environment) -> breaking.Place:
    names = {wish.target.name: stage.cast.machines[wish.target.name] for wish in wanted}
    told = wanted[0].target.deployment
    return breaking.Place(told.app, told.root, names, stage.machines, told.health.deadline)
