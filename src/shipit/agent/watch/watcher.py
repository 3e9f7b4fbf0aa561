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
from ..health.watched import Looks
from ..protocol.answers import WatchFailure
from ..protocol.manifest import ROLLBACK, Manifest, Watch
from ..protocol.messages import Failure
from ..records import history, releases, watches
from ..records.redactor import Redactor
from ..records.watches import Findings, Watched
from ..system import files, folders
from ..system.failures import Refused, from_os_error
from ..transaction.store import Store

EVIDENCE_KEPT = 16 * 1024  # characters


def run(store: Store) -> None:
    """Watch what is to be watched, to its end.

    Raises:
        Refused: systemd or the disk does not answer; the caller is started again.
    """
    folders.secure(store.paths)
    try:
        _run(store)
    except OSError as error:
        raise Refused(from_os_error(error, "watch")) from error


def _run(store: Store) -> None:
    paths, host, of = store.paths, store.host, watches.load(store.paths)
    top = history.head(history.entries(paths))
    found = releases.manifest(paths, of.release) if of and top and top.txn == of.txn else None
    if of is None or found is None or found.watch is None:
        return
    known = watches.findings(paths, of.txn)
    has_begun = bool(known.rollback) and _has_begun(store, known.rollback)
    is_boot = host.boot_id() not in (of.boot, known.boot)
    if is_boot:
        host.sleep(found.gate.deadline)
    left = min(found.watch.seconds, of.began + found.watch.seconds - host.wall())
    if left > 0 or is_boot:
        watcher = Watcher(store, of, found, found.watch, known, is_boot=is_boot)
        watcher.may_roll_back = not has_begun  # at most once for a commit
        watcher.look_for(left)


def _has_begun(store: Store, txn: str) -> bool:
    """Whether a rollback has begun. Settles one whose launch was killed."""
    from ..transaction import recovery  # noqa: PLC0415 - imports cost time

    open_ = store.load()
    if open_ is not None and open_.txn == txn:
        recovery.recover(store)
        return True
    return bool(history.outcome_of(history.entries(store.paths), txn))


class Watcher:
    """Watches one commit in one process.

    Args:
        store, of, manifest, watch: the commit, its release, and how that is watched.
        known: what was found before.
        may_roll_back: whether it has not begun a rollback.
        is_boot: whether the release has not been healthy yet since a boot.
    """

    def __init__(
        self,
        store: Store,
        of: Watched,
        manifest: Manifest,
        watch: Watch,
        known: Findings,
        *,
        is_boot: bool,
    ) -> None:
        self._store, self._of, self._watch, self._known = store, of, watch, known
        self._paths, self._host, self._is_boot = store.paths, store.host, is_boot
        self._looks, self.may_roll_back = Looks(), True
        names = [unit.name for unit in manifest.units if unit.start]
        views = self._host.show(names)
        self._context = Context(self._paths, manifest, self._host.wall(), views)

    def look_for(self, seconds: float) -> None:
        """Look for so long, and on until the last looks are decided."""
        end = self._host.now() + seconds
        while self._is_current():
            self._look()
            is_settled = self._looks.are_decided or self._is_deployed_to()
            if is_settled and self._host.now() >= end:
                return
            self._host.sleep(self._watch.every)

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
        self._is_boot = False
        self._note(replace(self._known, boot=self._host.boot_id(), found=found))

    def _failed(self, finding: GateState) -> None:
        found = self._known.found
        boot = self._host.boot_id()
        if found is None or found.until or self._known.boot != boot:
            found = self._failure(finding)
            self._note(replace(self._known, boot=boot, found=found, why_not=""))
        action = self._watch.at_boot if found.at_boot else self._watch.on_failure
        if action == ROLLBACK and self.may_roll_back and not self._known.why_not:
            self._roll_back(found)

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
        return recorded(masked, history.utc(since), at_boot=self._is_boot)

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
            return
        self.may_roll_back = False


def recorded(failure: Failure, since: str, *, at_boot: bool) -> WatchFailure:
    """Return a failure for the records: of its evidence only the end is kept."""
    evidence = failure.evidence[-EVIDENCE_KEPT:]
    return WatchFailure(
        failure.code, failure.what, failure.hint, evidence, since=since, at_boot=at_boot
    )
