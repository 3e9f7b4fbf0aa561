from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fake_deploy import Simulation, manifest, put
from fake_machine import Machine
from shipit.agent.health import gate
from shipit.agent.health.advice import advice
from shipit.agent.host.answer import Answer
from shipit.agent.protocol.manifest import Check, Gate, Manifest
from shipit.agent.protocol.messages import Failure, Probed
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.agent.host.host import UnitView

HTTP = Check.of("http", "http://127.0.0.1:8000/healthz", json={"version": "2"})


class Gated:
    """A release that runs on a fake machine, and its gate."""

    def __init__(self, directory: Path) -> None:
        self.simulation = Simulation.at(directory)
        self.machine = self.simulation.machine
        self.manifest = manifest(self.simulation.paths, "r1")
        self.simulation.deploy(self.manifest)
        self.began = self.machine.clock
        self.said: list[object] = []

    def run(self, **changes: float) -> Failure | None:
        plain = self.manifest.gate
        wanted = replace(self.manifest, gate=replace(plain, **changes))  # type: ignore[arg-type]
        return gate.run(self.machine, self._context(wanted), self.said.append, lambda: None)

    def _context(self, wanted: Manifest) -> gate.Context:
        self.began = self.machine.clock
        since = self.machine.wall_time - 900
        return gate.context(self.simulation.paths, self.machine, wanted, since, {})

    def later(self, seconds: float, change: Callable[[], None]) -> None:
        """Let something happen when that much time has passed."""
        pending = [change]

        def look() -> None:
            if pending and self.machine.clock >= self.began + seconds:
                pending.pop()()

        self.machine.idle.append(look)

    @property
    def seconds(self) -> float:
        return self.machine.clock - self.began


