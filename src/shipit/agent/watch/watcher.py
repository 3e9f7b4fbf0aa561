"""Look at the committed release until its watch ends: the main of the unit that watches.

- After the commit it looks every few seconds, for as long as the playbook says.
- After a boot it first waits for the gate's deadline, so that everything may come up.
- A few bad looks are a failure (`health.watched`). It is written down, with its evidence.
- Where the playbook says so, the release is then rolled back, once (`rollback`).

While a deploy is under way it does not look: units are started again then. It holds no lock but for
the moment in which it starts a rollback, and may be killed at any line: what it has found, and what
it is about to do, are on the disk before.
"""

from dataclasses import replace
from typing import Optional

from ..health import gate
from ..health.gate import Context, GateState
from ..health.watched import Looks, longest
from ..protocol.answers import WatchFailure
from ..protocol.manifest import Manifest, Watch
from ..protocol.messages import Failure
from ..records import history, releases, watches
from ..records.redactor import Redactor
from ..records.watches import Findings, Watched
from ..system import files, folders
from ..system.failures import Refused, from_os_error
from ..transaction.store import Store
from . import due
from .due import Due

EVIDENCE_KEPT = 16 * 1024  # characters


def run(store: Store) -> str:
    """Watch what is to be watched, to its end; return a sentence if it gives up before, or "".

    Raises:
        Refused: systemd or the disk does not answer; the caller is started again.
    """
    folders.secure(store.paths)
    try:
        return _run(store)
    except OSError as error:
        raise Refused(from_os_error(error, "watch")) from error


def _run(store: Store) -> str:
    paths, of = store.paths, watches.load(store.paths)
    top = history.head(history.entries(paths))
    found = releases.manifest(paths, of.release) if of and top and top.txn == of.txn else None
    if of is None or found is None or found.watch is None:
        return ""
    _settle(store, watches.findings(paths, of.txn))
    watcher = Watcher(store, of, found, found.watch)
    if watcher.due().check:
        store.host.sleep(found.gate.deadline)
    return watcher.look_on(longest(found.watch, found.gate))


def _settle(store: Store, known: Findings) -> None:
    """Settle a rollback whose launch was killed."""
    from ..transaction import recovery  # noqa: PLC0415 - imports cost time

    open_ = store.load()
    if open_ is not None and open_.txn == known.rollback:
        recovery.recover(store)


