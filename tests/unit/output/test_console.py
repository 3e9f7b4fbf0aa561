from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from project import TOP
from recorded_runs import (
    NEW,
    OLD,
    SECRET,
    URL,
    WHY,
    Terminal,
    failed_run,
    good_run,
    hide,
    problem,
    redactor,
)
from shipit.errors import HostError, InputError, Mistake, Place
from shipit.events import Event, Fetching, HostFailed, Noted, RunBegan, SecretsKnown, StepBegan
from shipit.output.console import ConsoleOutput
from shipit.output.layout import Grid, Line
from shipit.output.redaction import Redactor
from shipit.output.terminal import LiveTable

FLEET = tuple(f"web{number:03}.example.com" for number in range(300))
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def printed(events: list[Event], stream: io.StringIO, verbosity: int = 0) -> str:
    output = ConsoleOutput(stream, stream, verbosity=verbosity, redactor=redactor())
    with closing(output):
        for event in events:
            output(event)
    return stream.getvalue()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def test_a_failed_run_reads_the_same_each_time() -> None:
    assert printed(failed_run(), io.StringIO()) == (
        "deploy demoapp on 2 hosts: web1, web2\n"
        "web1  send  1.2s\n"
        "web1  venv  0.4s\n"
        "batch 1/2: web1\n"
        "web1  check  1.1s\n"
        "batch 2/2: web2\n"
        "web2  check  5.0s  failed\n"
        f"web2  check  failed: {URL}: expected 200, got 500 after 5.0 s [health-failed]\n"
        "  | demoapp-web.service: failed, exit status 3\n"
        "  | RuntimeError: no login with ***\n"
        "  next: shipit logs playbooks/prod.yaml -l web2\n"
        f"note: {WHY}: every host of this run is rolled back\n"
        "roll back batch 1/2: web1\n"
        f"web2  rolled back  {OLD}  8.2s\n"
        f"web1  rolled back  {OLD}  9.2s\n"
        "\n"
        "host  outcome      release         time  why\n"
        f"web1  rolled back  {OLD}  9.2s  {WHY}\n"
        f"web2  rolled back  {OLD}  8.2s  health-failed\n"
        f"web2: {URL}: expected 200, got 500 after 5.0 s; rolled back to its previous "
        "release\n"
        "failed after the switch; every host is rolled back to its previous release (9.6s)\n"
        "next: fix it and run the command again\n"
    )


def test_verbose_lines_show_probes_and_the_beginning_of_steps() -> None:
    reported = printed(failed_run(), io.StringIO(), verbosity=1)
    assert f"web1  probe  {URL}  not yet  connection refused\n" in reported
    assert f"web1  probe  {URL}  ok  200\n" in reported
    assert "web1  venv  ...  uv\n" in reported
    assert "web1  sent 34.3 MiB of 34.3 MiB\n" in reported
    assert "488.3 KiB" not in reported  # bytes on their way are for the live table


def test_steps_of_a_large_fleet_are_reported_only_when_asked_for() -> None:
    assert "  venv  " not in printed(good_run(FLEET), io.StringIO())
    assert printed(good_run(FLEET), io.StringIO(), verbosity=1).count("  venv  0.4s\n") == len(
        FLEET
    )


def test_the_evidence_of_the_first_failures_stands_for_the_others() -> None:
    failures: list[Event] = [HostFailed(problem(host, "its own log")) for host in FLEET[:10]]
    events = [RunBegan("deploy", "demoapp", FLEET), *failures]
    quiet, verbose = printed(events, io.StringIO()), printed(events, io.StringIO(), verbosity=1)
    assert (quiet.count("failed: "), quiet.count("its own log")) == (10, 3)
    assert (verbose.count("failed: "), verbose.count("its own log")) == (10, 10)


def test_a_terminal_shows_the_same_as_a_pipe(terminal: Terminal) -> None:
    shown = CONTROL.sub("", printed(failed_run(), terminal))
    for part in (
        f"{URL}: expected 200, got 500 after 5.0 s",
        "demoapp-web.service: failed, exit status 3",
        "next: shipit logs playbooks/prod.yaml -l web2",
        "every host of this run is rolled back",
        f"web1  rolled back  {OLD}  9.2s",
        "failed after the switch; every host is rolled back to its previous release",
    ):
        assert part in shown


