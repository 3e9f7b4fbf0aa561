"""Start units, and hand over from one to another; a failed start is reported with its log."""

from dataclasses import replace
from typing import Optional, Sequence

from ..health import evidence
from ..health.gate import Interrupted
from ..host.host import QUICK, Host
from ..protocol.messages import Failure
from ..protocol.values import dataclass
from ..system.failures import Refused, from_output
from ..system.paths import Paths
from ..system.process import Done
from ..system.sockets import Endpoint
from .unit_plan import Handover

STOPPING = "deactivating"  # ActiveState of a unit that is stopping
STEADY = 1.0  # seconds; a service without a socket must run this long before its predecessor stops
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds


def ask(
    host: Host, verb: str, step: str, names: Optional[Sequence[str]] = None, timeout: float = QUICK
) -> None:
    """Run a systemctl verb; of no units, if `names` is empty, none.

    Raises:
        Refused: systemctl-failed: it failed or timed out.
    """
    if names is not None and not names:
        return
    done = _done(host, verb, names or (), timeout)
    if not done.ok:
        how = "systemd did not answer in time" if done.timed_out else "systemd refused"
        what = f"systemctl {' '.join([verb, *(names or ())])}: {how}"
        raise Refused(from_output("systemctl-failed", what, step, done.output))


def _done(host: Host, verb: str, names: Sequence[str], timeout: float) -> Done:
    """Run a systemctl verb; kill the units that are still stopping after `timeout` seconds.

    A service with `notify` can delay its stop without end (EXTEND_TIMEOUT_USEC=), and so a
    rollback. A restart continues after the kill.
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

    Its methods raise Refused: start-failed, for units that do not start or do not serve, or the
    failure of `interrupted`, which is called before each start and while waiting for a unit.
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
        self._check_interrupted()
        done = _done(self.host, verb, names, self.limit)
        if not done.ok:
            raise Refused(self._failure("did not start", names, done.output))

    def _check_interrupted(self) -> None:
        failure = self.interrupted()
        if failure is not None:
            raise Refused(replace(failure, step=self.step))

    def hand_over(self, handover: Handover, listening: Optional[Endpoint]) -> None:
        """Start a unit, wait until it serves, then stop those that it replaces.

        `listening`: where its socket does; None if it has none that can be probed.
        """
        self.run("start", (handover.start,))
        began = self.host.now()
        pause = FIRST_PAUSE
        while not self._serves(handover.start, listening, began):
            self._check_interrupted()
            self.host.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
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

    def _failure(self, what: str, names: Sequence[str], output: str = "") -> Failure:
        """Return a failure with the units that are not up, or else all of them, and their logs."""
        views = self.host.show(names)
        ill = [view for view in views.values() if not view.is_active] or list(views.values())
        logs = evidence.of_units(self.paths, self.host, ill, self.since)
        return Failure(
            "start-failed",
            evidence.with_exception(f"{', '.join(view.name for view in ill)} {what}", logs),
            self.step,
            hint=evidence.advice(logs)
            or f"see the log below; the whole log: {evidence.where(ill[0].name)}",
            evidence=f"{output.rstrip()}\n{logs}".strip(),
        )