@pytest.fixture
def gated(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


def test_a_good_release_passes_after_min_healthy_and_no_later(gated: Gated) -> None:
    assert gated.run(min_healthy=2.0, interval=0.7) is None
    assert 2.0 <= gated.seconds < 2.1


def test_a_fast_start_is_a_fast_gate(gated: Gated) -> None:
    gated.machine.sick.add("r1")
    gated.later(0.1, gated.machine.sick.clear)
    assert gated.run(min_healthy=0.0, interval=5.0) is None
    assert gated.seconds < 0.3


def test_units_are_viewed_a_few_times_only_while_a_service_starts(gated: Gated) -> None:
    """Each view is a process; nothing is good without a new one."""
    machine = gated.machine
    machine.sick.add("r1")
    gated.later(1.0, machine.sick.clear)
    before = len(machine.calls)
    assert gated.run(min_healthy=0.0, interval=0.05) is None
    calls = [call.partition(": ")[2].partition(" ")[0] for call in machine.calls[before:]]
    looks = [call for call in calls if call in ("show", "GET")]
    assert looks.count("GET") >= 15
    # The context; one each 0.25 s; after the good answer, and before the gate passes.
    assert looks.count("show") <= 1 + 1 + 4 + 1 + 1
    assert looks[-3:] == ["GET", "show", "show"]


def test_a_unit_that_fails_while_its_checks_fail_is_seen_soon(gated: Gated) -> None:
    gated.machine.sick.add("r1")
    web = gated.machine.running["app-web.service"]
    gated.later(1.0, lambda: setattr(web, "active", "failed"))
    failure = gated.run(deadline=60.0, interval=0.05)
    assert failure is not None
    assert failure.code == "unit-failed"
    assert gated.seconds <= 1.0 + gate.UNITS_PAUSE + 0.1


def test_a_good_answer_of_a_unit_that_has_failed_meanwhile_is_not_good(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its unit was steady when last viewed, and something else answers at once."""
    machine, answers = gated.machine, itertools.count()

    def http(_url: str, **_: object) -> Answer:
        if next(answers) < 1:
            return Answer(error="connection refused")
        machine.running["app-web.service"].active = "failed"
        return Answer(status=200)

    monkeypatch.setattr(machine, "http", http)
    failure = gated.run(min_healthy=0.0)
    assert failure is not None
    assert failure.code == "unit-failed"


def test_a_break_starts_the_healthy_spell_anew(gated: Gated) -> None:
    gated.later(1.5, lambda: gated.machine.sick.add("r1"))
    gated.later(3.0, gated.machine.sick.clear)
    assert gated.run(min_healthy=2.0, deadline=10.0) is None
    assert gated.seconds >= 5.0
    assert [m.ok for m in gated.said if isinstance(m, Probed)] == [True, False, True]


def test_a_systemd_that_does_not_answer_once_is_asked_again(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while it replaces itself, after an upgrade."""
    machine, context = gated.machine, gated._context(gated.manifest)
    answers, mute = machine.show, Refused(Failure("systemd-mute", "no", ""))
    silences = [mute, mute]

    def show(names: Sequence[str]) -> dict[str, UnitView]:
        if silences:
            raise silences.pop()
        return answers(names)

    monkeypatch.setattr(machine, "show", show)
    assert gate.check_units(machine, context) is None
    assert gate.run(machine, context, gated.said.append, lambda: None) is None
    assert silences == []


def test_a_spell_that_has_begun_in_time_may_be_finished(gated: Gated) -> None:
    assert gated.run(min_healthy=3.0, deadline=1.0) is None


def test_the_last_attempt_has_a_while_however_late_it_begins(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    had: list[float] = []

    def slow(url: str, *, timeout: float, **_: object) -> Answer:
        had.append(timeout)
        gated.machine.clock += 1.9
        return Answer(status=500)

    monkeypatch.setattr(gated.machine, "http", slow)
    assert gated.run(deadline=4.0, interval=1.0) is not None
    assert min(had) == had[-1] == gate.LAST_ATTEMPT


def test_at_the_deadline_the_failure_names_expected_got_attempts_and_the_log(gated: Gated) -> None:
    gated.machine.sick.add("r1")
    failure = gated.run(deadline=4.0, interval=1.0)
    assert failure is not None
    assert failure.code == "check-failed"
    assert "GET http://127.0.0.1:8000/healthz: expected status 200, got 500" in failure.what
    assert "attempts in 4." in failure.what
    assert 'last answer: {"release": "r1"}' in failure.evidence
    assert "the log of app-web.service" in failure.evidence
    assert 4.0 <= gated.seconds < 5.1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"active": "failed", "pid": 0}, "is failed"),
        ({"active": "inactive", "pid": 0}, "is inactive"),
        ({"restarts": 1, "invocation": "other"}, "restarted 1 times"),
        ({"invocation": "other"}, "app-web.service is active"),
    ],
)
def test_a_unit_that_failed_or_restarted_fails_at_once(
    gated: Gated, change: dict[str, Any], what: str
) -> None:
    running = gated.machine.running
    web = running["app-web.service"]
    gated.later(0.3, lambda: running.update({"app-web.service": replace(web, **change)}))
    failure = gated.run(min_healthy=30.0, deadline=60.0)
    assert failure is not None
    assert failure.code == "unit-failed"
    assert what in failure.what
    assert gated.seconds < 1.0