def test_a_terminal_has_colours_unless_no_color_is_set(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert COLOUR.search(printed(failed_run(), terminal))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(printed(failed_run(), Terminal()))


def test_a_pipe_and_a_dumb_terminal_get_no_control_characters(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in printed(failed_run(), terminal)
    assert "\x1b" not in printed(failed_run(), io.StringIO())


@pytest.mark.parametrize("columns", [40, 100])
def test_the_live_table_fits_the_terminal_whatever_the_fleet(
    columns: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    output = ConsoleOutput(terminal, terminal, verbosity=0, redactor=redactor())
    table = output._run
    assert isinstance(table, LiveTable)
    console = table._terminal.console
    table(RunBegan("deploy", "demoapp", FLEET))
    for host in FLEET:
        table(StepBegan(host, "venv", "uv, offline, every hash is checked against the lock"))
    drawn = console.render_lines(table._draw(), pad=False)
    table.close()
    lines = ["".join(segment.text for segment in line).rstrip() for line in drawn]
    assert len(lines) < 24
    assert max(map(len, lines)) <= columns
    assert lines[0].startswith("deploy  demoapp  300 hosts")
    assert lines[1].startswith("web000.ex")
    assert re.search(r" \d+\.\ds$", lines[1])
    assert lines[-1].startswith("282 more active")


def test_a_narrow_terminal_shows_every_word_of_the_end(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = "".join(CONTROL.sub("", printed(failed_run(), terminal)).split())
    table = shown[shown.index("hostoutcome") :]
    assert all(word in table for word in ("web2", "rolled", "back", "9.2s", "max_failures"))
    assert "everyhostisrolledbacktoitspreviousrelease" in shown


@pytest.mark.parametrize("columns", ["20", "40", "100"])
def test_no_secret_is_shown_even_where_lines_are_broken(
    columns: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    output = ConsoleOutput(terminal, terminal, verbosity=2, redactor=redactor())
    for event in failed_run():
        output(event)
    output.answer("plan", 0, [Line(SECRET), Grid((SECRET,), ((SECRET,),))])
    output.log("web1", SECRET)
    output.error(HostError("code", SECRET, host="web1", evidence=SECRET, hint=SECRET))
    output.bug(RuntimeError(SECRET), SECRET)
    shown = CONTROL.sub("", terminal.getvalue())
    assert "***" in shown
    for word in SECRET.split():
        assert word not in shown


@pytest.mark.parametrize("is_terminal", [False, True])
def test_lines_from_many_threads_stay_whole(terminal: Terminal, *, is_terminal: bool) -> None:
    stream = terminal if is_terminal else io.StringIO()
    output = ConsoleOutput(stream, stream, verbosity=0, redactor=redactor())
    output(RunBegan("deploy", "demoapp", FLEET[:8]))

    def chatter(host: str) -> None:
        for number in range(50):
            output(StepBegan(host, "venv"))
            output(Noted(f"<{number:03}>", host))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(chatter, FLEET[:8]))
    output.conclude(0)
    lines = CONTROL.sub("", stream.getvalue()).replace("\r", "\n").splitlines()
    reported = [line for line in lines if re.fullmatch(r"web\d{3}\.example\.com  <\d{3}>", line)]
    assert len(set(reported)) == 8 * 50


@pytest.mark.parametrize("is_run", [False, True])
def test_a_download_has_a_line_on_a_terminal_that_goes_when_it_is_over(
    terminal: Terminal, *, is_run: bool
) -> None:
    output = ConsoleOutput(terminal, terminal, verbosity=0, redactor=redactor())
    table = output._run
    assert isinstance(table, LiveTable)
    if is_run:
        output(RunBegan("deploy", "demoapp", ("web1",)))
    for done in (0, 2_500_000):
        output(Fetching("fetching x.shipit", done, 5_000_000))
    console = table._terminal.console
    drawn = console.render_lines(table._draw(), pad=False)
    shown = ["".join(segment.text for segment in line).rstrip() for line in drawn]
    assert shown[-1] == "fetching x.shipit: 2.5 of 5.0 MB"
    assert len(shown) == (3 if is_run else 1)
    output(Fetching("fetching x.shipit", is_over=True))
    assert (table._live is not None) == is_run
    assert "fetching" not in "".join(map(str, console.render_lines(table._draw())))
    output.conclude(0)


def test_a_download_of_a_query_is_shown_beside_its_answer(terminal: Terminal) -> None:
    out = io.StringIO()
    output = ConsoleOutput(out, terminal, verbosity=0, redactor=redactor())
    output.quiet(Fetching("fetching x.shipit", 2_500_000))
    output.quiet(Noted("fetched x.shipit"))
    output.quiet(Fetching("fetching x.shipit", is_over=True))
    output.answer("inspect", 0, [Line("whole")])
    assert out.getvalue() == "whole\n"
    shown = CONTROL.sub("", terminal.getvalue())
    assert "fetching x.shipit: 2.5 MB" in shown
    assert "note: fetched x.shipit" in shown


def test_a_pipe_shows_no_download_but_its_note() -> None:
    events: list[Event] = [
        Fetching("fetching x", 1),
        Noted("fetched x"),
        Fetching("fetching x", is_over=True),
    ]
    assert printed(events, io.StringIO(), verbosity=2) == "note: fetched x\n"


def test_a_second_run_starts_with_a_clean_table(terminal: Terminal) -> None:
    shown = CONTROL.sub("", printed([*failed_run(), *good_run(["db1"])], terminal))
    last = shown[shown.rindex("host") :]
    assert last.splitlines()[1:3] == [f"db1   committed  {NEW}  2.0s", f"db1 runs {NEW} (9.6s)"]


def test_a_question_is_answered_on_one_stream_and_its_notes_on_the_other() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = ConsoleOutput(out, err, verbosity=0, redactor=redactor())
    output.quiet(Noted("an open transaction was undone", "web1"))
    output.quiet(HostFailed(problem()))  # its answer holds it
    output.answer("status", 0, [Grid(("host", "release"), (("web1", NEW),))])
    assert out.getvalue() == f"host  release\nweb1  {NEW}\n"
    assert err.getvalue() == "web1  an open transaction was undone\n"


def test_a_failure_while_logs_are_shown_goes_beside_them() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = ConsoleOutput(out, err, verbosity=0, redactor=redactor())
    output.log("web1", "one\ntwo\n")
    output.aside(HostFailed(problem()))
    assert out.getvalue() == "web1  one\nweb1  two\n"
    assert "web2  check  failed: " in err.getvalue()


def test_all_mistakes_of_a_user_are_shown_with_their_places() -> None:
    err = io.StringIO()
    output = ConsoleOutput(io.StringIO(), err, verbosity=0, redactor=redactor())
    output.error(
        InputError(
            Mistake("unknown-key", "unknown key 'sevices'", Place("p.yaml", 3, 1), "services?"),
            Mistake("wrong-type", "expected a number", Place("p.yaml", 9, 5)),
        )
    )
    assert err.getvalue() == (
        "error: p.yaml:3:1: unknown key 'sevices' [unknown-key]\n"
        "  services?\n"
        "error: p.yaml:9:5: expected a number [wrong-type]\n"
        "2 mistakes; nothing was changed\n"
    )


def test_on_a_terminal_a_mistake_is_shown_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    documented = (TOP / "docs/cli.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("prod.yaml").write_text("#\n" * 8 + "keep_relases: 0\n")
    what, place = "unknown key 'keep_relases'", Place("prod.yaml", 9, 1)
    hint = "did you mean 'keep_releases'?"
    error = InputError(Mistake("playbook-unknown-key", what, place, hint))
    for stream in (terminal, io.StringIO()):
        ConsoleOutput(io.StringIO(), stream, verbosity=0, redactor=redactor()).error(error)
        said = CONTROL.sub("", stream.getvalue())
        assert said.endswith("\n1 mistake; nothing was changed\n")
        shown = said.splitlines()[:-1]
        assert "\n".join(f"    {line}" for line in shown) in documented


def test_on_a_terminal_each_mistake_of_a_file_has_its_line(
    tmp_path: Path, terminal: Terminal
) -> None:
    file = tmp_path / "prod.yaml"
    file.write_text(f"services:\nuser: {SECRET}\nkeep_releases: 0\n")
    mistakes = [
        Mistake("playbook-value", "one", Place(str(file), 3, 16), hosts=("web1",)),
        Mistake("playbook-value", "two", Place(str(file), 2, 7)),
        Mistake("playbook-value", f"three {SECRET}", Place(str(file)), "first\nsecond"),
        Mistake("playbook-value", "four"),
    ]
    ConsoleOutput(io.StringIO(), terminal, verbosity=0, redactor=redactor()).error(
        InputError(*mistakes)
    )
    assert CONTROL.sub("", terminal.getvalue()) == (
        "error[playbook-value]: one, on web1\n"
        f"  --> {file}:3:16\n"
        "  |\n"
        "3 | keep_releases: 0\n"
        "  |                ^\n"
        "error[playbook-value]: two\n"
        f"  --> {file}:2:7\n"
        "error[playbook-value]: three ***\n"
        f"  --> {file}\n"
        "  help: first\n"
        "second\n"
        "error[playbook-value]: four\n"
        "4 mistakes; nothing was changed\n"
    )


def test_a_refusal_of_a_host_shows_its_evidence_and_what_to_do() -> None:
    err = io.StringIO()
    output = ConsoleOutput(io.StringIO(), err, verbosity=0, redactor=redactor())
    output.error(HostError("locked", "is held", host="web1", hint="wait", evidence="by ann"))
    assert err.getvalue() == "web1  failed: is held [locked]\n  | by ann\n  next: wait\n"


def test_an_interruption_says_what_becomes_of_switched_hosts() -> None:
    err = io.StringIO()
    output = ConsoleOutput(io.StringIO(), err, verbosity=0, redactor=redactor())
    output.interrupt()
    assert err.getvalue() == "interrupted; nothing was changed\n"
    output(RunBegan("deploy", "demoapp", ("web1",)))
    output.interrupt()
    assert "rolls back when its lease ends" in err.getvalue()


def test_a_secret_that_becomes_known_is_hidden_from_then_on() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = ConsoleOutput(out, err, verbosity=0, redactor=Redactor())
    output(Noted(f"before: {SECRET}"))
    output(SecretsKnown(hide))
    output(Noted(f"after: {SECRET}"))
    assert out.getvalue() == f"note: before: {SECRET}\nnote: after: ***\n"
    output.quiet(SecretsKnown(lambda text: text.replace("words", "???")))
    output.error(HostError("code", "words", host="web1"))
    assert err.getvalue() == "web1  failed: ??? [code]\n"
