from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import pytest

import cli_reference
from project import TOP
from recorded_runs import NEW, OLD, ended, failed_run, problem
from shipit.agent.protocol.controls import Controls
from shipit.agent.protocol.messages import History, Status
from shipit.cli import main, program
from shipit.commands.doctor import Finding
from shipit.errors import HostError, InputError, Mistake, Unreachable
from shipit.events import Outcome, Problem, RunBegan
from shipit.rehearsal.providers.base import MachineChoice
from unit.output.test_reports import PLAN, STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shipit.events import Emit
    from shipit.release.inputs import RunOptions
    from shipit.release.plan import HostPlan

FEW = 120  # modules beyond Python's own start: 92 with 3.11; asyncio would bring 53 more


@dataclass
class Answers:
    """Use cases with answers given beforehand; remembers what was asked of them."""

    status_of_run: int = 0
    fault: BaseException | None = None
    plans: tuple[HostPlan, ...] = (PLAN,)
    answer: Status | Problem = STATUS
    runs: list[RunOptions] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    details: dict[str, object] = field(default_factory=dict)

    def _take(self, what: str, run: RunOptions, emit: Emit) -> None:
        self.asked.append(what)
        self.runs.append(run)
        emit(RunBegan(what, "demoapp", ("web1",)))
        if self.fault:
            raise self.fault

    def deploy(self, run: RunOptions, emit: Emit, plan: Path | None) -> int:
        self._take("deploy", run, emit)
        self.details["plan"] = plan
        for event in failed_run()[1:]:
            emit(event)
        return self.status_of_run

    def attach(self, run: RunOptions, emit: Emit, *, take_over: bool) -> int:
        self._take("attach", run, emit)
        self.details["take_over"] = take_over
        return self.status_of_run

    def rollback(self, run: RunOptions, emit: Emit, to: str | None) -> int:
        self._take("rollback", run, emit)
        self.details["to"] = to
        emit(ended(0, {"web1": Outcome.COMMITTED}, OLD))
        return self.status_of_run

    def plan(
        self, run: RunOptions, emit: Emit, out: Path | None
    ) -> Sequence[tuple[str, Sequence[HostPlan]]]:
        self._take("plan", run, emit)
        self.details["out"] = out
        return [("demoapp", self.plans)]

    def status(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        self._take("status", run, emit)
        return [("demoapp", {"web1": self.answer})]

    def adopt(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, Status | Problem]]]:
        self._take("adopt", run, emit)
        return [("demoapp", {"web1": replace(STATUS, release="adopted-00000000")})]

    def releases(
        self, run: RunOptions, emit: Emit
    ) -> Sequence[tuple[str, Mapping[str, History | Problem]]]:
        self._take("releases", run, emit)
        return [("demoapp", {"web1": History(())})]

    def logs(
        self, run: RunOptions, emit: Emit, write: Callable[[str, str], None], **wanted: object
    ) -> int:
        self._take("logs", run, emit)
        self.details |= wanted
        write("web1", "a line\n")
        return self.status_of_run

    def doctor(self, run: RunOptions, emit: Emit) -> Sequence[Finding]:
        self._take("doctor", run, emit)
        return [Finding("web1", "python", ok=False, detail="too old", mend="install it")]

    def rehearse(
        self,
        run: RunOptions,
        emit: Emit,
        *,
        choice: MachineChoice,
        keep: bool,
        report: Path | None,
        faults: bool,
    ) -> int:
        self._take("rehearse", run, emit)
        self.details |= {"choice": choice, "keep": keep, "report": report, "faults": faults}
        return self.status_of_run

    def schema(self) -> dict[str, object]:
        return {"type": "object"}


USE_CASES = {
    **{name: f"shipit.commands.{name}.{name}" for name in ("deploy", "attach", "adopt")},
    **{name: f"shipit.commands.inspect.{name}" for name in ("plan", "status", "releases", "logs")},
    "rollback": "shipit.commands.deploy.rollback",
    "doctor": "shipit.commands.doctor.examine",
    "rehearse": "shipit.rehearsal.run.rehearse",
    "schema": "shipit.playbook.reader.schema",
}


