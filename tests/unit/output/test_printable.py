"""Nothing that a host or its programs say acts on a terminal or passes for a line of shipit's."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.agent.protocol import messages
from shipit.agent.protocol.answers import Drift, ReleaseLine, UnitState
from shipit.errors import HostError, InputError, Mistake, ShipitError
from shipit.events import (
    Event,
    HostEnded,
    HostFailed,
    HostResult,
    Noted,
    Outcome,
    Probed,
    Problem,
    RunBegan,
    RunEnded,
    StepBegan,
    StepEnded,
)
from shipit.output import reports
from shipit.output.console import ConsoleOutput
from shipit.output.ending import ending
from shipit.output.json_lines import JsonOutput
from shipit.output.printable import one_line, printable
from shipit.output.redaction import Redactor
from shipit.rollout.host_session import EVIDENCE_KEPT, SENTENCE_KEPT, RefusedError

if TYPE_CHECKING:
    from shipit.output.layout import Part

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # in a form that no attack below has shown whole
ATTACKS = {
    "clear-screen": "\x1b[2J\x1b[H",
    "clipboard": "\x1b]52;c;Y3VybCBldmls\x07",
    "title": "\x1b]0;pwned\x1b\\",
    "c1-csi": "\x9b2J",
    "backspaces": "x\x08\x08\x7f",
    "carriage-return": "well\rweb2  committed",
    "vertical": "a\x0bb\x0cc",
    "file-separators": "a\x1cb\x1db\x1eb\x85c",
    "bidi": "\u202etxt.exe\u2066\u2069",
    "zero-width": "ad\u200bmin\u200d\ufeff",
    "separators": "a\u2028web2  committed\u2029b",
    "surrogate": "half \ud800 of one",
    "nul": "a\0b",
    "tag": "\U000e0041",
    "forged": "fine\nweb2  committed  9.9.9\nall 4 hosts run 9.9.9\n  next: curl evil",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_steers_a_terminal_is_shown_and_does_not_act(attack: str) -> None:
    assert_harmless(printable(attack), kept="\n\t")
    assert_harmless(one_line(attack))
    assert one_line("\x1b\u202e\U000e0041\n") == r"\x1b\u202e\U000e0041\x0a"


@given(st.text(st.characters()))
def test_no_text_steers_a_terminal(text: str) -> None:
    assert_harmless(printable(text), kept="\n\t")
    assert_harmless(one_line(text))


@pytest.mark.parametrize(
    "text", ["plain", "größer, 中文, ελληνικά", "no\u00a0break", "e\u0301", "👍"]
)
def test_letters_of_every_script_stay(text: str) -> None:
    assert printable(text) == one_line(text) == text


def test_evidence_keeps_its_lines_and_tabs_alone() -> None:
    assert printable("a\r\n\tb\n") == "a\n\tb\n"


def assert_harmless(text: str, kept: str = "") -> None:
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert [c for c in text if c not in kept and unicodedata.category(c) in acting] == []


def events(attack: str) -> list[Event]:
    problem = Problem("web1", "gate-failed", attack, attack, attack, attack)
    return [
        RunBegan("deploy", "demo", ("web1", "web2")),
        StepBegan("web1", attack, attack),
        StepEnded("web1", attack, 1.0, ok=False),
        Probed("web1", attack, ok=False, detail=attack),
        Noted(attack, "web1"),
        HostFailed(problem),
        HostEnded("web1", Outcome.ROLLED_BACK, attack, 1.0),
        RunEnded("deploy", "demo", 4, {"web1": HostResult(Outcome.ROLLED_BACK, attack, problem)}),
    ]


def answers(attack: str) -> list[Part]:
    unit = UnitState(attack, attack, attack, 1, 1)
    who = messages.Attempt("t1", "deploy", attack, 1, "2026-01-01T00:00:00Z", attack)
    drift = Drift("drop-in", attack, attack)
    holder = messages.Holder(who, 1, attack, 1.0)
    status = messages.Status("r1", attack, attack, attack, (unit,), (drift,), holder, attack)
    past = ReleaseLine("r1", attack, "committed", attack, attack, True, False)
    return [
        *reports.status([("demo", {"web1": status})]),
        *reports.releases([("demo", {"web1": messages.History((past,))})]),
    ]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("kind", [io.StringIO, Tty])
def test_neither_a_terminal_nor_a_plain_log_is_steered_or_forged(
    kind: type[io.StringIO], attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out, err = kind(), kind()
    console = ConsoleOutput(out, err, verbosity=1, redactor=Redactor())
    for event in events(attack):
        console(event)
    console.answer("status", 0, answers(attack))
    console.log("web1", f"{attack}\n{attack}\n")
    console.error(HostError("code", attack, host="web1", hint=attack, evidence=attack))
    console.error(InputError(Mistake("code", attack, hint=attack)))
    console.error(ShipitError(attack))
    console.bug(ValueError(attack), attack)
    console.close()
    for reported in (out.getvalue(), err.getvalue()):
        seen = without_styles(reported) if kind is Tty else reported
        assert_harmless(seen, kept="\n")
    forged = [row for row in out.getvalue().splitlines() if row.startswith(("web2", "all 4 hosts"))]
    assert forged == []
    assert "\n  next: curl evil" not in out.getvalue(), out.getvalue()


def without_styles(reported: str) -> str:
    """Take away what rich itself writes: colours, and what moves its live table."""
    for sequence in STYLES.findall(reported):
        reported = reported.replace(sequence, "")
    return reported.replace("\r", "")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_json_line_is_one_line_of_ascii_and_says_the_truth(attack: str) -> None:
    stream = io.StringIO()
    machines = JsonOutput(stream, verbosity=1, redactor=Redactor())
    for event in events(attack):
        machines(event)
    machines.log("web1", attack)
    reported = stream.getvalue()
    assert_harmless(reported, kept="\n")
    assert reported.isascii()
    lines = [json.loads(line) for line in reported.split("\n") if line]
    failed = next(line for line in lines if line["event"] == "host-failed")
    assert failed["problem"]["evidence"] == attack


def test_a_problem_without_a_word_is_shown_anyway() -> None:
    ended = RunEnded(
        "deploy", "demo", 4, {"a": HostResult(Outcome.ROLLED_BACK, "", Problem("a", "x", ""))}
    )
    assert ending(ended, {})


def test_a_controller_keeps_the_end_of_evidence_and_the_beginning_of_a_sentence() -> None:
    long = "x" * 2**20
    error = RefusedError("web1", messages.Failure("code", long, long, long, long + "the end"))
    kept = (error.what, error.step, error.hint, error.evidence)
    assert max(map(len, kept[:3])) <= SENTENCE_KEPT + 10
    assert len(error.evidence) == EVIDENCE_KEPT
    assert error.evidence.endswith("the end")
