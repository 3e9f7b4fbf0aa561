"""Start units, and let one take over from another; what does not start is told with its log."""

from dataclasses import dataclass, replace
from typing import Dict, Optional, Sequence

from ..health import evidence
from ..health.gate import Interrupted
from ..host.host import QUICK, Host
from ..protocol.messages import Failure
from ..system import sockets
from ..system.failures import Refused, from_output
from ..system.paths import Paths
from ..system.process import Done
from ..system.sockets import Endpoint
from ..system.unit_names import family
from .unit_plan import Handover

STOPPING = "deactivating"  # ActiveState of a unit that is told to stop
STEADY = 1.0  # seconds; one without a socket has to run so long before its predecessor stops
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds


def ask(
    host: Host, verb: str, step: str, names: Sequence[str] = (), timeout: float = QUICK
) -> None:
    """Have systemd do something.

    Raises:
        Refused: systemctl-failed: it did not, or not in time.
    """
    done = _done(host, verb, names, timeout)
    if not done.ok:
        how = "systemd did not answer in time" if done.timed_out else "systemd refused"
        what = f"systemctl {' '.join([verb, *names])}: {how}"
        raise Refused(from_output("systemctl-failed", what, step, done.output))


def _done(host: Host, verb: str, names: Sequence[str], timeout: float) -> Done:
    """Have systemd do something; what is still stopping when the time is over is killed.

    A service with `notify` may put its own stop off without end (EXTEND_TIMEOUT_USEC=), and with
    it the way back. A restart that waits for the stop goes on after it.
    """
    done = host.systemctl(verb, names, timeout=timeout)
    if not done.timed_out or verb not in ("stop", "restart"):
        return done
    late = [name for name, view in host.show(names).items() if view.active == STOPPING]
    if not late:
        return done
    host.systemctl("kill --signal=SIGKILL", late)
    return host.systemctl("stop" if verb == "stop" else "start", names, timeout=timeout)


@dataclass(frozen=True)
class Starting:
    """Starts the units of one step.

    Its methods raise Refused: start-failed, for units that do not start or serve nobody, and what
    `interrupted` says, which is asked before each start and while a unit is waited for.
    """

    paths: Paths
    host: Host
    step: str
    since: float  # when the step began, seconds since the epoch
    limit: float  # seconds for one call
    patience: float  # seconds for a unit to serve
    interrupted: Interrupted

    def run(self, verb: str, names: Sequence[str]) -> None:
        if not names:
            return
        self._go_on()
        done = _done(self.host, verb, names, self.limit)
        if not done.ok:
            raise Refused(self._failure("did not start", names, done.output))

    def _go_on(self) -> None:
        failure = self.interrupted()
        if failure is not None:
            raise Refused(replace(failure, step=self.step))

    def hand_over(self, handover: Handover, texts: Dict[str, str]) -> None:
        """Start a unit, wait until it serves, and let those that it replaces end in peace.

        `texts` of the release's units tell what its socket listens on.
        """
        self.run("start", (handover.start,))
        began = self.host.now()
        pause, listening = FIRST_PAUSE, _listener(handover.start, texts)
        while not self._serves(handover.start, listening, began):
            self._go_on()
            self.host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        if handover.stop:
            ask(self.host, "stop", self.step, handover.stop, self.limit)

    def _serves(self, name: str, listening: Optional[Endpoint], began: float) -> bool:
        view = self.host.show([name])[name]
        if not view.is_active or view.restarts:
            raise Refused(self._failure("did not stay up", (name,)))
        lasted = self.host.now() - began
        if listening is None:
            return lasted >= STEADY
        if self.host.accepts(listening, name):
            return True
        if lasted >= self.patience:
            what = f"took no connection to {listening} within {self.patience:g} s"
            raise Refused(self._failure(what, (name,)))
        return False

    def _failure(self, what: str, names: Sequence[str], said: str = "") -> Failure:
        """Name the units that are not up, or else all of them, with their logs."""
        views = self.host.show(names)
        ill = [view for view in views.values() if not view.is_active] or list(views.values())
        logs = evidence.of_units(self.paths, self.host, ill, self.since)
        return Failure(
            "start-failed",
            evidence.with_exception(f"{', '.join(view.name for view in ill)} {what}", logs),
            self.step,
            hint=evidence.advice(logs)
            or f"see the log below; the whole of it: {evidence.where(ill[0].name)}",
            evidence=f"{said.rstrip()}\n{logs}".strip(),
        )


def _listener(name: str, texts: Dict[str, str]) -> Optional[Endpoint]:
    """Return what the service's socket listens on; None where it has none that can be asked."""
    found = sockets.wanted(texts.get(f"{family(name)}.socket", ""))
    return found[0] if found else None
