"""A long command: its lines are passed on as they are printed, and it is always stopped."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from shipit.lab.commands import LabError
from shipit.rehearsal import long_command
from shipit.rehearsal.long_command import follow

PATIENCE_SECONDS = 60.0
# Says its process id, then waits; on SIGINT it puts something away before it ends.
TIDY = """
import os, signal, sys, time
def tidy(*_):
    time.sleep(0.2)
    open("tidied", "w").close()
    sys.exit(1)
signal.signal(signal.SIGINT, tidy)
print(os.getpid(), flush=True)
time.sleep(600)
"""


def run(folder: Path, program: str, heard: list[str], timeout: float = PATIENCE_SECONDS) -> int:
    argv = (sys.executable, "-c", program)
    log = folder / "log"
    return follow(argv, log, env=dict(os.environ), on_line=heard.append, timeout=timeout)


def test_every_line_is_passed_on_while_the_command_runs(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    program = (
        "import pathlib, time\n"
        "print('first', flush=True)\n"
        f"while not pathlib.Path({str(begun)!r}).exists(): time.sleep(0.05)\n"
        "print('sec', end='', flush=True); time.sleep(0.3); print('ond'); print('last', end='')\n"
    )
    heard = list[str]()

    def on_line(line: str) -> None:
        heard.append(line)
        begun.touch()  # without this the command would wait forever

    argv = (sys.executable, "-c", program)
    log = tmp_path / "log"
    assert follow(argv, log, env=dict(os.environ), on_line=on_line, timeout=PATIENCE_SECONDS) == 0
    assert heard == ["first", "second", "last"]
    assert log.read_text() == "first\nsecond\nlast"


def test_the_exit_status_is_the_commands(tmp_path: Path) -> None:
    assert run(tmp_path, "raise SystemExit(7)", []) == 7


def test_a_command_that_is_not_there_is_reported_as_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such command: nowhere"):
        follow(("nowhere",), tmp_path / "log", env={}, on_line=list[str]().append, timeout=1.0)


def test_one_that_takes_too_long_is_asked_to_end_and_may_put_things_away(tmp_path: Path) -> None:
    heard = list[str]()
    with pytest.raises(LabError, match="did not finish within 20 s"):
        run(tmp_path, TIDY, heard, timeout=20.0)  # it has to be there by then
    assert (tmp_path / "tidied").exists()
    assert not Path(f"/proc/{heard[0]}").exists()


def test_ctrl_c_ends_the_command_too(tmp_path: Path) -> None:
    heard = list[str]()

    def on_line(line: str) -> None:
        heard.append(line)
        raise KeyboardInterrupt

    argv = (sys.executable, "-c", TIDY)
    with pytest.raises(KeyboardInterrupt):
        follow(
            argv, tmp_path / "log", env=dict(os.environ), on_line=on_line, timeout=PATIENCE_SECONDS
        )
    assert (tmp_path / "tidied").exists()
    assert not Path(f"/proc/{heard[0]}").exists()


def test_a_second_ctrl_c_does_not_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_command, "_GRACE_SECONDS", 600.0)
    heard = list[str]()
    deaf = TIDY.replace("time.sleep(0.2)", "print('asked', flush=True); time.sleep(600)")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)

    def on_line(line: str) -> None:
        heard.append(line)
        signal.setitimer(signal.ITIMER_REAL, 2.0)  # the second one, while the first is treated
        raise KeyboardInterrupt

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            follow(
                (sys.executable, "-c", deaf),
                tmp_path / "log",
                env=dict(os.environ),
                on_line=on_line,
                timeout=600.0,
            )
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not Path(f"/proc/{heard[0]}").exists()
    assert time.monotonic() - began < 300.0  # it would have had twice that
