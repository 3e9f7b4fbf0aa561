"""Rehearsals on machines that are really booted, broken and taken down again."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.workspace import PORT, SECRET, Workspace
from shipit.errors import InputError
from shipit.events import Event, Noted, RunBegan, RunEnded
from shipit.lab.commands import LabError
from shipit.lab.lab import Lab
from shipit.rehearsal import scenario
from shipit.rehearsal.providers import nspawn
from shipit.rehearsal.providers.base import MachineChoice
from shipit.rehearsal.run import PROVIDERS, rehearse
from shipit.rehearsal.scenario import Fault
from shipit.release.inputs import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INVENTORY = """
all:
  children:
    eu:
      children:
        web:
          hosts: {web_1: , web_2: }
          vars: {ansible_host: 192.0.2.1, ansible_user: nobody, greeting: hello}
"""  # 192.0.2.1 is nobody's: RFC 5737
# For all that is not about several hosts.
ALONE = INVENTORY.replace("web_1: , web_2: ", "web_1: ")


@pytest.fixture
def workspace(tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A playbook for hosts that can't be reached; all that a rehearsal makes is below tmp_path."""
    folder = tmp_path / "project"
    folder.mkdir()
    workspace = Workspace.set(folder, lab)
    workspace.inventory([], INVENTORY)
    workspace.interval = "1s"  # a rehearsal adds a command that fails, for as long as a gate lasts
    monkeypatch.setenv("TINYAPP_PASSWORD", SECRET)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return workspace


def run_of(workspace: Workspace) -> RunOptions:
    return RunOptions(workspace.folder / "playbook.yaml", (workspace.folder / "inventory.yaml",))


def left(workspace: Workspace) -> list[str]:
    """Name what is left of the machines: files and mounts."""
    scratch = workspace.folder.parent / "scratch"
    mounts = Path("/proc/self/mountinfo").read_text()
    return [*map(str, scratch.iterdir()), *([mounts] if str(scratch) in mounts else [])]


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_good_playbook_passes_every_step(workspace: Workspace) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0", env={"GREETING": "{{ greeting }}"})
    before, events, out = (
        digests(workspace.folder),
        list[Event](),
        workspace.folder.parent / "report.html",
    )
    assert rehearse(run_of(workspace), events.append, report=out) == 0, events
    report = out.with_suffix(".txt").read_text()
    assert report.count("as expected") == 4
    assert "on web_1; 1 health check of each asked from outside" in report
    assert report.count("requests meanwhile, 0 dropped") == 3  # the socket is systemd's
    assert Noted(report) in events
    page = out.read_text()
    assert page.count('<span class="mark gate"') == 3  # one per step whose trial passes
    assert SECRET not in page
    ended = [event.exit_status for event in events if isinstance(event, RunEnded)]
    assert ended == [0, 4, 0, 0]
    assert digests(workspace.folder) == before
    assert left(workspace) == []


def vagrant_of(lab: Lab, folder: Path) -> None:
    """Write a program that does as `vagrant` does, with the lab's hosts as its machines."""
    ways = "\n".join(
        f"Host {host.name.replace('web', 'web-')}\n  HostName {host.address}\n  Port {host.port}\n"
        f"  User {host.user}\n  IdentityFile {host.key}\n  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n  LogLevel FATAL\n"
        for host in lab.hosts.values()
    )
    program = folder / "vagrant"
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{folder}/asked\n[ "$1" != ssh-config ] || cat <<END\n{ways}END\n'
    )
    program.chmod(0o755)


