"""Play a deploy through on disposable machines: deploy, break, watch the return, roll back.

Promises that no real host is touched, that the playbook's files are only read, and that the
machines are gone at the end, also after Ctrl-C, unless they are to be kept. Secrets are fetched as
in a deploy. The machines are of one kind (Debian 12, Python 3.11) whatever the real hosts are.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shipit import deploy, inventory, render
from shipit.errors import InputError, Mistake
from shipit.events import Noted
from shipit.lab import Lab, LabError, obstacles
from shipit.offers import wanted_by
from shipit.rehearse import casting, playbill, spectator
from shipit.rehearse import faults as breaking
from shipit.rehearse.acts import ACTS, FAULTS, Scene, as_written, wrong_with
from shipit.wishes import NAMELESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shipit.events import Emit
    from shipit.inventory import Host
    from shipit.rehearse.acts import Act, Change, Fault, Releases
    from shipit.rehearse.casting import Cast
    from shipit.wishes import Run, Wish

PROVIDERS = ("nspawn",)
VAGRANT = (
    "or in a full virtual machine, by Vagrant: "
    "vagrant init debian/bookworm64 && vagrant up && vagrant ssh, and rehearse in there"
)
FAILED, INTERRUPTED = 3, 130  # no real host was touched, whatever went wrong


def rehearse(
    run: Run,
    emit: Emit,
    *,
    provider: str = "nspawn",
    keep: bool = False,
    out: Path | None = None,
    faults: bool = False,
) -> int:
    """Play the playbook through and tell how it went.

    Args:
        run: as of a deploy; its hosts are played by machines.
        emit: is told all that happens, the report last.
        provider: of the machines.
        keep: leave the machines running, and say how to reach them.
        out: a file for the report.
        faults: play what the world does to a deploy as well: killed, cut off, without power.

    Returns:
        0 if every act ended as it has to, 3 if one did not, 130 after Ctrl-C.

    Raises:
        InputError: something a person wrote is wrong; told before a machine is booted.
        LabError: this machine can't boot others, or one of them failed.
    """
    _refuse_if_impossible(provider)
    wanted = wanted_by(run, emit)
    acts = (*ACTS, *FAULTS) if faults else ACTS
    cast = casting.cast([[wish.target.name for wish in each] for each in wanted])
    with _machines(cast, emit, keep=keep) as lab:
        stage = _stage(run, wanted, cast, lab, emit)
        try:
            scenes, is_interrupted = _played(stage, acts)
        finally:
            if keep:
                emit(Noted(_how_to_reach(stage)))
    text = playbill.report(
        str(run.playbook), cast, scenes, is_interrupted=is_interrupted, acts=acts
    )
    emit(Noted(text))
    if out:
        out.write_text(text)
    if is_interrupted:
        return INTERRUPTED
    return FAILED if any(scene.wrong for scene in scenes) else 0


def _refuse_if_impossible(provider: str) -> None:
    if provider not in PROVIDERS:
        what = f"there is no provider {provider!r}"
        raise InputError(Mistake("rehearsal-provider", what, hint=f"known: {', '.join(PROVIDERS)}"))
    if reasons := obstacles():
        raise LabError(
            "no-lab", f"no machines can be booted here: {'; '.join(reasons)}", hint=VAGRANT
        )


# --- the machines ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stage:
    """Where it plays.

    Attributes:
        run: as it was asked for, with machines in the place of hosts.
        wanted: what each machine should get, by deployment.
    """

    run: Run
    wanted: Sequence[Sequence[Wish]]
    cast: Cast
    lab: Lab
    emit: Emit


@contextmanager
def _machines(cast: Cast, emit: Emit, *, keep: bool) -> Iterator[Lab]:
    """Boot the machines, and leave nothing of them unless they are to be kept."""
    names = list(cast.machines.values())
    emit(Noted(f"booting disposable machines: {', '.join(names)}"))
    folder = Path(tempfile.mkdtemp(prefix="shipit-rehearsal-"))
    try:
        lab = Lab.up(names, folder, emit=lambda text: emit(Noted(text)))
        try:
            yield lab
        finally:
            if keep:
                atexit.unregister(lab.down)
            else:
                lab.down()
    finally:
        if not keep:
            shutil.rmtree(folder)


def _stage(run: Run, wanted: Sequence[Sequence[Wish]], cast: Cast, lab: Lab, emit: Emit) -> _Stage:
    """Put machines in the place of hosts, in the run and in what is wanted."""
    folder = next(iter(lab.hosts.values())).key.parent  # goes when the machines go
    (folder / "machines.yaml").write_text(lab.inventory())
    machines = inventory.load([folder / "machines.yaml"]).hosts
    ways = {machine.name: casting.connection_of(machine) for machine in machines}
    text = casting.inventory_text(
        inventory.load(run.inventory),
        [wish.target.host for each in wanted for wish in each],
        {host: ways[machine] for host, machine in cast.machines.items()},
    )
    path = folder / "inventory.yaml"
    path.touch(mode=0o600)  # variables may be nobody else's business
    path.write_text(text)
    on_machines = replace(
        run, inventory=(path,), limit=",".join(cast.machines), become_password=None
    )
    hosts = {host.name: host for host in inventory.load([path]).hosts}
    played = [
        [_changed(wish, hosts[wish.target.name], as_written) for wish in each if _is_in(cast, wish)]
        for each in wanted
    ]
    return _Stage(on_machines, played, cast, lab, emit)


def _is_in(cast: Cast, wish: Wish) -> bool:
    return wish.target.name in cast.machines


def _changed(wish: Wish, host: Host, change: Change) -> Wish:
    """Return a wish for this host with a changed deployment; the playbook's file stays as it is."""
    target = wish.target
    draft = replace(target.draft, values=change(target.draft.values))
    deployment = render.deployment(draft, host, target.extra_vars, NAMELESS)
    return replace(wish, target=replace(target, draft=draft, host=host, deployment=deployment))


