"""Answer one controller over one channel, until it closes.

Requests are handled one after another. A second thread relays the messages of a running
transaction, so that Renew and Settle are read meanwhile; a third sends Alive, without which the
controller takes the host for hung. When the controller disconnects, a staged release is discarded;
an activation runs on until its lease ends. A lock's holder must send: a cut cable sends no FIN.
"""

import os
import sys
import threading
from contextlib import ExitStack, suppress
from typing import Any, Callable, Dict, Optional, Union

from ..host.host import Host, RealHost
from ..protocol.answers import Result
from ..protocol.controls import AskControls, Control
from ..protocol.messages import (
    HEARTBEAT,
    Activate,
    Activating,
    Adopt,
    Alive,
    AskLogs,
    AskReleases,
    AskStatus,
    Attach,
    Attempt,
    End,
    Failure,
    Findings,
    Hello,
    History,
    LogLines,
    Part,
    ProtocolError,
    Renew,
    Settle,
    Settled,
    Stage,
    Survey,
    Unstage,
)
from ..protocol.pulls import Pull
from ..records.redactor import Redactor
from ..system import files, folders, trust
from ..system.failures import Refused, from_os_error
from ..system.paths import Paths
from ..transaction import boot_unit
from ..transaction.store import Store
from .channel import Channel, ControllerDisconnected
from .edge import bug, guarded
from .lease_writer import LeaseWriter

FIRST_RENEWAL = 60.0  # seconds in which a controller that holds the lock has to begin renewing
Place = Callable[[str, str], Paths]