def test_a_unit_that_restarted_while_a_check_waited_for_it_is_seen(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, answers = gated.machine, itertools.count()

    def http(url: str, *, timeout: float, via: str = "", **_: object) -> Answer:
        if next(answers) == 1:  # its socket has woken it, and then it answers well
            machine.running["app-web.service"].invocation = "other"
            machine.clock += 2.0
        return Machine.http(machine, url, timeout=timeout, via=via)

    monkeypatch.setattr(machine, "http", http)
    failure = gated.run(min_healthy=1.0)
    assert failure is not None
    assert failure.code == "unit-failed"


def test_a_service_that_crashed_before_the_first_look_is_seen(gated: Gated) -> None:
    gated.machine.running["app-web.service"].restarts = 1
    failure = gated.run()
    assert failure is not None
    assert "restarted 1 times" in failure.what


def test_a_restart_of_long_ago_is_none_of_a_unit_that_was_left_alone(gated: Gated) -> None:
    web = gated.machine.running["app-web.service"]
    web.restarts = 1
    before = {"app-web.service": web.invocation}
    context = gate.context(gated.simulation.paths, gated.machine, gated.manifest, 0.0, before)
    assert gate.run(gated.machine, context, gated.said.append, lambda: None) is None


def test_a_changed_main_pid_starts_the_spell_anew(gated: Gated) -> None:
    web = gated.machine.running["app-web.service"]
    gated.later(1.0, lambda: setattr(web, "pid", 7))
    assert gated.run(min_healthy=2.0) is None
    assert gated.seconds >= 3.0


def test_an_interruption_ends_the_gate(gated: Gated) -> None:
    stop = Failure("called-back", "the controller requested a rollback", "check")
    context = gated._context(gated.manifest)
    found = gate.run(gated.machine, context, gated.said.append, lambda: stop)
    assert found is stop


def test_a_command_runs_in_the_release_as_the_apps_user(gated: Gated) -> None:
    check = Check.of("command", "sh -c true", body="root in")
    wanted = replace(gated.manifest, gate=Gate((check,), 0.25, 1.0, 0.0))
    put(gated.simulation.paths, wanted)
    context = gated._context(wanted)
    assert gate.run(gated.machine, context, gated.said.append, lambda: None) is None
    assert any(call.endswith("sh -c true") for call in gated.machine.calls)


def test_a_command_that_was_not_seen_to_end_is_no_good_answer(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gated.machine, "run_as", lambda *_, **__: Done(0, "root in", lost=True))
    wanted = replace(gated.manifest, gate=Gate((Check.of("command", "sh"),), 0.25, 1.0, 0.0))
    put(gated.simulation.paths, wanted)
    context = gated._context(wanted)
    failure = gate.run(gated.machine, context, gated.said.append, lambda: None)
    assert failure is not None
    assert "was not seen to end" in failure.what


def test_systemd_that_does_not_answer_is_no_bad_release(gated: Gated) -> None:
    def mute() -> None:
        raise Refused(Failure("systemd-mute", "no", ""))

    gated.later(0.1, mute)
    with pytest.raises(Refused, match="no"):
        gated.run(min_healthy=5.0)


@pytest.mark.parametrize(
    ("answer", "seconds", "hint"),
    [
        (Answer(status=301, location="https://www.example.com/"), gate.LASTING, "X-Forwarded"),
        (Answer(status=400), gate.LASTING, "`host:`"),
        (Answer(status=404), 60.0, "`host:`"),  # it may still be setting up its pages
        (Answer(status=500), 60.0, "journalctl"),
    ],
)
def test_an_answer_that_only_another_configuration_changes_is_not_waited_for(
    gated: Gated, monkeypatch: pytest.MonkeyPatch, answer: Answer, seconds: float, hint: str
) -> None:
    monkeypatch.setattr(gated.machine, "http", lambda *_, **__: answer)
    failure = gated.run(deadline=60.0)
    assert failure is not None
    assert hint in failure.hint
    assert seconds <= gated.seconds < seconds + 3.0
    reported = next(each for each in gated.said if isinstance(each, Probed))
    assert answer.location in reported.detail
    assert ("set" in reported.detail or "host" in reported.detail) == (answer.status != 500)


def test_a_redirect_while_a_service_starts_is_waited_out(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def http(url: str, *, timeout: float, via: str = "", **_: object) -> Answer:
        if gated.seconds < gate.LASTING - 1.0:
            return Answer(status=302)
        return Machine.http(gated.machine, url, timeout=timeout, via=via)

    monkeypatch.setattr(gated.machine, "http", http)
    assert gated.run(deadline=60.0) is None


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (Check.of("http", "http://127.0.0.1:80/"), Answer(status=200), ""),
        (Check.of("http", "http://127.0.0.1:80/"), Answer(error="connection refused"), ""),
        (
            Check.of("http", "http://127.0.0.1:8000/"),
            Answer(status=308, location="https://www.example.com/x"),
            "`host: www.example.com, headers: {X-Forwarded-Proto: https}`",
        ),
        (
            Check.of("http", "http://127.0.0.1:8000/"),
            Answer(status=301, location="https://127.0.0.1/"),
            "set `headers: {X-Forwarded-Proto: https}`",
        ),
        (
            Check.of("http", "http://127.0.0.1:8000/", headers={"X-Forwarded-Proto": "https"}),
            Answer(status=301, location="https://www.example.com/"),
            "set `host: www.example.com`",
        ),
        (
            Check.of("http", "http://127.0.0.1:8000/healthz"),
            Answer(status=307, location="/healthz/"),
            "(/healthz/), or write `status: 307`",
        ),
        (
            Check.of("http", "http://127.0.0.1:8000/"),
            Answer(status=302, location="//["),
            "redirect",
        ),
        (Check.of("unix", "/run/a:/x"), Answer(status=400), "the host localhost?"),
        (
            Check.of("http", "http://127.0.0.1:8000/", headers={"Host": "a.example"}),
            Answer(status=421),
            "the host a.example",
        ),
        (Check.of("command", "check"), Answer(status=3), ""),
    ],
)
def test_a_wrong_status_comes_with_what_to_set(check: Check, answer: Answer, said: str) -> None:
    reported = advice(check, answer)
    assert said in reported if said else reported == ""


