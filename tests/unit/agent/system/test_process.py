"""Programs end in time, and nothing of the agent's environment is theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from patience import until
from shipit.agent.host import host
from shipit.agent.system import process
from shipit.agent.system.failures import Refused

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds
MUCH = 200 * 2**20  # bytes


def test_the_output_of_a_program_and_how_it_ends() -> None:
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


def test_a_child_that_stays_behind_is_ended_with_its_program() -> None:
    done = process.run(["sh", "-c", "sleep 600 & echo $!"], timeout=PATIENCE)
    child = int(done.output)
    until(lambda: not is_running(child), lambda: f"{child} still runs", PATIENCE)
    assert (done.status, done.timed_out) == (0, False)


def test_a_child_in_a_session_of_its_own_does_not_hold_the_agent_up() -> None:
    done = process.run(["setsid", "-f", "sh", "-c", "echo $$; exec sleep 600"], timeout=PATIENCE)
    if done.output:  # it may not have come to say its number
        os.kill(int(done.output), signal.SIGKILL)
    assert not done.timed_out


def test_one_that_closes_its_output_is_waited_for() -> None:
    done = process.run(["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 3"], timeout=PATIENCE)
    assert (done.status, done.output) == (3, "")


def test_of_much_output_the_agent_holds_no_more_than_it_keeps() -> None:
    script = f"head -c {MUCH} /dev/zero; echo; stat -Lc %s /proc/self/fd/1"  # a pipe has no size
    code = (
        "import resource, sys; from shipit.agent.system import process;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        f"done = process.run(['sh', '-c', {script!r}], timeout={PATIENCE});"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(done.output.split()[-1], len(done.output), after - before)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    held, kept, grown = map(int, said.stdout.split())
    assert held == 0
    assert kept < process.OUTPUT_LIMIT + 100
    assert grown < 10 * 1024  # KiB


def test_the_beginning_is_kept_instead_where_it_is_asked_for() -> None:
    argv = ["sh", "-c", "echo the start; yes | head -c 100000"]
    said = process.run(argv, timeout=PATIENCE, keep=100, keep_start=True).output
    assert said.startswith("the start\n")
    assert said.endswith("\n[... 99910 bytes left out]")


def test_nothing_of_the_agents_own_is_a_programs() -> None:
    script = "cat /proc/self/oom_score_adj; ls /proc/self/fd"
    code = (
        "import os; from shipit.agent.system import process;"
        "kept = os.open('/', os.O_RDONLY); os.set_inheritable(kept, True);"
        "open('/proc/self/oom_score_adj', 'w').write('200');"
        f"print(process.run(['sh', '-c', 'sleep 0.1; {script}'], timeout={PATIENCE}).output)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    score, *descriptors = said.stdout.split()
    assert score == "0"
    assert descriptors == ["0", "1", "2", "3"]  # 3 is the folder that is listed


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
