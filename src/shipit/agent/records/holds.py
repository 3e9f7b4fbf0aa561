"""What holds deploys of an app on this host: pure rules over the history and operators' words.

An operator holds all deploys. A release that was rolled back is held by itself: by a rollback of an
operator or of the host's watch, or because it failed its health checks, did not start or crashed.
Nothing else speaks against a release: after a lost controller, a full disk or an unreachable host
it may be deployed again. A release that failed before clients met it, or where there was none
before, is not held.

The operators' record is append-only and fsynced; only root can write and read it. Nothing is
removed from it.
"""

import json
from dataclasses import asdict, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..protocol import refusals
from ..protocol.answers import BY_WATCH, Result
from ..protocol.codec import from_json
from ..protocol.controls import ABORT, CANARY, PROMOTE, Control, Hold
from ..protocol.manifest import Manifest
from ..protocol.messages import Attempt
from ..protocol.rules import generations
from ..system import files, folders
from ..system.failures import Refused
from ..system.paths import Paths
from . import history as histories
from .history import Entry

OVERRIDE = "hold"  # protocol.Attempt.overrides
MOST = 10  # held releases that are reported; all are refused
MODE = 0o600


# --- the rules, pure ---------------------------------------------------------------------------


def standing(history: Sequence[Entry], said: Sequence[Control], now: str) -> List[Hold]:
    """Return the holds at a time (ISO 8601, UTC): the one of the whole app first.

    A commit of a held release ends its hold; an unhold ends all.
    """
    whole: Optional[Hold] = None
    held: Dict[str, Hold] = {}
    waiting = list(said)
    for number in range(len(history) + 1):
        while waiting and (waiting[0].after <= number or number == len(history)):
            control = waiting.pop(0)
            if control.what == "unhold" and control.release:
                held.pop(generations.contents(control.release), None)
            elif control.what == "unhold":
                whole, held = None, {}
            elif control.what == "hold" and control.release:
                held.update(_of_release(control, history[:number]))
            elif control.what == "hold":
                whole = Hold(control.who, control.at, control.why, control.until)
        if number < len(history):
            held = _without(held, history[number])
            held.update(_after(history, number))
    has_ended = whole is None or (whole.until and whole.until <= now)
    return [*([] if whole is None or has_ended else [whole]), *held.values()]


def _without(held: Mapping[str, Hold], entry: Entry) -> Dict[str, Hold]:
    """Return the holds that an attempt leaves: a commit speaks for its release and its wheels."""
    if entry.outcome != Result.COMMITTED:
        return dict(held)
    contents = generations.contents(entry.release)
    return {
        release: replace(hold, bundle="") if hold.bundle == entry.bundle else hold
        for release, hold in held.items()
        if release != contents
    }


def _after(history: Sequence[Entry], number: int) -> Dict[str, Hold]:
    """Return the hold that follows from an attempt, by the release that it is about."""
    entry = history[number]
    if generations.contents(entry.previous) in ("", generations.contents(entry.release)):
        return {}
    if entry.outcome == Result.ROLLED_BACK and entry.failure_code in refusals.VERDICTS:
        known = history[: number + 1]
        return _hold(entry.release, entry.previous, entry, entry.failure, known)
    is_rollback = (entry.what, entry.outcome) == ("rollback", Result.COMMITTED)
    if is_rollback and entry.release in histories.line_of_succession(history[:number]):
        by = BY_WATCH if entry.who == BY_WATCH else "an operator"
        why = f"rolled back by {by}" + (f": {entry.reason}" if entry.reason else "")
        return _hold(entry.previous, entry.release, entry, why, history[:number])
    return {}


def _hold(
    release: str, back_to: str, by: Entry, why: str, known: Sequence[Entry]
) -> Dict[str, Hold]:
    """Return the hold of a release that was rolled back to another one.

    It is about its wheels as well, whatever their settings, unless both have the same ones: then
    the settings are to blame.
    """
    contents, version, bundle = generations.contents(release), "", ""
    for entry in known:
        if generations.contents(entry.release) == contents:
            version, bundle = entry.version or version, entry.bundle or bundle
    same = any(e.bundle == bundle for e in known if e.release == back_to)
    kept = "" if same else bundle
    made = Hold(by.who, by.at, why, release=contents, version=version, bundle=kept)
    return {contents: made}


def _of_release(control: Control, history: Sequence[Entry]) -> Dict[str, Hold]:
    """Return a hold that the controller has placed, because the release failed on another host."""
    by, top = Entry("", "", "", "", "", "", control.who, control.at), histories.head(history)
    back_to = top.release if top else ""
    if generations.contents(back_to) in ("", generations.contents(control.release)):
        return {}  # there is nothing else to run, or it runs here, and well
    return _hold(control.release, back_to, by, control.why, history)


def pause(said: Sequence[Control], run: str) -> Optional[Control]:
    """Return the pause of a run; None if it was never paused, or is resumed."""
    of_run = [each for each in said if each.what in ("pause", "resume") and each.txn == run]
    return of_run[-1] if run and of_run and of_run[-1].what == "pause" else None


def canary(said: Sequence[Control], run: str) -> Optional[Control]:
    """Return that the canary of a run is held, or who has ended that; None if it never was."""
    words = (CANARY, PROMOTE, ABORT)
    of_run = [each for each in said if each.what in words and each.txn == run]
    return of_run[-1] if run and of_run else None


# --- the record --------------------------------------------------------------------------------


def said(paths: Paths) -> List[Control]:
    """Return what operators have said, the oldest first; skip a torn line."""
    found = map(_control, files.read_json_lines(paths.controls))
    return [control for control in found if control is not None]


def _control(line: Any) -> Optional[Control]:
    try:
        return from_json(Control, line)
    except ValueError:  # of a newer version
        return None


def say(paths: Paths, control: Control) -> None:
    """Record what an operator says, after what the history has now."""
    folders.make(paths, paths.controls)
    after = len(histories.entries(paths))
    line = json.dumps(asdict(replace(control, after=after)))
    files.append_line(paths.controls, line.encode(), MODE)


def now_standing(paths: Paths, history: Sequence[Entry], wall: float) -> Tuple[Hold, ...]:
    """Return the holds at a time in seconds since the epoch."""
    return tuple(standing(history, said(paths), histories.utc(wall)))


def reported(found: Sequence[Hold]) -> Tuple[Hold, ...]:
    """Return the hold of the app, and the last ones of releases."""
    return (*(h for h in found if not h.release), *[h for h in found if h.release][-MOST:])


def require_none(paths: Paths, wanted: Manifest, attempt: Attempt, wall: float) -> None:
    """Refuse a release that is held, unless the attempt overrides holds.

    Raises:
        Refused: app-held or release-held.
    """
    if OVERRIDE in attempt.overrides:
        return
    for hold in now_standing(paths, histories.entries(paths), wall):
        if hold.applies(wanted):
            raise Refused(refusals.of_hold(hold, wanted.id))


def require_no_pause(paths: Paths, run: str) -> None:
    """Refuse to switch a host whose run is paused.

    Raises:
        Refused: paused.
    """
    paused = pause(said(paths), run)
    if paused is not None:
        raise Refused(refusals.of_pause(paused))
