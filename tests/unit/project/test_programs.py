"""Running other programs: what is said when one fails, and that none outlives its time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.project import programs
from shipit.project.programs import Program

if TYPE_CHECKING:
    from pathlib import Path


PATIENCE = 60.0  # seconds


def python(folder: Path, code: str) -> Program:
    return Program("do it", [sys.executable, "-c", code], folder, PATIENCE)


def test_its_output_is_returned(tmp_path: Path) -> None:
    code = "import os; print(os.getcwd(), os.umask(0), os.isatty(0))"
    assert python(tmp_path, code).checked("code") == f"{tmp_path} {0o022} False\n"


def test_a_failure_is_an_error_with_its_reason_and_the_output_without_credentials(
    tmp_path: Path,
) -> None:
    said = "import sys; print('a'); sys.exit('error: https://me:pw@host/x\\nhint: none')"
    with pytest.raises(InputError) as caught:
        python(tmp_path, said).checked("code", hint="so")
    (mistake,) = caught.value.mistakes
    assert (mistake.code, mistake.hint) == ("code", "so")
    assert mistake.what == "cannot do it: error: https://***@host/x"
    assert mistake.evidence == "a\nerror: https://***@host/x\nhint: none"
    assert "pw" not in str(mistake)


@pytest.mark.parametrize(
    ("said", "reason"),
    [("a\n\nb\n", "b"), ("ERROR: x\nb", "ERROR: x"), ("", "it printed nothing")],
)
def test_the_reason_is_an_error_or_the_last_line(said: str, reason: str) -> None:
    assert programs.reason_in(said) == reason


def test_one_that_takes_too_long_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard = os.open(fifo, os.O_RDWR)  # so that no side waits for the other to open it
    wait = subprocess.Popen.communicate

    def late(
        process: subprocess.Popen[str], _feed: object = None, timeout: float | None = None
    ) -> tuple[str, str]:
        if process.poll() is not None or timeout != PATIENCE:
            return wait(process, timeout=timeout)
        assert os.read(heard, 5) == b"begun"  # its time is over when its child is at work
        raise subprocess.TimeoutExpired("do it", timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", late)
    child = f"exec 3> {fifo}; printf begun >&3; exec sleep 600"
    with pytest.raises(InputError, match="it took longer than 60 s"):
        Program("do it", ["sh", "-c", f"sh -c '{child}' & wait"], tmp_path, PATIENCE).checked(
            "code"
        )
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.close(heard)
    ready, _, _ = select.select([reader], [], [], PATIENCE)
    assert ready, "the child still has the pipe"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_it_reads_what_it_is_fed(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.stdin.read().upper(), os.getsid(0) == os.getpid())"
    reading = python(tmp_path, code)
    assert replace(reading, feed="abc").checked("code") == "ABC True\n"
    assert replace(reading, feed="abc", may_ask=True).checked("code") == "ABC False\n"


def test_one_that_may_ask_has_a_limit_as_well(tmp_path: Path) -> None:
    sleeping = Program("do it", ["sleep", "600"], tmp_path, 0.2, may_ask=True)
    with pytest.raises(InputError, match=r"it took longer than 0\.2 s"):
        sleeping.checked("code")


def test_what_it_has_started_does_not_keep_it_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "AFTER_KILL", 0.1)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    helpers: list[int] = []

    def watch() -> None:
        helpers.append(int(fifo.read_text()))  # it is at work, and holds stdout

    argv = ["sh", "-c", f"sleep 20 & echo $! > {fifo}; wait"]
    asking = Program("do it", argv, tmp_path, 0.0, may_ask=True)
    assert asking.attempt(watch) == (None, "", "")
    (helper,) = helpers
    os.kill(helper, signal.SIGKILL)  # it is still there


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_it_said_to_the_terminal_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    terminal, side = os.openpty()
    with open(side if is_terminal else os.devnull, "w") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        failing = replace(python(tmp_path, "raise SystemExit(3)"), may_ask=True)
        with pytest.raises(InputError) as caught:
            failing.checked("code")
        monkeypatch.undo()
    os.close(terminal)
    above = "it ended with status 3; its message is above"
    expected = above if is_terminal else "it printed nothing"
    assert caught.value.mistakes[0].what == f"cannot do it: {expected}"


def test_one_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nosuch cannot be started: No such file") as caught:
        Program("do it", ["nosuch"], tmp_path, 1.0).checked("code")
    assert caught.value.mistakes[0].code == "program-missing"


def test_only_the_end_of_a_long_output_is_evidence() -> None:
    said = programs.tail("\n".join(map(str, range(100))))
    assert (said.splitlines()[0], said.splitlines()[-1], len(said.splitlines())) == ("70", "99", 30)