class Server:
    """The conversation with one controller about one app."""

    def __init__(self, channel: Channel, host: Host, place: Place, agent_zip: str) -> None:
        self.channel, self.host, self.place, self.agent_zip = channel, host, place, agent_zip
        self._store: Optional[Store] = None
        self._held = ExitStack()  # the session's lock
        self._blobs_in_use = ExitStack()  # the lock on the blobs that the controller need not send
        self._locked = False
        self._staged = ""  # the transaction of a staged release that is not activated
        self._write_error: Optional[OSError] = None  # why parts could not be written
        self._lease = LeaseWriter()

    @property
    def store(self) -> Store:
        if self._store is None:
            raise ProtocolError("a Hello must come first")
        return self._store

    @property
    def paths(self) -> Paths:
        return self.store.paths

    def serve(self) -> None:
        """Answer until the controller closes.

        Raises:
            ProtocolError: the controller sent something unexpected.
        """
        over = threading.Event()
        threading.Thread(target=self._send_alive, name="alive", args=(over,), daemon=True).start()
        with self._held, self._blobs_in_use:
            try:
                self._answer_all()
            except ControllerDisconnected:
                return
            finally:
                self._give_up("the controller has disconnected")
                over.set()

    def _send_alive(self, over: threading.Event) -> None:
        with suppress(ControllerDisconnected, OSError):  # the answering thread notices it as well
            while not over.wait(HEARTBEAT):
                self.channel.send(Alive())

    def _answer_all(self) -> None:
        answers: Dict[type, Callable[[Any], None]] = {
            Hello: self.hello,
            Survey: self.survey,
            Pull: self.pull,
            Stage: self.stage,
            Unstage: self.unstage,
            Activate: self.activate,
            Attach: self.attach,
            Renew: self.renew,
            Settle: self.settle,
            Adopt: self.adopt,
            Control: self.control,
            AskControls: self.control,
            AskStatus: self.status,
            AskReleases: self.releases,
            AskLogs: self.logs,
        }
        while True:
            frame = self.channel.read()
            if frame is None:
                return
            if isinstance(frame.message, Part):
                self.part(frame.message, frame.body)
                continue
            answer = answers.get(type(frame.message))
            if answer is None:
                raise ProtocolError(f"{type(frame.message).__name__} is no request")
            try:
                answer(frame.message)
            except Refused as refused:
                self.channel.send(refused.failure)
            except OSError as error:
                self.channel.send(from_os_error(error, type(frame.message).__name__.lower()))

    # --- questions -------------------------------------------------------------------------------

    def hello(self, ask: Hello) -> None:
        from ..records import app_root  # noqa: PLC0415 - imports cost time
        from ..storage import blobs  # noqa: PLC0415 - imports cost time
        from . import facts  # noqa: PLC0415 - imports cost time

        if os.path.normpath(ask.root) != ask.root or ask.root == "/":
            raise ProtocolError(f"{ask.root!r} cannot be the root of an app")
        paths = self.place(ask.app, ask.root)
        app_root.require(paths)
        folders.secure(paths)
        self._store = Store(paths, self.host)
        self.channel.redacted = Redactor(paths)
        if ask.blobs:
            self._blobs_in_use.enter_context(blobs.in_use(paths))
        recovered = self._recover() if ask.recover else ""
        self.channel.send(facts.gather(self.store, ask, recovered))

    def _recover(self) -> str:
        """Settle what an earlier run left open. Imports its code only if needed."""
        left = map(os.path.lexists, (self.paths.journal, self.paths.drained))
        if not any(left) and not boot_unit.is_armed(self.paths):
            return ""
        from ..transaction import recovery  # noqa: PLC0415

        return recovery.recover(self.store)

    def survey(self, ask: Survey) -> None:
        from ..staging import preflight  # noqa: PLC0415
        from ..transaction.hooks import migration  # noqa: PLC0415

        pending = migration.pending(self.store, ask.manifest.id) if ask.pending else None
        self.channel.send(Findings(preflight.survey(self.paths, self.host, ask), pending))

    def adopt(self, ask: Adopt) -> None:
        from . import adopt  # noqa: PLC0415

        self._lock(ask.attempt, 0.0)
        adopt.adopt(self.paths, ask.attempt, self.host.wall())
        self.status(AskStatus())

    def control(self, asked: Union[Control, AskControls]) -> None:
        from . import controls  # noqa: PLC0415

        self.channel.send(controls.answer(self.store, asked))

    def status(self, ask: AskStatus) -> None:
        from . import status  # noqa: PLC0415

        self.channel.send(status.gather(self.store, verify=ask.verify))

    def releases(self, _ask: AskReleases) -> None:
        from ..records import history as histories  # noqa: PLC0415
        from . import history_report  # noqa: PLC0415

        paths, past = self.paths, histories.entries(self.paths)
        lines, attempts = (
            history_report.release_lines(paths, past),
            history_report.attempt_lines(paths, past),
        )
        self.channel.send(History(lines, attempts))

    def logs(self, ask: AskLogs) -> None:
        from . import logs  # noqa: PLC0415

        names = logs.unit_names(self.paths, ask)
        for text in logs.stream(ask, names, self.channel.is_closed):
            self.channel.send(LogLines(text))
        self.channel.send(End())

    # --- staging -------------------------------------------------------------------------------

    def part(self, part: Part, body: bytes) -> None:
        """Store a part of a blob. Has no answer: Stage reports a failed write."""
        from ..storage import blobs  # noqa: PLC0415

        if self._write_error:
            return
        try:
            blobs.prepare(self.paths)
            blobs.receive(self.paths, part, body)
        except OSError as error:
            self._write_error = error

    def pull(self, ask: Pull) -> None:
        """Fetch blobs from a URL, before Stage, as Parts come before it."""
        from ..storage import blobs, pull  # noqa: PLC0415

        argv = [sys.executable, "-I", "-S", self.agent_zip, "download"]
        with blobs.in_use(self.paths):
            pull.pull(self.paths, ask, argv, self.channel.send, self.channel.listen)
        self.channel.send(End())

    def stage(self, ask: Stage) -> None:
        from ..records import holds  # noqa: PLC0415
        from ..staging import stage  # noqa: PLC0415
        from ..storage import blobs  # noqa: PLC0415

        self._lock(ask.attempt, ask.lock_wait)
        holds.require_none(self.paths, ask.manifest, ask.attempt, self.host.wall())
        blobs.prepare(self.paths)
        redacted = self.channel.redacted
        redacted.learn(ask.manifest, ask.env)
        with self._blobs_in_use, blobs.in_use(self.paths):
            answer = stage.stage(
                self.store, ask, redacted, self._raise_write_error, self._send_or_stop
            )
        self._staged = ask.attempt.txn
        self.channel.send(answer)

    def _raise_write_error(self) -> None:
        error, self._write_error = self._write_error, None
        if error:
            raise error

    def _send_or_stop(self, message: Any) -> None:
        """Send the progress of staging; end it if the controller has disconnected."""
        self.channel.send(message)
        self.channel.listen()

    def unstage(self, ask: Unstage) -> None:
        if self._staged not in ("", ask.txn):
            raise ProtocolError(f"{ask.txn} is not the staged transaction")
        failure = Failure("unstaged", "discarded before the switch", "stage")
        settled = self._discard(ask.txn, failure)
        self.channel.send(settled or Settled(ask.txn, Result.DISCARDED, ""))

    def _discard(self, txn: str, failure: Failure) -> Optional[Settled]:
        """Discard the transaction if it is open and has switched nothing yet."""
        from ..transaction import client  # noqa: PLC0415

        self._staged = ""
        return client.discard(self.store, txn, failure)

    def _give_up(self, why: str) -> None:
        if self._staged:
            self._discard(self._staged, Failure("session-ended", why, "stage"))

    # --- switching -----------------------------------------------------------------------------

    def activate(self, ask: Activate) -> None:
        from ..records import holds  # noqa: PLC0415
        from ..transaction import client  # noqa: PLC0415

        self._lock(ask.attempt, ask.lock_wait)
        holds.require_no_pause(self.paths, ask.attempt.txn)
        try:
            client.launch(self.store, ask, agent_zip=self.agent_zip, python=sys.executable)
        except Refused as refused:
            self._discard(ask.attempt.txn, refused.failure)
            raise
        self._staged = ""
        self.channel.send(Activating(ask.attempt.txn))
        self._follow()

    def attach(self, ask: Attach) -> None:
        from ..transaction import client  # noqa: PLC0415

        running = client.attached(self.store)
        if running is None:
            self.channel.send(End())
            return
        if ask.take_over is not None:
            self._lock(ask.take_over, 0.0)
        self.channel.send(running)
        self._follow(is_guest=ask.take_over is None)

    def _follow(self, *, is_guest: bool = False) -> None:
        """Relay the transaction's messages in a thread that ends with this process."""
        threading.Thread(target=self._pass_on, name="follow", args=(is_guest,), daemon=True).start()

    def _pass_on(self, is_guest: bool) -> None:  # noqa: FBT001 - a thread's arguments are positional
        from ..transaction import client  # noqa: PLC0415

        settled = False
        try:
            for message in client.follow(self.store, is_guest=is_guest):
                settled = isinstance(message, Settled)
                self.channel.send(self._lease.explained(message))
            if not settled:
                self.channel.send(End())
        except ControllerDisconnected:
            return
        except Refused as refused:
            self._send_last(refused.failure)
        except Exception:  # noqa: BLE001 - the edge of a thread
            self._send_last(bug())

    def _send_last(self, failure: Failure) -> None:
        try:
            self.channel.send(failure)
        except ControllerDisconnected:
            return

    def renew(self, ask: Renew) -> None:
        self.channel.patience = ask.lease
        self._lease.renew(self.store, ask)  # without an answer

    def settle(self, ask: Settle) -> None:
        if not self._lease.settle(self.store, ask):
            what = f"{ask.verdict} was requested before the release had passed its gate"
            self.channel.send(Failure("not-healthy-yet", what, "settle"))

    # --- one at a time -------------------------------------------------------------------------

    def _lock(self, attempt: Attempt, wait: float) -> None:
        """Take the session's lock once, and keep it until the session ends.

        Raises:
            Refused: locked, with the owner.
        """
        if self._locked:
            return
        try:
            self._held.enter_context(self.store.session(attempt, wait))
        except files.Locked:
            raise Refused(self.store.locked()) from None
        self._locked = True
        self.channel.patience = self.channel.patience or FIRST_RENEWAL