def test_machines_of_vagrant_are_used_over_ssh_alone(
    workspace: Workspace, fresh: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0", env={"GREETING": "{{ greeting }}"})
    workspace.inventory([], INVENTORY + "    rehearsal: {hosts: {web_2: }}\n")
    vagrant_of(fresh, tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    events = list[Event]()
    assert rehearse(run_of(workspace), events.append, choice=MachineChoice("vagrant")) == 0, events
    report = str(events[-1])
    assert report.count("as expected") == 4
    assert "on web_2; 1 health check of each asked from outside" in report
    assert "left out to limit the number of machines: web_1" in report
    assert report.count("requests meanwhile, 0 dropped") == 3
    assert (tmp_path / "asked").read_text() == "up\nssh-config\ndestroy --force\n"
    assert left(workspace) == []


def test_every_fault_is_injected_and_settled(workspace: Workspace) -> None:
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    events, out = list[Event](), workspace.folder.parent / "report.html"
    assert rehearse(run_of(workspace), events.append, faults=True, report=out) == 0, events
    report = out.with_suffix(".txt").read_text()
    assert report.count("as expected") == 9
    assert "on web_1, web_2; 1 health check of each asked from outside" in report
    for fault in Fault:
        assert f"in the gate {fault.value}" in report
    assert report.count("after the fault, by itself") == 5
    began = [event.app for event in events if isinstance(event, RunBegan)]
    assert len(began) == 9  # an interrupted deploy is reported from its start
    page = out.read_text()
    assert page.count('<span class="mark gate"') > 4  # one per host and step
    assert page.count('<span class="mark switch"') >= 4 * 2 + 5
    assert left(workspace) == []


def test_a_failed_gate_does_not_count_as_a_rollback_by_the_lease(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    health = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "deadline": "20s"}
    workspace.playbook("1.0.0", health=health, confirm="host")
    monkeypatch.setattr(scenario, "LEASE", "10m")  # as if the hosts' leases did nothing
    monkeypatch.setattr(scenario, "LASTING", 8.0)
    events = list[Event]()
    assert rehearse(run_of(workspace), events.append, faults=True) == 3
    report = str(events[-1])
    assert report.count("as expected") == 4
    assert "web_1: rolled back, but not because its lease expired: [check-failed]" in report
    assert "after the fault, by itself" in report
    assert left(workspace) == []


def test_a_broken_release_fails_the_rehearsal_at_the_first_step(workspace: Workspace) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0", fault="healthz")
    health = {"checks": [{"http": f"http://127.0.0.1:{PORT}/healthz"}], "deadline": "2s"}
    workspace.playbook("1.0.0", health=health)
    events = list[Event]()
    assert rehearse(run_of(workspace), events.append) == 3
    report = str(events[-1])
    assert "ended with exit status 4; expected 0" in report
    assert "web_1: nothing of tinyapp runs" in report
    assert report.count("not run") == 3
    assert left(workspace) == []


def test_a_release_that_fails_to_start_is_reported_with_its_last_log_lines(
    workspace: Workspace,
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0", fault="start")
    workspace.playbook("1.0.0")
    events = list[Event]()
    assert rehearse(run_of(workspace), events.append) == 3
    report = str(events[-1])
    assert "NOT AS EXPECTED" in report
    assert "web_1: check: tinyapp-web.service is" in report
    assert "tinyapp: broken at start, as asked" in report
    assert left(workspace) == []


def test_a_mistake_in_the_playbook_is_reported_before_a_machine_boots(workspace: Workspace) -> None:
    workspace.playbook("1.0.0", unknown="key")
    events = list[Event]()
    with pytest.raises(InputError, match="unknown"):
        rehearse(run_of(workspace), events.append)
    assert events == []
    assert left(workspace) == []


def test_ctrl_c_removes_the_machines_and_the_report_names_the_interrupted_step(
    workspace: Workspace,
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    events = list[Event]()

    def stop_at_the_second_step(event: Event) -> None:
        events.append(event)
        if isinstance(event, Noted) and event.text.startswith("step 2"):
            raise KeyboardInterrupt

    assert rehearse(run_of(workspace), stop_at_the_second_step) == 130
    report = str(events[-1])
    assert report.count("as expected") == 1
    assert report.count("interrupted") == 1
    assert left(workspace) == []


class Lame(Lab):
    """Machines whose reboot never ends."""

    def reboot(self, name: str, *, timeout: float = 60.0) -> None:
        raise LabError("boot-timeout", f"{name} accepted no login within {timeout:.0f} s")


class Watched(Lab):
    """Machines that are interrupted by Ctrl-C when they are probed, and can't be removed."""

    def run(
        self,
        name: str,
        *argv: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        timeout: float = 30.0,
    ) -> subprocess.CompletedProcess[str]:
        if argv[0] == "python3":
            raise KeyboardInterrupt
        return super().run(name, *argv, input=input, timeout=timeout)

    def down(self) -> None:
        super().down()
        raise LabError("lab-left", "a mount would not go")


def play_on(kind: type[Lab], fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Run a rehearsal on such machines, with this fault only."""

    def up(names: Sequence[str], folder: Path, tell: Callable[[str], None]) -> Lab:
        return kind.up(names, folder, emit=tell)

    others = frozenset(set(Fault) - {fault})
    patch.setitem(PROVIDERS, "nspawn", replace(nspawn.PROVIDER, up=up, unsupported=others))


def test_a_machine_that_does_not_reboot_fails_the_step(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    play_on(Lame, Fault.REBOOT, monkeypatch)
    events, page = list[Event](), tmp_path / "report.html"
    assert rehearse(run_of(workspace), events.append, faults=True, report=page) == 3
    report = page.with_suffix(".txt").read_text()
    assert Noted(report) in events
    assert report.count("as expected") == 4
    assert "accepted no login within 60 s [boot-timeout]" in report
    assert "NOT AS EXPECTED" in page.read_text()
    assert left(workspace) == []


def test_ctrl_c_in_the_gate_of_a_fault_is_an_interruption(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    play_on(Lab, Fault.AGENT, monkeypatch)
    events = list[Event]()

    def stop_in_the_gate(event: Event) -> None:
        events.append(event)
        if isinstance(event, Noted) and event.text.startswith("in the gate of"):
            raise KeyboardInterrupt

    assert rehearse(run_of(workspace), stop_in_the_gate, faults=True) == 130
    report = str(events[-1])
    assert report.count("as expected") == 4
    assert report.count("interrupted") == 1
    assert left(workspace) == []


def test_the_report_is_written_even_if_the_machines_cannot_be_removed(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    play_on(Watched, Fault.AGENT, monkeypatch)
    page = tmp_path / "report.html"
    with pytest.raises(LabError, match="a mount would not go"):
        rehearse(run_of(workspace), list[Event]().append, report=page)
    assert "interrupted" in page.with_suffix(".txt").read_text()
    assert left(workspace) == []


def test_kept_machines_can_be_reached_by_the_printed_command(workspace: Workspace) -> None:
    workspace.inventory([], ALONE)
    workspace.wheel("1.0.0")
    workspace.playbook("1.0.0")
    program = textwrap.dedent("""
        import sys
        from shipit.events import Noted
        from shipit.rehearsal.run import rehearse
        from shipit.release.inputs import RunOptions
        from pathlib import Path

        def report(event):
            if isinstance(event, Noted):
                print(event.text, flush=True)

        run = RunOptions(Path("playbook.yaml"), (Path("inventory.yaml"),))
        rehearse(run, report, keep=True)
        print("ended", flush=True)
        sys.stdin.read()  # as long as this process lives, no other lab clears the machines
    """)
    argv = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        argv, stdin=pipe, stdout=pipe, text=True, cwd=workspace.folder, env=scratch(workspace)
    ) as process:
        try:
            assert process.stdout is not None
            output = list(takewhile(lambda line: line != "ended\n", process.stdout))
            assert "".join(output).count("as expected") == 4
            (way,) = [line for line in output if "ssh -i" in line]
            login = shlex.split(way.partition("ssh -i ")[2].partition(";")[0])
            done = subprocess.run(
                ["ssh", "-o", "StrictHostKeyChecking=no", "-i", *login, "hostname"],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            assert done.stdout == "web-1\n"
        finally:
            process.kill()
    with Lab.up(["next"], workspace.folder.parent):  # clears what dead owners left
        (folder,) = left(workspace)
        assert list(Path(folder).iterdir()) == []


def scratch(workspace: Workspace) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(workspace.folder.parent / "scratch")}
