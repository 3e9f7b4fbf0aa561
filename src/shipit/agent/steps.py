"""Switch this host to a release, or to none: units, `current`, processes. Forward and back alike.

Each step may be repeated: what is already as wanted is left. What has to be done is decided by
`units`; how the result does is judged by `gate`.
"""

import os
from dataclasses import dataclass
from typing import AbstractSet, Dict, FrozenSet, Optional, Sequence, Tuple

from . import evidence, releases
from .contents import Manifest
from .failures import Refused, from_output
from .host import QUICK, Host, UnitView
from .paths import Paths
from .process import Done
from .protocol import Failure
from .units import Actions, Scene, decide, stop_limit


@dataclass(frozen=True)
class Switch:
    """Where to go."""

    wanted: Optional[Manifest]  # None: the app is taken off this host
    others: Tuple[str, ...]  # units that may be there and go, unless they are wanted
    untouched: AbstractSet[str]  # units that run already as the wanted release has them
    step: str
    going_back: bool = False


def unit_names(*manifests: Optional[Manifest]) -> Tuple[str, ...]:
    """Return the names of all units of these releases."""
    return tuple(dict.fromkeys(u.name for m in manifests if m for u in m.units))


def switch(paths: Paths, host: Host, to: Switch) -> None:
    """Switch files and processes.

    Raises:
        Refused: systemd refused something; the units' own logs are in the evidence.
    """
    since = host.wall()
    texts, actions = _planned(paths, host, to)
    limit = stop_limit(to.wanted.units if to.wanted else ())
    _install(paths, host, texts, actions)
    _systemctl(host, "stop", actions.retire, to.step, limit)
    _put_on_disk(paths, host, to, actions)
    _systemctl(host, "stop", actions.stop, to.step, limit)
    if actions.reset:
        host.systemctl("reset-failed", actions.reset)  # fails for units that never ran: fine
    for verb, names in (("start", actions.start), ("restart", actions.restart)):
        done = host.systemctl(verb, names, timeout=limit) if names else None
        if done is not None and not done.ok:
            raise Refused(_not_started(host, to.step, names, done, since))


def put_on_disk(paths: Paths, host: Host, to: Switch) -> None:
    """Switch the files alone, and have systemd read them: what is started next is as wanted.

    For the boot, where nothing of the app runs yet and nothing may be waited for.
    """
    texts, actions = _planned(paths, host, to)
    _install(paths, host, texts, actions)
    if actions.remove:
        host.systemctl("stop --no-block", actions.remove)  # takes back a queued start
    _put_on_disk(paths, host, to, actions)


def _planned(paths: Paths, host: Host, to: Switch) -> Tuple[Dict[str, str], Actions]:
    names = list(dict.fromkeys([*unit_names(to.wanted), *to.others]))
    texts = texts_of(paths, to.wanted) if to.wanted else {}
    installed = releases.installed_texts(paths, names)
    scene = Scene(installed, host.show(names), to.untouched, going_back=to.going_back)
    units = to.wanted.units if to.wanted else ()
    return texts, decide(units, texts, to.others, scene)


def texts_of(paths: Paths, wanted: Manifest) -> Dict[str, str]:
    """Return the texts of a release's units, all of them.

    Raises:
        Refused: release-damaged: one of them is not there.
    """
    texts = releases.unit_texts(paths, wanted)
    gone = [unit.name for unit in wanted.units if unit.name not in texts]
    if gone:
        what = f"release {wanted.id} has lost its unit {gone[0]}"
        raise Refused(Failure("release-damaged", what, "", "deploy it again"))
    return texts


def _install(paths: Paths, host: Host, texts: Dict[str, str], actions: Actions) -> None:
    for name in actions.write:
        host.install(os.path.join(paths.units, name), texts[name])


def _put_on_disk(paths: Paths, host: Host, to: Switch, actions: Actions) -> None:
    _systemctl(host, "disable --no-reload", actions.disable, to.step)
    for name in actions.remove:
        host.remove(os.path.join(paths.units, name))
    _systemctl(host, "enable --no-reload", actions.enable, to.step)
    _systemctl(host, "reenable --no-reload", actions.reenable, to.step)
    # Going back, what is on the disk may be right and not yet read: a kill can lie between.
    if actions.reload or to.going_back:
        _expect(host.systemctl("daemon-reload"), "daemon-reload", to.step)
    if to.wanted:
        host.point(paths.current, os.path.join("releases", to.wanted.id))
    else:
        host.remove(paths.current)


def _systemctl(
    host: Host, verb: str, names: Sequence[str], step: str, timeout: float = QUICK
) -> None:
    if names:
        _expect(host.systemctl(verb, names, timeout=timeout), f"{verb} {' '.join(names)}", step)


def _expect(done: Done, what: str, step: str) -> None:
    if not done.ok:
        how = "systemd did not answer in time" if done.timed_out else "systemd refused"
        raise Refused(
            from_output("systemctl-failed", f"systemctl {what}: {how}", step, done.output)
        )


def _not_started(host: Host, step: str, names: Sequence[str], done: Done, since: float) -> Failure:
    """Name the units that did not start, with their logs."""
    views = host.show(names)
    ill = [view for view in views.values() if not view.is_active] or list(views.values())
    whose = ", ".join(view.name for view in ill)
    logs = evidence.of_units(host, ill, since)
    return Failure(
        "start-failed",
        f"{whose} did not start",
        step,
        hint=f"see the log below; the whole of it: journalctl -u {ill[0].name}",
        evidence=f"{done.output.rstrip()}\n{logs}".strip(),
    )


def running_sockets_and_timers(views: Dict[str, UnitView]) -> FrozenSet[str]:
    """Return the units that going forward may leave as they are, if their text stays the same."""
    kinds = (".socket", ".timer")
    return frozenset(n for n, view in views.items() if view.is_active and n.endswith(kinds))
