"""Switch this host to a release, or to none: units, `current`, processes. Forward and back alike.

A service that hands over is started beside its predecessor, and this stops when the new one serves:
until then connections go to either, afterwards to the new one; systemd holds the listener. Each
step may be repeated: what is already as wanted is left. What has to be done is decided by `units`;
how the result does is judged by `gate`.
"""

import os
from dataclasses import dataclass
from typing import AbstractSet, Dict, FrozenSet, Optional, Sequence, Tuple

from . import evidence, listeners, releases
from .contents import Manifest
from .failures import Refused, from_output
from .host import QUICK, Host, UnitView
from .listeners import Endpoint
from .paths import Paths
from .protocol import Failure
from .units import Actions, Handover, Scene, decide, family, stop_limit

# Seconds in which a started service should be seen to take a connection. It has proven itself
# already; one that takes none by then has connections wait in the kernel, and the gate to pass.
SERVE_WAIT = 10.0
STEADY = 1.0  # seconds; one without a socket has to run so long before its predecessor stops
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds


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
    texts, actions = _planned(paths, host, to)
    starting = Starting(
        host, to.step, host.wall(), stop_limit(to.wanted.units if to.wanted else ())
    )
    _install(paths, host, texts, actions)
    _ask_for(host, "stop", actions.retire, to.step, starting.limit)
    _put_on_disk(paths, host, to, actions)
    _ask_for(host, "stop", actions.stop, to.step, starting.limit)
    if actions.reset:
        host.systemctl("reset-failed", actions.reset)  # fails for units that never ran: fine
    starting.run("start", actions.start)
    for wave in actions.restart:
        starting.run("restart", wave)
    for handover in actions.handovers:
        starting.hand_over(handover, texts)
    if actions.leaving:
        _forget(paths, host, to, actions.leaving)


@dataclass(frozen=True)
class Starting:
    """Starts units of one switch; what does not start is refused with its log."""

    host: Host
    step: str
    since: float  # when the switch began, seconds since the epoch
    limit: float  # seconds for one call

    def run(self, verb: str, names: Sequence[str]) -> None:
        done = self.host.systemctl(verb, names, timeout=self.limit) if names else None
        if done is not None and not done.ok:
            raise Refused(not_started(self.host, self.step, names, done.output, self.since))

    def hand_over(self, handover: Handover, texts: Dict[str, str]) -> None:
        """Start a unit, wait until it serves, and let those that it replaces end in peace."""
        self.run("start", (handover.start,))
        began = self.host.now()
        pause, listening = FIRST_PAUSE, _listener(handover.start, texts)
        while not self._serves(handover.start, listening, began):
            self.host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        _ask_for(self.host, "stop", handover.stop, self.step, self.limit)

    def _serves(self, name: str, listening: Optional[Endpoint], began: float) -> bool:
        view = self.host.show([name])[name]
        if not view.is_active or view.restarts:
            raise Refused(not_started(self.host, self.step, (name,), "it ended", self.since))
        lasted = self.host.now() - began
        if listening is None:
            return lasted >= STEADY
        return self.host.knock(listening, name) or lasted >= SERVE_WAIT


def _listener(name: str, texts: Dict[str, str]) -> Optional[Endpoint]:
    """Return what the service's socket listens on; None where it has none that can be asked."""
    found = listeners.wanted(texts.get(f"{family(name)}.socket", ""))
    return found[0] if found else None


def _forget(paths: Paths, host: Host, to: Switch, names: Sequence[str]) -> None:
    _ask_for(host, "disable --no-reload", names, to.step)
    for name in names:
        host.remove(os.path.join(paths.units, name))
    ask(host, "daemon-reload", to.step)


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
    _ask_for(host, "disable --no-reload", actions.disable, to.step)
    for name in actions.remove:
        host.remove(os.path.join(paths.units, name))
    _ask_for(host, "enable --no-reload", actions.enable, to.step)
    _ask_for(host, "reenable --no-reload", actions.reenable, to.step)
    # Going back, what is on the disk may be right and not yet read: a kill can lie between.
    if actions.reload or to.going_back:
        ask(host, "daemon-reload", to.step)
    if to.wanted:
        host.point(paths.current, os.path.join("releases", to.wanted.id))
    else:
        host.remove(paths.current)


def ask(
    host: Host, verb: str, step: str, names: Sequence[str] = (), timeout: float = QUICK
) -> None:
    """Have systemd do something.

    Raises:
        Refused: systemctl-failed: it did not, or not in time.
    """
    done = host.systemctl(verb, names, timeout=timeout)
    if not done.ok:
        how = "systemd did not answer in time" if done.timed_out else "systemd refused"
        what = f"systemctl {' '.join([verb, *names])}: {how}"
        raise Refused(from_output("systemctl-failed", what, step, done.output))


def _ask_for(
    host: Host, verb: str, names: Sequence[str], step: str, timeout: float = QUICK
) -> None:
    if names:
        ask(host, verb, step, names, timeout)


def not_started(host: Host, step: str, names: Sequence[str], said: str, since: float) -> Failure:
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
        evidence=f"{said.rstrip()}\n{logs}".strip(),
    )


def running_sockets_and_timers(views: Dict[str, UnitView]) -> FrozenSet[str]:
    """Return the units that going forward may leave as they are, if their text stays the same."""
    kinds = (".socket", ".timer")
    return frozenset(n for n, view in views.items() if view.is_active and n.endswith(kinds))