def _how_to_reach(stage: _Stage) -> str:
    host = next(iter(stage.lab.hosts.values()))
    return (
        "the machines stay until the next rehearsal here: "
        f"ssh -i {host.key} {host.user}@{host.address}; "
        f"shipit status {stage.run.playbook} -i {stage.run.inventory[0]} -l {stage.run.limit}"
    )


# --- the acts ----------------------------------------------------------------------------------


def _played(stage: _Stage, acts: Sequence[Act]) -> tuple[list[Scene], bool]:
    """Play the acts, up to the first that goes wrong; says too whether Ctrl-C ended it."""
    scenes: list[Scene] = []
    first: Releases = {}
    for number, act in enumerate(acts, 1):
        stage.emit(Noted(f"act {number} of {len(acts)}: {act.title}"))
        began = time.monotonic()
        ended = _perform(act, stage)
        seconds = time.monotonic() - began
        if INTERRUPTED in ended.statuses:
            return scenes, True
        sights = spectator.sights(stage.run, stage.wanted, stage.cast, stage.lab)
        wrong = (*ended.wrong, *wrong_with(act, ended.statuses, sights, first))
        scenes.append(Scene(act, seconds, wrong, sights, ended.settled))
        if wrong:
            break
        first = first or scenes[0].releases
    return scenes, False


@dataclass(frozen=True)
class _Ended:
    """The exit status of each deployment, up to the first that was interrupted."""

    statuses: list[int]
    wrong: tuple[str, ...] = ()
    settled: float | None = None


def _perform(act: Act, stage: _Stage) -> _Ended:
    if act.change is None:
        return _Ended([deploy.rollback(stage.run, stage.emit)])
    if act.fault is not None:
        return _break(act.fault, act, stage)
    statuses: list[int] = []
    for each in stage.wanted:
        statuses.append(deploy.ship(_as_changed(each, act.change), stage.run, stage.emit))
        if statuses[-1] == INTERRUPTED:
            break
    return _Ended(statuses)


def _as_changed(wanted: Sequence[Wish], change: Change) -> list[Wish]:
    return [_changed(wish, wish.target.host, change) for wish in wanted]


def _break(fault: Fault, act: Act, stage: _Stage) -> _Ended:
    """Break a deploy of every deployment; the slowest return is the one that counts."""
    slowest = 0.0
    for each in stage.wanted:
        changed = _as_changed(each, act.change or as_written)
        machines = {wish.target.name: stage.cast.machines[wish.target.name] for wish in each}
        place = breaking.Place(each[0].target.deployment.app, machines, stage.lab)
        damage = breaking.play(fault, partial(deploy.ship, changed, stage.run), place)
        if damage.seconds is None:
            return _Ended([], (f"{place.app}: the hosts did not settle it by themselves",))
        if damage.status == 0:
            return _Ended([0])
        slowest = max(slowest, damage.seconds)
    return _Ended([], settled=slowest)
