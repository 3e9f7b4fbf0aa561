"""Programs end in time, and nothing of the agent's environment is theirs."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from patience import until
from shipit.agent import host, process
from shipit.agent.failures import Refused

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds


def test_what_a_program_says_and_how_it_ends() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=PATIENCE)
    assert (done.status, done.output, done.ok) == (3, "out\nerr\n", False)
    assert done.end(PATIENCE) == "ended with exit status 3"


def test_a_program_that_does_not_end_is_killed_with_its_children() -> None:
    done = process.run(["sh", "-c", "sleep 600 & echo $!; sleep 600"], timeout=5.0)
    assert (done.timed_out, done.ok) == (True, False)
    assert done.end(5.0) == "did not end within 5 s"
    child = int(done.output)
    until(lambda: not is_running(child), lambda: f"{child} still runs", PATIENCE)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stream:  # noqa: PTH123 - it may vanish
            return stream.read().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_that_stays_behind_does_not_hold_the_agent_up() -> None:
    done = process.run(["sh", "-c", "sleep 600 & echo $!"], timeout=PATIENCE)
    os.kill(int(done.output), signal.SIGKILL)  # it is still there
    assert not done.timed_out


def test_the_agents_environment_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAK", "leaked")
    said = process.run(["env"], timeout=PATIENCE).output
    names = {line.partition("=")[0] for line in said.split()}
    assert names == {"PATH", "LC_ALL", "HOME"}


def test_only_the_end_of_much_output_is_kept() -> None:
    done = process.run(["sh", "-c", "yes | head -c 100000; echo the end"], timeout=PATIENCE)
    assert done.output.endswith("the end\n")
    assert done.output.startswith("[... ")
    assert len(done.output) < process.OUTPUT_LIMIT + 100


def test_as_much_of_the_end_is_kept_as_is_asked_for() -> None:
    done = process.run(["sh", "-c", "yes | head -c 100000"], timeout=PATIENCE, keep=100_000)
    assert len(done.output) == 100_000


def test_a_python_without_memfd_runs_programs_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    assert process.run(["echo", "ünïcode"], timeout=PATIENCE).output == "ünïcode\n"


def test_systemd_is_understood_whole_about_hundreds_of_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def systemctl(_argv: object, *, keep: int, **_: object) -> process.Done:
        blocks = [f"Id={name}\nActiveState=active\n{'x' * 250}\n" for name in names]
        return process.Done(0, "\n".join(blocks)[-keep:])

    names = [f"app-web@{number}.service" for number in range(200)]
    monkeypatch.setattr(process, "run", systemctl)
    assert len(host.RealHost().show(names)) == len(names)


def test_a_program_that_is_not_there_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/nowhere/at/all"], timeout=1.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_users_program_has_that_users_rights() -> None:
    argv = process.as_user("nobody", ["/bin/sh", "-c", "id -un; id -G; cat /etc/shadow"])
    done = process.run(argv, timeout=PATIENCE)
    assert done.output.splitlines()[0] == "nobody"
    assert "0" not in done.output.splitlines()[1].split()
    assert "Permission denied" in done.output


def test_what_the_watch_raises_ends_the_program_and_comes_out(tmp_path: Path) -> None:
    class NobodyWaitsError(Exception):
        pass

    def watch() -> None:
        if (tmp_path / "pid").exists():
            raise NobodyWaitsError

    argv = [
        "/bin/sh",
        "-c",
        f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 60",
    ]
    with pytest.raises(NobodyWaitsError):
        process.run(argv, timeout=PATIENCE, watch=watch)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


# --- programs of the system --------------------------------------------------------------------


def put(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_program_that_others_can_change_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "true", "echo theirs")  # pytest's folder is not root's from top to bottom
    monkeypatch.setattr(process, "SYSTEM_PATH", f"{tmp_path}:/usr/bin")
    assert process.program("true") == "/usr/bin/true"
    assert process.run(["true"], timeout=PATIENCE).output == ""
    assert str(tmp_path) not in process.clean_environment()["PATH"]


def test_a_program_that_only_others_have_is_refused_with_what_cures_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "systemctl", "echo theirs")
    monkeypatch.setattr(process, "SYSTEM_PATH", str(tmp_path))
    with pytest.raises(Refused) as caught:
        process.run(["systemctl"], timeout=PATIENCE)
    assert caught.value.failure.code == "program-untrusted"
    assert caught.value.failure.hint
    assert process.clean_environment()["PATH"] == process.NO_FOLDER


def test_a_program_that_nobody_has_is_missing() -> None:
    assert process.program("no-such-program") is None
    with pytest.raises(FileNotFoundError):
        process.run(["no-such-program"], timeout=PATIENCE)
