"""Who runs the hooks of a deploy, and those of the controller: when, and what a failure does."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from patience import until
from shipit.events import Event, HookOutput, HostFailed, Problem, StepBegan
from shipit.playbook.balancer.models import BalancerCommand, Haproxy, LoadBalancer
from shipit.playbook.hooks.models import Hook
from shipit.release.plan import Action, HostPlan
from shipit.rollout import hooks
from shipit.rollout.controller import command
from shipit.rollout.executor import drive, exit_status
from shipit.rollout.hooks import ControllerHooks
from shipit.rollout.phase import Phase
from shipit.rollout.strategy import Act, Policy, Step, decide
from unit.rollout.test_executor import fleet

if TYPE_CHECKING:
    from shipit.release.build import BuiltRelease

POINTS = ("before_stage", "staged", "before_activate", "after_activate", "before_commit")


HAPROXY = Haproxy.model_construct(sockets=("lb1:9999",), backend="web", server="web1")


def hook(when: str, program: str = "", *, run: str = "controller", timeout: str = "30s") -> Hook:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(program or 'pass')}"
    made = {"name": when, "when": when, "run": run, "command": command, "timeout": timeout}
    return Hook.model_validate(made)


@dataclass
class Ran:
    """A rollout with hooks: what hosts did, and the points of the controller's hooks, in order."""

    acts: list[tuple[str, str]]
    events: list[Event] = field(default_factory=list)
    status: int = -1

    def emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepBegan) and event.host == "controller":
            self.acts.append((event.host, event.detail.partition(" ")[0]))

    @property
    def diary(self) -> list[str]:
        return [act for _, act in self.acts if act != "paused?"]

    @property
    def problems(self) -> list[Problem]:
        return [event.problem for event in self.events if isinstance(event, HostFailed)]

    @property
    def lines(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, HookOutput)]


def run(
    folder: Path,
    *found: Hook,
    faults: dict[str, dict[str, object]] | None = None,
    is_rollback: bool = False,
    policy: Policy | None = None,
) -> Ran:
    made, _, acts = fleet("a b", faults)
    ran = Ran(acts)
    made.hooks = ControllerHooks(found, folder, os.environ, ran.emit, is_rollback=is_rollback)
    with ThreadPoolExecutor(4) as executor:
        drive(made, policy or Policy((1,)), executor, ran.emit)
    ran.status = exit_status(made.results())
    return ran


def test_each_point_comes_once_where_it_is_due(tmp_path: Path) -> None:
    ran = run(tmp_path, *(hook(point) for point in (*POINTS, "after_commit", "on_rollback")))
    assert ran.diary == [
        *("before_stage", "stage", "stage", "staged", "before_activate", "switch", "switch"),
        *("after_activate", "before_commit", "commit", "commit", "after_commit"),
    ]
    assert ran.status == 0


@pytest.mark.parametrize(
    ("point", "status", "last"),
    [
        ("before_stage", 3, "before_stage"),
        ("staged", 3, "roll back"),
        ("before_activate", 3, "roll back"),
        ("after_activate", 4, "on_rollback"),
        ("before_commit", 4, "on_rollback"),
        ("after_commit", 0, "after_commit"),
    ],
)
def test_a_hook_that_fails_ends_the_rollout_unless_it_is_committed(
    tmp_path: Path, point: str, status: int, last: str
) -> None:
    ran = run(tmp_path, hook(point, "print('why'); raise SystemExit(3)"), hook("on_rollback"))
    assert (ran.status, ran.diary[-1]) == (status, last)
    (problem,) = ran.problems
    assert (problem.host, problem.code) == ("controller", "hook-failed")
    assert "ended with exit status 3" in problem.what
    assert problem.evidence == "why\n"
    assert "commit" not in ran.diary or point == "after_commit"


def test_hooks_on_rollback_run_when_a_switched_host_was_rolled_back(tmp_path: Path) -> None:
    failing: dict[str, dict[str, object]] = {"b": {"switch": Phase.ROLLED_BACK}}
    ran = run(tmp_path, hook("on_rollback"), hook("after_commit"), faults=failing)
    assert ran.diary[-1] == "on_rollback"
    assert "after_commit" not in ran.diary


@pytest.mark.parametrize(
    ("end", "last"), [(Phase.ROLLED_BACK, "on_rollback"), (Phase.UNKNOWN, "commit")]
)
def test_a_run_that_commits_some_hosts_runs_what_each_point_promises(
    tmp_path: Path, end: Phase, last: str
) -> None:
    faults: dict[str, dict[str, object]] = {"a": {"switch": end}}
    found = (hook("on_rollback"), hook("after_commit"))
    ran = run(tmp_path, *found, faults=faults, policy=Policy((1,), max_failures=1))
    assert ("b", "commit") in ran.acts
    assert ran.diary[-1] == last
    assert "after_commit" not in ran.diary, "not all hosts are committed"