class Watcher:
    """Watches one commit in one process. What it knows is on the disk, but for the last looks."""

    def __init__(self, store: Store, of: Watched, manifest: Manifest, watch: Watch) -> None:
        self._store, self._of, self._watch = store, of, watch
        self._paths, self._host = store.paths, store.host
        self._known, self._looks = watches.findings(store.paths, of.txn), Looks()
        # A clock that was set back makes no watch longer, nor one that is set while it is up.
        self._epoch = max(self._host.wall(), of.began) - self._host.now()
        names = [unit.name for unit in manifest.units if unit.start]
        views = self._host.show(names)
        self._context = Context(self._paths, manifest, self._host.wall(), views)

    def due(self) -> Due:
        """Return what is still due."""
        known, attempts, open_ = self._known, [], None
        if known.rollback:
            attempts, open_ = history.entries(self._paths), self._store.load()
        return due.due(
            self._of,
            known,
            self._watch,
            boot=self._host.boot_id(),
            now=self._now(),
            has_begun=due.has_begun(known, attempts, open_.txn if open_ else ""),
        )

    def _now(self) -> float:
        """Return seconds since the epoch, as at the start."""
        return self._epoch + self._host.now()

    def look_on(self, most: float) -> str:
        """Look for as long as something is due, and until the last looks are decided.

        Gives up after `most` seconds, and returns a sentence about that. Looks at a failure
        that is not over once more, though its time has ended: the watch was started by hand.
        """
        end = self._host.now() + most
        if not (self.due().is_any or self._known.is_ill):
            return ""
        while self._is_current():
            self._look()
            has_time = self._host.now() < end
            if not (has_time and self._goes_on()):
                self._note(replace(self._known, ended=history.utc(self._host.wall())))
                return "" if has_time else f"gave up after {most:.0f} s: see shipit status"
            self._host.sleep(self._watch.every)
        return ""

    def _goes_on(self) -> bool:
        is_settled = self._looks.are_decided or self._is_deployed_to()
        return not is_settled or self.due().is_any

    def _is_current(self) -> bool:
        """Whether no later commit has ended this watch."""
        now = watches.load(self._paths)
        return now is not None and now.txn == self._of.txn

    def _is_deployed_to(self) -> bool:
        """Whether a session or a transaction may be changing what runs."""
        return self._store.load() is not None or self._store.has_session()

    def _look(self) -> None:
        began, finding = self._host.wall(), self._seen()
        if finding is None:
            self._looks = Looks()
            return
        self._looks = self._looks.then(began, is_bad=bool(finding.wrong))
        if not self._looks.have_failed and not finding.wrong:
            self._healthy()
        elif self._looks.have_failed and finding.wrong:
            self._failed(finding)

    def _seen(self) -> Optional[GateState]:
        """Return the result of a look; None if it says nothing about the release."""
        if self._is_deployed_to():
            return None
        try:
            finding, self._context = gate.look(self._host, self._context)
        except Refused:  # systemd may be re-executing
            return None
        return None if self._is_deployed_to() else finding

    # --- what follows ----------------------------------------------------------------------------

    def _healthy(self) -> None:
        """Write down that it is healthy in this boot, and that a failure has ended."""
        found = self._known.found
        if found is not None and not found.until:
            found = replace(found, until=history.utc(self._host.wall()))
        self._note(replace(self._known, boot=self._host.boot_id(), found=found))

    def _failed(self, finding: GateState) -> None:
        boot = self._host.boot_id()
        if not self._known.is_ill or self._known.boot != boot:
            found, at = self._failure(finding), self._now()
            known = replace(self._known, boot=boot, found=found, failed_at=at)
            self._note(replace(known, why_not="", ended=""))
        if self._known.found and self.due().rollback:
            self._roll_back(self._known.found)

    def _note(self, known: Findings) -> None:
        if known != self._known:
            self._known = watches.note(self._paths, known)

    def _failure(self, finding: GateState) -> WatchFailure:
        """Return the failure for the records, with its evidence."""
        since, wanted = self._looks.bad[0], self._context.manifest.gate
        # What has led to it is in the log of the time before.
        of = replace(self._context, since=since - max(self._watch.every, wanted.deadline))
        failure = gate.failure_of(self._host, of, finding, str(self._looks))
        masked = Redactor(self._paths)(failure)
        return recorded(masked, history.utc(since), at_boot=self.due().check)

    def _roll_back(self, found: WatchFailure) -> None:
        """Begin the rollback, if there is one; a deploy that has just begun goes first."""
        from . import rollback  # noqa: PLC0415 - imports cost time

        target, why_not = rollback.target(self._store, self._of)
        if why_not:
            self._note(replace(self._known, why_not=why_not))
            return
        txn = self._known.rollback or rollback.new_txn()
        self._note(replace(self._known, rollback=txn, target=target))
        try:
            rollback.begin(self._store, self._of, found, txn, target)
        except files.Locked:
            return  # the next look tries again
        except Refused as refused:
            failure = refused.failure
            self._note(replace(self._known, why_not=f"[{failure.code}] {failure.what}"))


def recorded(failure: Failure, since: str, *, at_boot: bool) -> WatchFailure:
    """Return a failure for the records: of its evidence only the end is kept."""
    evidence = failure.evidence[-EVIDENCE_KEPT:]
    return WatchFailure(
        failure.code, failure.what, failure.hint, evidence, since=since, at_boot=at_boot
    )