def run_with(arguments: Sequence[str], use: Answers) -> int:
    """Run a command line, with these answers in place of the use cases."""
    with ExitStack() as stack:
        for name, place in USE_CASES.items():
            stack.enter_context(patch(place, getattr(use, name)))
        return main.main(arguments)


@pytest.fixture(autouse=True)
def playbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHIPIT_INVENTORY", raising=False)
    (tmp_path / "inventory.yaml").write_text(
        "all:\n  children:\n    web:\n      hosts:\n        web[1:2].example.com:\n"
    )
    (tmp_path / "prod.yaml").write_text("name: x\n")
    return tmp_path / "prod.yaml"


def result(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the last line that a machine reads; every line before it must be JSON, too."""
    *_, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert last["event"] == "result"
    return dict(last)


def test_every_flag_of_a_deploy_reaches_the_use_case(playbook: Path) -> None:
    use = Answers()
    line = "deploy prod.yaml -i inventory.yaml -l web:!web3 -e a=1 -f 5 --lock-wait 5m --reason why"
    assert run_with(line.split(), use) == 0
    (run,) = use.runs
    assert run.playbook == Path("prod.yaml")
    assert run.inventory == (Path("inventory.yaml"),)
    assert (run.limit, run.extra_vars, run.forks) == ("web:!web3", {"a": "1"}, 5)
    assert (run.lock_wait, run.reason, run.become_password) == (300.0, "why", None)


def test_a_run_that_names_nothing_has_the_defaults() -> None:
    use = Answers()
    run_with(["deploy", "prod.yaml"], use)
    (run,) = use.runs
    assert run.inventory == (Path("inventory.yaml"),)
    assert (run.limit, run.extra_vars, run.forks, run.lock_wait) == (None, {}, 30, 0.0)


def test_deploy_check_is_plan(capsys: pytest.CaptureFixture[str]) -> None:
    use = Answers()
    assert run_with(["deploy", "prod.yaml", "--check", "--diff"], use) == 0
    assert use.asked == ["plan"]
    assert "+MemoryMax=2G" in capsys.readouterr().out


def test_a_plan_is_saved_and_deployed() -> None:
    use = Answers()
    assert run_with(["plan", "prod.yaml", "--out", "prod.plan", "--detailed-exitcode"], use) == 6
    assert run_with(["deploy", "prod.yaml", "--plan", "prod.plan"], use) == 0
    assert use.details == {"out": Path("prod.plan"), "plan": Path("prod.plan")}
    assert run_with(["deploy", "prod.yaml", "--check", "--detailed-exitcode"], use) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--check --plan prod.plan", "--check changes nothing, and --plan is for a deploy"),
        ("--detailed-exitcode", "--detailed-exitcode is about a plan: add --check"),
    ],
)
def test_options_that_a_deploy_would_ignore_are_refused(
    options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use = Answers()
    assert run_with(["deploy", "prod.yaml", *options.split()], use) == 2
    assert use.asked == []
    assert said in " ".join(capsys.readouterr().err.split())
    assert run_with(["deploy", "prod.yaml", *options.split(), "--json"], use) == 2
    assert result(capsys)["exit_status"] == 2


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("", "name a file"),
        (".", "name a file"),
        ("..", "is a folder"),
        ("plans", "is a folder"),
        ("none/prod.plan", "no such folder"),
        ("prod.yaml/prod.plan", "no such folder"),
        ("pipe", "is not a regular file"),
    ],
)
def test_a_plan_that_cannot_be_saved_is_refused_before_a_host_is_asked(
    out: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plans").mkdir()
    os.mkfifo(tmp_path / "pipe")
    use = Answers()
    assert run_with(["plan", "prod.yaml", "--out", out], use) == 2
    assert use.asked == []
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_cannot_be_written_holds_no_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)  # root may always
    assert run_with(["plan", "prod.yaml", "--out", "prod.plan"], Answers()) == 2
    assert "cannot be written" in " ".join(capsys.readouterr().err.split())


def test_a_hold_until_no_time_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(["hold", "prod.yaml", "-m", "why", "--until", ""], Answers()) == 2
    assert "'' is no time such as 2h" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("given", [[], ["--until", "2h"]])
def test_a_hold_ends_when_it_says_or_by_hand(given: list[str]) -> None:
    ends: list[str] = []

    def hold(_run: RunOptions, _emit: Emit, until: str) -> list[object]:
        ends.append(until)
        return []

    with patch("shipit.commands.hold.hold", hold):
        assert main.main(["hold", "prod.yaml", "-m", "why", *given]) == 0
    assert [bool(each) for each in ends] == [bool(given)]


@pytest.mark.parametrize("flag", ["--override-hold", "--override-freeze"])
def test_what_is_overridden_needs_a_reason(flag: str) -> None:
    use = Answers()
    assert run_with(["deploy", "prod.yaml", flag], use) == 2
    assert use.asked == []
    assert run_with(["deploy", "prod.yaml", flag, "-m", "why"], use) == 0
    (run,) = use.runs
    assert (run.reason, run.override_hold or run.override_freeze) == ("why", True)


def test_rollback_goes_to_the_release_named(capsys: pytest.CaptureFixture[str]) -> None:
    use = Answers()
    assert run_with(["rollback", "prod.yaml", "--to", OLD], use) == 0
    assert use.details["to"] == OLD
    assert f"web1 runs {OLD}" in capsys.readouterr().out


def test_adopt_says_as_what_it_was_taken_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(["adopt", "prod.yaml"], Answers()) == 0
    assert "adopted-00000000" in capsys.readouterr().out


def test_logs_follow_with_f_as_journalctl_does(capsys: pytest.CaptureFixture[str]) -> None:
    use = Answers()
    assert run_with(["logs", "prod.yaml", "-f", "-n", "7", "-s", "worker"], use) == 0
    assert use.details == {"lines": 7, "follow": True, "service": "worker"}
    assert capsys.readouterr().out == "web1  a line\n"


def test_rehearse_knows_what_makes_the_machines() -> None:
    use = Answers(status_of_run=3)
    assert run_with(["rehearse", "prod.yaml", "--keep", "--report", "report.html"], use) == 3
    assert use.details == {
        "choice": MachineChoice("nspawn", ""),
        "keep": True,
        "report": Path("report.html"),
        "faults": False,
    }


def test_schema_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_with(["schema"], Answers()) == 0
    assert json.loads(capsys.readouterr().out) == {"type": "object"}


@pytest.mark.parametrize("status", [0, 3, 4, 5, 130])
def test_the_exit_status_is_the_one_of_the_run(
    status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(["deploy", "prod.yaml", "--json"], Answers(status_of_run=status)) == status
    assert result(capsys)["exit_status"] == status


@pytest.mark.parametrize(
    ("fault", "status", "outcome"),
    [
        (InputError(Mistake("unknown-key", "no such key")), 2, "input-error"),
        (HostError("locked", "is held", host="web1"), 3, "discarded"),
        (Unreachable("refused", "no login", host="web1"), 3, "discarded"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("oops"), 1, "bug"),
    ],
)
def test_what_is_raised_becomes_an_exit_status_and_a_last_line(
    fault: BaseException, status: int, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with(["deploy", "prod.yaml", "--json"], Answers(fault=fault)) == status
    assert result(capsys)["outcome"] == outcome
    assert run_with(["deploy", "prod.yaml"], Answers(fault=fault)) == status
    assert ("Traceback" in capsys.readouterr().err) is (status == 1)


def test_a_bug_is_reported_with_its_traceback_and_where_to_report_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with(["deploy", "prod.yaml"], Answers(fault=ZeroDivisionError("oops"))) == 1
    reported = capsys.readouterr().err
    assert reported.startswith("Traceback (most recent call last):\n")
    assert "this is a bug in shipit" in reported
    assert "report it" in reported


def test_a_traceback_of_a_users_mistake_is_shown_only_at_the_second_v(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault = InputError(Mistake("unknown-key", "no such key"))
    for flags, shown in (("-v", False), ("-vv", True)):
        assert run_with(["deploy", "prod.yaml", flags], Answers(fault=fault)) == 2
        assert ("Traceback" in capsys.readouterr().err) is shown


def test_sigterm_ends_a_run_as_ctrl_c_does() -> None:
    class Terminated(Answers):
        def deploy(self, run: RunOptions, emit: Emit, plan: Path | None) -> int:
            signal.raise_signal(signal.SIGTERM)
            return super().deploy(run, emit, plan)

    before = signal.getsignal(signal.SIGTERM)
    assert run_with(["deploy", "prod.yaml"], Terminated()) == 130
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("command", "fields", "status"),
    [
        ("plan", {}, 0),
        (
            "plan",
            {"plans": (PLAN, PLAN.__class__("w", PLAN.action, "", "", problems=(problem(),)))},
            3,
        ),
        ("status", {}, 0),
        ("status", {"answer": problem()}, 3),
        ("releases", {}, 0),
        ("doctor", {}, 3),
    ],
)
def test_a_query_has_one_document_in_json_and_a_report_on_the_console(
    command: str, fields: dict[str, Any], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_with([command, "prod.yaml", "--json"], Answers(**fields)) == status
    out = capsys.readouterr().out
    (only,) = [json.loads(line) for line in out.splitlines()]
    assert (only["event"], only["what"], only["exit_status"]) == ("result", command, status)
    assert "deployments" in only or "findings" in only
    assert run_with([command, "prod.yaml"], Answers(**fields)) == status
    assert capsys.readouterr().out.strip()


def test_status_shows_the_same_release_on_the_console_and_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_with(["status", "prod.yaml"], Answers())
    assert f"web1  {NEW}" in capsys.readouterr().out
    run_with(["status", "prod.yaml", "--json"], Answers())
    assert result(capsys)["deployments"][0]["hosts"]["web1"]["release"] == NEW


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("deploy", "Missing argument 'PLAYBOOK'"),
        ("deploy prod.yaml --lock-wait soon", "expected a duration such as 250ms"),
        ("deploy prod.yaml --forks 0", "0 is not in the range"),
        ("deplyo prod.yaml", "No such command 'deplyo'"),
        ("deploy prod.yaml --lmit web", "No such option"),
        ("deploy other.yaml", "other.yaml: the playbook does not exist"),
        ("deploy prod.yaml -i nowhere", "nowhere: the inventory does not exist"),
        ("deploy prod.yaml -e alone", "'alone' sets nothing"),
        ("completion tcsh", "'tcsh' is not one of"),
        ("audit x.shipit#sha256=9f8", "expected a sha256 of 64 hexadecimal digits"),
        ("audit https://h.example/x.shipit#md5=1", "a URL without a fragment"),
        ("sign https://h.example/x.shipit", "sign the file, and put both where the URL is"),
    ],
)
def test_a_wrong_command_line_is_reported_and_ends_with_2(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use = Answers()
    assert run_with(line.split(), use) == 2
    assert said in capsys.readouterr().err
    assert use.runs == []


@pytest.mark.parametrize(("name", "reason"), [("gone", "does not exist"), (".", "is a directory")])
def test_a_file_of_signers_that_is_missing_is_not_blamed_on_the_bundle(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["verify", str(tmp_path / "x.shipit"), "--signers", str(tmp_path / name)]
    assert main.main(argv) == 2
    said = capsys.readouterr().err
    assert ("--signers" in said, reason in said) == (True, True)


def test_a_wrong_command_line_has_a_last_line_for_machines_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_with(["deploy", "prod.yaml", "--json", "--lmit"], Answers()) == 2
    assert result(capsys)["outcome"] == "input-error"


@pytest.mark.parametrize("name", sorted(program.program.commands))
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([name, "--help"]) == 0
    reported = capsys.readouterr().out
    assert "Examples:\n" in reported
    assert f"shipit {name}" in reported.partition("Examples:")[2]


def test_every_option_says_what_it_does() -> None:
    options = [
        parameter
        for command in program.program.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
    ]
    assert [option.name for option in options if not option.help] == []


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == "shipit 0.1.0\n"


def test_docs_cli_md_is_current() -> None:
    written = (TOP / "docs/cli.md").read_text()
    assert written == cli_reference.reference(), (
        "python tests/support/cli_reference.py > docs/cli.md"
    )


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new Python has loaded after this code."""
    argv = [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_no_library_but_click_and_little_else() -> None:
    """That is what makes it quick; tests/support/bench_start.py measures how quick."""
    loaded = loaded_by("from shipit.cli.main import main; main(['--help'])") - loaded_by("pass")
    roots = {name.partition(".")[0] for name in loaded}
    assert roots - sys.stdlib_module_names == {"click", "shipit"}
    assert len(loaded) <= FEW, sorted(loaded)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["completion", shell]) == 0
    assert "_SHIPIT_COMPLETE" in capsys.readouterr().out


def completed(words: str) -> list[str]:
    """Return the completions of a Tab after these words, as the shell's script requests them."""
    asked = {
        "_SHIPIT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from shipit.cli.main import main; main()"],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_a_tab_completes_commands_hosts_and_groups() -> None:
    assert completed("shipit ro") == ["rollback"]
    assert completed("shipit deploy prod.yaml -l web") == [
        "web",
        "web1.example.com",
        "web2.example.com",
    ]
    assert completed("shipit deploy prod.yaml -l web2.example.com,u") == [
        "web2.example.com,ungrouped"
    ]


def test_a_tab_completes_what_lint_takes() -> None:
    assert completed("shipit li") == ["lint"]
    assert completed("shipit lint --format s") == ["sarif"]
    assert completed("shipit lint prod.yaml other.yaml -l web2") == ["web2.example.com"]


def test_a_tab_never_runs_an_inventory_that_is_a_program(playbook: Path) -> None:
    inventory = playbook.parent / "inventory.yaml"
    inventory.write_text("#!/bin/sh\ntouch ran\n")
    inventory.chmod(0o755)
    assert completed("shipit deploy prod.yaml -l web") == []
    assert not (playbook.parent / "ran").exists()


def test_a_reader_who_leaves_early_changes_nothing_about_the_run() -> None:
    code = (
        "import sys; from unit.cli import test_main\n"
        "answers = test_main.Answers(status_of_run=4)\n"
        "sys.exit(test_main.run_with(['deploy', 'prod.yaml', '-v'], answers))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    paths = os.pathsep.join(
        [str(TOP / "tests"), str(TOP / "tests/support"), os.environ.get("PYTHONPATH", "")]
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (4, b"")


def test_a_command_ends_when_all_is_reported_whatever_still_waits() -> None:
    """As a connection does that waits for its timeout: it must not hold the terminal."""
    code = """
import threading
from shipit.cli import main as cli

def main():
    threading.Thread(target=threading.Event().wait).start()
    print("done")
    return 4

cli.main = main
cli.entry()
"""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (4, "done\n", "")


@pytest.mark.parametrize("what", ["pause", "promote"])
def test_a_word_that_counts_on_no_host_ends_with_3(what: str) -> None:
    found = [("demoapp", {"web1": Controls((), "t1")})]
    with patch(f"shipit.commands.hold.{what}", lambda *_: found):
        assert main.main([what, "prod.yaml"]) == 3
    found = [("demoapp", {"web1": Controls((), "t1", counts=True)})]
    with patch(f"shipit.commands.hold.{what}", lambda *_: found):
        assert main.main([what, "prod.yaml"]) == 0


def test_an_abort_needs_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["abort", "prod.yaml"]) == 2
    assert "--reason" in capsys.readouterr().err