def test_hosts_that_run_the_release_already_count_as_committed(tmp_path: Path) -> None:
    ran = Ran([])
    own = ControllerHooks([hook("after_commit")], tmp_path, os.environ, ran.emit)
    own.at_end([Phase.UNCHANGED], lambda: False)
    assert ran.diary == []
    own.at_end([Phase.UNCHANGED, Phase.COMMITTED], lambda: False)
    assert ran.diary == ["after_commit"]


def test_a_rollback_runs_only_on_rollback(tmp_path: Path) -> None:
    every = (hook(point) for point in (*POINTS, "after_commit", "on_rollback"))
    ran = run(tmp_path, *every, is_rollback=True)
    assert [act for act in ran.diary if "_" in act] == ["on_rollback"]


def test_hooks_of_hosts_do_not_run_here(tmp_path: Path) -> None:
    ran = run(tmp_path, hook("staged", run="each"), hook("staged", run="once"))
    assert "staged" not in ran.diary


# --- one hook ------------------------------------------------------------------------------------


def test_it_runs_in_the_playbook_s_folder_and_its_output_is_passed_on(tmp_path: Path) -> None:
    program = "import os; print(os.getcwd()); print(os.environ['SHIPIT_HOOK'], end='')"
    ran = run(tmp_path, hook("staged", program))
    assert ran.lines == [str(tmp_path), "staged"]


def test_a_program_that_does_not_exist_is_a_failure(tmp_path: Path) -> None:
    made = Hook.model_validate({"when": "staged", "run": "controller", "command": "no-such-tool x"})
    ran = run(tmp_path, made)
    assert made.name == "no-such-tool"
    assert "could not be started: No such file" in ran.problems[0].what
    assert ran.status == 3


def test_when_its_time_is_over_all_its_processes_are_killed(tmp_path: Path) -> None:
    program = (
        "import subprocess, pathlib, time\n"
        "child = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\n"
        "time.sleep(300)"
    )
    began = time.monotonic()
    ran = run(tmp_path, hook("staged", program, timeout="2s"))
    assert time.monotonic() - began < 60
    assert ran.problems[0].code == "hook-timeout"
    pid = (tmp_path / "pid").read_text()

    def is_gone() -> bool:
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().split()[2] == "Z"

    until(is_gone, lambda: pid, 10)


def test_a_hook_runs_beside_very_many_open_descriptors(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("this user may not open 2000 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1150)]
    try:
        ran = run(tmp_path, hook("staged", "print('here')"))
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (ran.status, ran.lines) == (0, ["here"])


def test_a_hook_of_another_user_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen[bytes]):
        def wait(self, timeout: float | None = None) -> int:
            started.append(self)
            return super().wait(timeout)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(subprocess, "Popen", Kept)
    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setattr(command, "KILLED", 0.2, raising=False)
    began = time.monotonic()
    ran = run(tmp_path, hook("staged", "import time; time.sleep(60)", timeout="500ms"))
    child = started[0]
    assert time.monotonic() - began < 30
    child.kill()
    child.wait(30)
    (problem,) = ran.problems
    assert problem.code == "hook-timeout"
    assert f"could not be killed: process {child.pid}" in problem.what


def test_processes_of_another_user_that_a_hook_has_left_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)
    ran = run(tmp_path, hook("staged", "print('done')"))
    assert ran.status == 0
    assert ran.lines[0] == "done"
    assert "could not be killed" in ran.lines[1]


def test_a_command_that_no_program_can_get_is_a_failure(tmp_path: Path) -> None:
    made = hook("staged").model_copy(update={"command": "true '\0'"})
    ran = run(tmp_path, made)
    assert "could not be started: embedded null byte" in ran.problems[0].what


def test_very_much_output_is_cut(tmp_path: Path) -> None:
    program = "import sys; [sys.stdout.write('y' * 1023 + chr(10)) for _ in range(10240)]"
    ran = run(tmp_path, hook("staged", program))
    assert ran.status == 0
    assert sum(map(len, ran.lines)) < 2 * command.SHOWN
    assert ran.lines[-1] == "[... more output is not shown]"


def test_an_interrupt_ends_a_hook(tmp_path: Path) -> None:
    events: list[Event] = []
    own = ControllerHooks(
        [hook("staged", "import time; time.sleep(300)")], tmp_path, os.environ, events.append
    )
    assert own.before(Step(Act.SWITCH, ("a",)), lambda: True) is False
    problems = [event.problem for event in events if isinstance(event, HostFailed)]
    assert "was interrupted" in problems[0].what


def test_the_environment_has_no_secret_of_the_app_and_no_token_of_a_check() -> None:
    checks = (SimpleNamespace(token="env:PROM_TOKEN"), SimpleNamespace(token=""))
    canary = SimpleNamespace(checks=checks)
    deployment = SimpleNamespace(secrets={"URL": "env:PROD_URL", "KEY": "file:key"}, canary=canary)
    targets: Any = [SimpleNamespace(deployment=deployment)]
    own = {"PROD_URL": "secret", "PROM_TOKEN": "secret", "HOME": "/root"}
    found = hooks.environment(targets, {"APP": "x"}, own)
    assert found == {"HOME": "/root", "SHIPIT_APP": "x"}