def test_the_headers_of_a_check_are_sent(gated: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []

    def http(_url: str, *, headers: object, **_: object) -> Answer:
        sent.append(headers)
        return Answer(status=200)

    monkeypatch.setattr(gated.machine, "http", http)
    headers = {"Host": "www.example.com"}
    for check in (Check.of("http", "http://a/"), Check.of("unix", "/run/a:/x")):
        context = gated._context(gated.manifest)
        gate.ask(gated.machine, context, replace(check, headers=headers), 1.0)
    assert sent == [headers, headers]


def test_the_exception_of_the_log_is_the_headline_and_its_advice_the_hint(gated: Gated) -> None:
    log = "2026-11-29T15:30:52+0000 h app-web[1]: OSError: [Errno 30] Read-only file system: 'a'"
    gated.machine.logs["app-web.service"] = log
    gated.machine.running["app-web.service"].active = "failed"
    failure = gated.run()
    assert failure is not None
    assert failure.what.startswith("OSError: [Errno 30] Read-only file system: 'a' - app-web")
    assert "`workdir: shared`" in failure.hint


def test_what_is_wrong_with_an_answer_is_reported_in_few_words(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written down for every answer that differs, and in the end into the history."""
    answers = (
        Answer(status=200, body=b'{"version": "%s%d"}' % (b"9" * 200_000, n)) for n in range(99)
    )
    monkeypatch.setattr(gated.machine, "http", lambda *_args, **_more: next(answers))
    gated.manifest = replace(gated.manifest, gate=replace(gated.manifest.gate, checks=(HTTP,)))
    failure = gated.run(deadline=0.2)
    assert failure is not None
    assert len(failure.what) < 2 * gate.SHOWN
    probed = [len(word.detail) for word in gated.said if isinstance(word, Probed)]
    assert probed
    assert max(probed) <= 2 * gate.SHOWN + 2


def test_a_kind_without_an_attempt_is_not_taken_for_a_connection(tmp_path: Path) -> None:
    simulation = Simulation.at(tmp_path)
    unknown = replace(Check.of("tcp", "127.0.0.1:8000"), kind="grpc")
    of = gate.Context(simulation.paths, manifest(simulation.paths, "r1"), 0.0, {})
    with pytest.raises(ValueError, match="grpc"):
        gate.ask(simulation.machine, of, unknown, 1.0)
    with pytest.raises(ValueError, match="grpc"):
        Check.of("grpc", "127.0.0.1:8000")
