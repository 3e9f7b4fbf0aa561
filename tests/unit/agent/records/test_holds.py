"""What holds deploys on a host: rules over its history and what operators have said."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent_builders
from shipit.agent.protocol.answers import Result
from shipit.agent.protocol.controls import Control, Hold
from shipit.agent.protocol.manifest import Manifest
from shipit.agent.protocol.refusals import VERDICTS
from shipit.agent.records import history as histories
from shipit.agent.records import holds
from shipit.agent.records.history import Entry
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths

NOW = "2026-06-01T00:00:00Z"
AT = "2026-01-01T00:00:00Z"
OUTCOMES = {
    "!": (Result.ROLLED_BACK, "check-failed"),
    "%": (Result.ROLLED_BACK, "called-back"),
    "#": (Result.ROLLED_BACK, "lease-expired"),
    "?": (Result.DISCARDED, "check-failed"),
    "*": (Result.STUCK, "check-failed"),
}


def parsed(text: str) -> tuple[list[Entry], list[Control]]:
    """Read `r1 r2! <r1 hold unhold`: r1 committed, r2 failed its check, a rollback to r1, ..."""
    history: list[Entry] = []
    said: list[Control] = []
    running = ""
    for word in text.split():
        what, _, release = word.partition(":")
        if what in ("hold", "unhold"):
            control = Control(what, "ann@laptop", AT, "why", release=release, after=len(history))
            said.append(control)
            continue
        outcome, code = OUTCOMES.get(word[-1], (Result.COMMITTED, ""))
        name = word.strip("<!%#?*")
        kind = "rollback" if word.startswith("<") else "deploy"
        number = str(len(history))
        entry = Entry(number, kind, name, name, running, outcome, "bob@ci", AT, failure_code=code)
        history.append(replace(entry, bundle=f"wheels of {name}"))
        running = name if outcome is Result.COMMITTED else running
    return history, said


def held(text: str) -> str:
    """Return what is held, `app` for the app."""
    return " ".join(hold.release or "app" for hold in holds.standing(*parsed(text), NOW))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("r1 r2", ""),
        ("r1 r2!", "r2"),  # it failed its health check
        ("r1 r2! r3", "r2"),  # and stays held
        ("r1 r2! r2", ""),  # deployed in spite of it, and healthy
        ("r1 r2! r2!", "r2"),
        ("r1 r2%", ""),  # another host failed, or an operator pressed Ctrl-C
        ("r1 r2#", ""),  # the controller died
        ("r1 r2?", ""),  # it failed before clients met it
        ("r1 r2*", ""),  # the release before it is not healthy either
        ("r1!", ""),  # nothing ran before it: there is nothing to protect
        ("r1 r2 <r1", "r2"),  # an operator's rollback
        ("r1 r2 r3 <r2 <r1", "r3 r2"),
        ("r1 r2 <r1 <r2", ""),  # forward again
        ("r1 r2 <r1 r3", "r2"),
        ("r1 r2 <r1 r2", ""),
        ("r1 r2 r2_2!", ""),  # the same release, made anew: it runs
        ("r1 r2_2!", "r2"),
        ("r1 r2 r3 <r1!", "r1"),  # the target of a rollback failed
        ("hold", "app"),
        ("hold r1", "app"),  # an overridden hold stays
        ("r1 hold unhold", ""),
        ("r1 r2! hold unhold", ""),
        ("r1 hold r2! unhold r3 r4!", "r4"),
        ("r1 r2! unhold:r2 r3!", "r3"),  # the fleet went on with r2
        ("r1 r2% hold:r2", "r2"),  # it failed on another host
        ("r1 r2% hold:r2_2 r2", ""),
        ("hold:r1", ""),  # nothing runs here
        ("r1 r2 hold:r2_2", ""),  # its repair failed on another host; here it runs
    ],
)
def test_what_is_held(text: str, expected: str) -> None:
    assert held(text) == expected


@pytest.mark.parametrize("code", sorted(VERDICTS))
def test_each_verdict_against_a_release_holds_it(code: str) -> None:
    history, _ = parsed("r1 r2!")
    history[1] = replace(history[1], failure_code=code, failure=f"[{code}] it was bad")
    (hold,) = holds.standing(history, [], NOW)
    assert (hold.release, hold.who, hold.why) == ("r2", "bob@ci", f"[{code}] it was bad")


CODES = [
    "called-back",
    "lease-expired",
    "no-space",
    "interrupted",
    "driver-refused",
    "os-error",
    "",
]


@given(st.sampled_from(CODES))
def test_no_transient_failure_holds_a_release(code: str) -> None:
    history, _ = parsed("r1 r2!")
    assert holds.standing([history[0], replace(history[1], failure_code=code)], [], NOW) == []


@pytest.mark.parametrize("text", ["r1 r2!", "r1 r2 <r1"])
def test_wheels_are_held_unless_the_release_before_has_the_same_ones(text: str) -> None:
    history, _ = parsed(text)
    (hold,) = holds.standing(history, [], NOW)
    assert (hold.version, hold.bundle) == ("r2", "wheels of r2")
    alike = [replace(entry, bundle="the same") for entry in history]
    assert [hold.bundle for hold in holds.standing(alike, [], NOW)] == [""]
    unknown = [replace(entry, bundle="") for entry in history]  # of an earlier version
    assert [hold.bundle for hold in holds.standing(unknown, [], NOW)] == [""]


def test_wheels_that_are_healthy_with_other_settings_are_held_no_more() -> None:
    history, _ = parsed("r1 r2! r2b")
    history[2] = replace(history[2], bundle=history[1].bundle)
    (hold,) = holds.standing(history, [], NOW)
    assert (hold.release, hold.bundle) == ("r2", "")


def test_a_run_is_paused_until_it_is_resumed_and_no_other_one() -> None:
    def say(what: str, txn: str) -> Control:
        return Control(what, "ann@laptop", AT, txn=txn)

    said = [say("pause", "t1"), say("resume", "t1"), say("pause", "t2")]
    assert holds.pause(said[:1], "t1") == said[0]
    assert holds.pause(said, "t1") is None
    assert holds.pause(said, "t2") == said[2]
    assert holds.pause(said, "t3") is None
    assert holds.pause([say("pause", "")], "") is None
    assert holds.standing([], said, NOW) == []


def test_a_hold_ends_at_its_time() -> None:
    said = [Control("hold", "ann@laptop", AT, "moving", until="2026-06-01T08:00:00Z")]
    assert len(holds.standing([], said, "2026-06-01T07:59:59Z")) == 1
    assert holds.standing([], said, "2026-06-01T08:00:00Z") == []


def test_a_record_that_is_longer_than_the_history_is_still_read() -> None:
    """The root's file system was lost, with the history."""
    assert held("hold") == "app"
    _, said = parsed("r1 r2 hold")
    assert [hold.release for hold in holds.standing([], said, NOW)] == [""]