def test_a_variable_that_no_program_could_be_started_with_is_left_out(tmp_path: Path) -> None:
    names = " ".join(f"web{number}.example.com" for number in range(10_000))
    own = {"SHIPIT_HOSTS": "old", "PATH": os.environ["PATH"]}
    found = hooks.environment([], {"APP": "x", "HOSTS": names}, own)
    assert found == {"PATH": own["PATH"], "SHIPIT_APP": "x"}
    most = "h" * command.LONGEST_VARIABLE
    ran = Ran([])
    fits = hooks.environment([], {"HOSTS": most}, own)
    program = "import os; print(len(os.environ['SHIPIT_HOSTS']))"
    made = ControllerHooks([hook("after_commit", program)], tmp_path, fits, ran.emit)
    made.at_end([Phase.COMMITTED], lambda: False)
    assert ran.lines == ["100000"]


# --- who runs them -------------------------------------------------------------------------------


def deploying(*found: Hook, actions: dict[str, Action]) -> tuple[Any, Any]:
    deployment = SimpleNamespace(hooks=found, user="demo", migrate=None, canary=None, assets=None)
    order = [SimpleNamespace(name=name, deployment=deployment) for name in ("a", "b", "c")]
    built: BuiltRelease | None = None
    made = {name: (built, HostPlan(name, it, "r2", "2")) for name, it in actions.items()}
    return made, order


def test_the_first_host_that_changes_is_elected() -> None:
    actions = {"c": Action.DEPLOY, "b": Action.SWITCH, "a": Action.NOTHING}
    made, order = deploying(hook("staged", run="once"), actions=actions)
    assert hooks.elected(made, order) == "b"
    del made["b"]  # lost
    assert hooks.elected(made, order) == "c"
    assert hooks.elected({}, order) == ""


def test_nobody_is_elected_where_nothing_runs_once() -> None:
    made, order = deploying(hook("staged", run="each"), actions={"a": Action.DEPLOY})
    assert hooks.elected(made, order) == ""


def test_a_plan_names_the_hooks_of_each_host_that_changes() -> None:
    found = [replace_command(hook("staged", run=run)) for run in ("each", "once", "controller")]
    actions = {"a": Action.NOTHING, "b": Action.DEPLOY, "c": Action.DEPLOY}
    made, order = deploying(*found, actions=actions)
    plans = {name: plan for name, (_, plan) in hooks.planned(made, order).items()}
    assert plans["a"].hooks == ()
    assert plans["b"].hooks == (
        "staged: warm (on each host as demo)",
        "staged: warm (once, on b as demo)",
        "staged: warm (on the controller)",
    )
    assert plans["c"] == replace(plans["b"], host="c")


def replace_command(found: Hook) -> Hook:
    return found.model_copy(update={"command": "warm"})


def test_what_runs_once_before_the_switch_ends_before_another_host_is_switched() -> None:
    policy = Policy(("100%",), elected="b", first_alone=True)
    phases = {"a": Phase.UNCHANGED, "b": Phase.STAGED, "c": Phase.STAGED, "d": Phase.STAGED}
    assert decide(phases, policy) == Step(Act.SWITCH, ("b",), 1, 2)
    assert decide({**phases, "b": Phase.HEALTHY}, policy) == Step(Act.SWITCH, ("c", "d"), 2, 2)


@pytest.mark.parametrize("phase", [Phase.DISCARDED, Phase.UNREACHABLE, Phase.ROLLED_BACK])
def test_a_fleet_stops_without_the_host_that_runs_what_runs_once(phase: Phase) -> None:
    policy = Policy(("100%",), 50.0, elected="a")
    phases = {"a": phase, "b": Phase.STAGED, "c": Phase.STAGED}
    assert decide(phases, policy) == Step(Act.ROLL_BACK, ("b", "c"))
    assert decide(phases, replace(policy, elected="")) == Step(Act.SWITCH, ("b", "c"), 1, 1)


@pytest.mark.parametrize(
    ("balancer", "seconds"),
    [
        (None, 0.0),
        (LoadBalancer.model_construct(haproxy=HAPROXY, wait=10.0), 2 * (10.0 + 60.0)),
        (
            LoadBalancer.model_construct(
                drain=BalancerCommand.model_construct(command="out", timeout=5.0),
                undrain=BalancerCommand.model_construct(command="back", timeout=7.0),
            ),
            2 * 3 * 12.0,
        ),
    ],
)
def test_leaving_the_load_balancer_takes_its_time(
    balancer: LoadBalancer | None, seconds: float
) -> None:
    deployment: Any = SimpleNamespace(hooks=(), migrate=None, load_balancer=balancer, assets=None)
    assert hooks.longest(deployment) == seconds