def on_this_host(app: str, root: str) -> Paths:
    """Return an app's paths, if root alone can change the agent itself.

    Raises:
        Refused: agent-untrusted.
    """
    paths = Paths(app, root)
    for path in (sys.executable, paths.var):
        weak = trust.weakness(path)
        if weak:
            what = f"the agent does not use {path}, which other users can change: {weak}"
            raise Refused(Failure("agent-untrusted", what, "hello", weak.cure))
    return paths


def serve(stdin: int, stdout: int, agent_zip: str, place: Place = on_this_host) -> int:
    """Answer a controller on these streams; return the process's exit status."""
    channel = Channel(stdin, stdout)
    return guarded(channel, Server(channel, RealHost(channel.listen), place, agent_zip).serve)


def receive(stdin: int, stdout: int, place: Place = Paths) -> int:
    """Receive parts of blobs until the stream ends, then send End; return the exit status."""
    from ..storage import blobs  # noqa: PLC0415

    channel = Channel(stdin, stdout)
    paths = place("", "/")

    def take_all() -> None:
        blobs.prepare(paths)
        while True:
            frame = channel.read()
            if frame is None:
                break
            if not isinstance(frame.message, Part):
                raise ProtocolError(f"expected a Part, got {type(frame.message).__name__}")
            blobs.receive(paths, frame.message, frame.body)
        channel.send(End())

    return guarded(channel, take_all)