def wanted(release: str, version: str = "", bundle: str = "") -> Manifest:
    made = object.__new__(Manifest)
    for key, value in {"id": release, "version": version, "bundle": bundle}.items():
        object.__setattr__(made, key, value)
    return made


@pytest.mark.parametrize(
    ("hold", "release", "applies"),
    [
        (Hold("", "", ""), ("r9", "9", "w9"), True),
        (Hold("", "", "", release="r2", version="2", bundle="w2"), ("r2", "2", "w2"), True),
        (Hold("", "", "", release="r2", version="2", bundle="w2"), ("r2_2", "2", "w2"), True),
        # of another host, or with another setting
        (Hold("", "", "", release="r2", version="2", bundle="w2"), ("r3", "2", "w2"), True),
        # the fix, where nobody has counted up
        (Hold("", "", "", release="r2", version="2", bundle="w2"), ("r3", "2", "w3"), False),
        (Hold("", "", "", release="r2", version="2"), ("r3", "2", ""), False),
    ],
)
def test_a_release_is_the_same_by_its_id_or_by_its_version_and_wheels(
    hold: Hold, release: tuple[str, str, str], *, applies: bool
) -> None:
    assert hold.applies(wanted(*release)) is applies


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("app", str(tmp_path / "opt"), str(tmp_path / "var"), str(tmp_path / "units"))


def test_what_is_said_is_kept_for_root_alone_and_a_torn_line_left_out(paths: Paths) -> None:
    holds.say(paths, Control("hold", "ann@laptop", AT, "moving"))
    record = Path(paths.controls)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700
    with record.open("a") as stream:
        stream.write('{"what": "unho')
    assert [each.what for each in holds.said(paths)] == ["hold"]
    holds.say(paths, Control("unhold", "ann@laptop", AT))
    assert [each.what for each in holds.said(paths)] == ["hold", "unhold"]


def test_what_a_newer_version_has_said_is_left_out(paths: Paths) -> None:
    holds.say(paths, Control("hold", "ann@laptop", AT, "moving"))
    with Path(paths.controls).open("a") as stream:
        stream.write('{"what": "slow-down", "who": "ann", "at": "2027-01-01T00:00:00Z"}\n')
    assert len(holds.said(paths)) == 1


def test_the_place_in_the_history_is_the_hosts_own(paths: Paths) -> None:
    for entry in parsed("r1 r2!")[0]:
        histories.append(paths, entry)
    holds.say(paths, Control("unhold", "ann@laptop", AT, after=0))
    assert holds.now_standing(paths, histories.entries(paths), 0.0) == ()


def test_a_held_release_is_refused_unless_that_is_overridden(paths: Paths) -> None:
    for entry in parsed("r1 r2!")[0]:
        histories.append(paths, entry)
    attempt = agent_builders.attempt()
    holds.require_none(paths, wanted("r3"), attempt, 0.0)
    with pytest.raises(Refused, match="r2 is held") as caught:
        holds.require_none(paths, wanted("r2"), attempt, 0.0)
    assert caught.value.failure.code == "release-held"
    assert "bob@ci since 2026-01-01" in caught.value.failure.what
    holds.require_none(paths, wanted("r2"), replace(attempt, overrides=("hold",)), 0.0)


def test_a_paused_run_is_not_switched(paths: Paths) -> None:
    holds.require_no_pause(paths, "t1")
    holds.say(paths, Control("pause", "ann@laptop", AT, "errors", txn="t1"))
    with pytest.raises(Refused, match=r"paused by ann@laptop since .*: errors") as caught:
        holds.require_no_pause(paths, "t1")
    assert caught.value.failure.code == "paused"
    holds.require_no_pause(paths, "t2")
    holds.say(paths, Control("resume", "ann@laptop", AT, txn="t1"))
    holds.require_no_pause(paths, "t1")


def test_what_was_said_of_a_canary_is_about_its_run() -> None:
    held = Control("canary", "ci@runner", AT, txn="t1")
    promoted = Control("promote", "ann@laptop", AT, txn="t1")
    assert holds.canary([], "t1") is None
    assert holds.canary([held, say_pause()], "t1") == held
    assert holds.canary([held, promoted], "t1") == promoted
    assert holds.canary([held, promoted], "t2") is None
    assert holds.canary([Control("canary", "ci@runner", AT)], "") is None


def say_pause() -> Control:
    return Control("pause", "ann@laptop", AT, txn="t1")
