from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.health import evidence
from shipit.agent.host import log_text
from shipit.agent.host.host import UnitView

if TYPE_CHECKING:
    from pathlib import Path

    from fake_machine import Machine

HEAD = "2026-11-29T15:30:{:02d}+0000 web1.example.com demoapp-web[{}]: "
CRASH = """\
Traceback (most recent call last):
  File "app.py", line 3, in <module>
    import missing
ModuleNotFoundError: No module named 'missing'"""


def logged(*messages: str, systemd: bool = False) -> str:
    """Return messages as journalctl shows them, each line of them an entry."""
    lines = [line for message in messages for line in message.splitlines()]
    heads = [HEAD.format(number % 60, 100 + number) for number in range(len(lines))]
    reported = "\n".join(head + line for head, line in zip(heads, lines, strict=True))
    return reported.replace("demoapp-web[", "systemd[") if systemd else reported


def test_the_prefix_of_the_journal_is_a_time() -> None:
    assert log_text.folded(logged("hello")) == ["15:30:00 hello"]
    assert log_text.folded(logged("Started x.", systemd=True)) == ["15:30:00 systemd: Started x."]


def test_the_further_lines_of_an_entry_stand_below_it() -> None:
    pad = " " * len(HEAD.format(0, 100))
    assert log_text.folded(f"{logged('a')}\n{pad}b\n{pad}  c") == [
        "15:30:00 a", "         b", "           c",
    ]  # fmt: skip


def test_the_lines_that_our_own_probes_make_are_folded() -> None:
    asked = [f'127.0.0.1:{port} - "GET /healthz HTTP/1.1" 503' for port in range(5000, 5039)]
    lines = log_text.folded(logged("ready", *asked, "bye"))
    assert [line[9:] for line in lines] == ["ready", asked[-1], "(38 more like this)", "bye"]


def test_the_restarts_of_a_crash_loop_are_shown_once_and_the_last_one_whole() -> None:
    lines = [line[9:] for line in log_text.folded(logged(*[CRASH] * 5, "gave up"))]
    assert lines == [*CRASH.splitlines(), "(4 more like this)", "gave up"]


def test_a_long_line_is_cut() -> None:
    (line,) = log_text.folded(logged("x" * 60_000 + "end"))
    assert len(line) < 500
    assert "more characters" in line


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (logged(CRASH), "ModuleNotFoundError: No module named 'missing'"),
        (logged("KeyError: 'first'", "sqlalchemy.exc.OperationalError: no"), "sqlalchemy.exc.Oper"),
        (logged("  | ValueError: in a group"), "ValueError: in a group"),
        (logged("SystemExit"), "SystemExit"),
        (logged("Error handling is on", "all is well"), ""),
        ("", ""),
    ],
)
def test_the_last_exception_is_the_headline(log: str, line: str) -> None:
    found = log_text.exception("\n".join(log_text.folded(log)))
    assert found.startswith(line) if line else found == ""


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("OSError: [Errno 30] Read-only file system: 'uploads'", "workdir: shared"),
        ("PermissionError: [Errno 13] Permission denied: 'db.sqlite3'", "$STATE_DIRECTORY"),
        ("sqlite3.OperationalError: unable to open database file", "shared/"),
        ("[Errno 13] error while attempting to bind on address ('0.0.0.0', 80)", "`socket:`"),
        ("sh: 1: cannot create out.txt: Permission denied", "shared/"),
        ("psycopg.errors.InsufficientPrivilege: permission denied for table users", ""),
        ("KeyError: 'x'", ""),
    ],
)
def test_a_write_or_a_bind_that_is_denied_comes_with_what_to_set(log: str, said: str) -> None:
    reported = evidence.advice(log)
    assert said in reported if said else reported == ""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    simulation = Simulation.at(tmp_path)
    simulation.deploy(manifest(simulation.paths, "r1"))
    return simulation.machine


def test_evidence_holds_the_end_of_a_log_that_repeats(machine: Machine) -> None:
    machine.logs["a.service"] = logged("the first line", *[CRASH] * 40, "the end")
    reported = evidence.of_units(machine.paths, machine, [UnitView("a.service")], 0.0)
    assert reported.count("ModuleNotFoundError") == 1
    assert "the first line" in reported
    assert reported.endswith("the end")


def test_a_missing_working_directory_is_named() -> None:
    reported = evidence.described(UnitView("a.service", exit_code=1, exit_status=200))
    assert "working directory" in reported
