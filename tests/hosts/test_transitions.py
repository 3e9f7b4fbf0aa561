"""From playbook to playbook on a real host: what runs is what the last one wants, and no more.

The same as the test_transitions.py of the unit tests, with the real systemd. `make transitions`
walks further.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from hosts.workspace import PATIENCE, Workspace
from patience import until
from playbook_pairs import BOOKS, KINDS, Book

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosts.workspace import Done
    from shipit.lab.lab import Lab

HOST = "web1"
WALK = int(os.environ.get("TRANSITIONS", "0"))  # steps
SEED = int(os.environ.get("SEED", "1"))
COMMANDS = {"work": "tinyapp-worker", "report": "tinyapp-report", "worker": "tinyapp-worker"}
STEPS = (
    Book("web", "restart 1"),
    Book("web", "job"),
    Book("web", "own port"),
    Book("web", "socket overlap 1"),
    Book("web", "socket restart 2"),
    Book("api", "overlap 2"),
    Book("api", "job"),
    Book(),
)
STAMP = "/var/lib/systemd/timers/stamp-tinyapp-web.timer"
REPORT = "/var/lib/tinyapp/report"
UP = """
systemctl list-units --all --plain --no-legend --state=active,activating 'tinyapp-*' | cut -d' ' -f1
echo
ls /etc/systemd/system/*.wants | grep ^tinyapp-
"""


def real(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service of a pair as tinyapp has it."""
    words = str(service["command"]).split()
    own = {"env": {"PORT": words[2]}} if "--port" in words else {}
    return {**service, "command": COMMANDS.get(words[0], "tinyapp"), "stop_timeout": "5s", **own}


@pytest.fixture(scope="module")
def workspace(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    lab.reset(HOST)
    workspace = Workspace.set(tmp_path_factory.mktemp("transitions"), lab, [HOST])
    workspace.wheel("1.0.0")
    return workspace


def deploy(workspace: Workspace, book: Book, step: object, *checks: object, **changes: Any) -> Done:  # noqa: ANN401 - as in a playbook
    kinds = {kind: {**real(service), **changes} for kind, service in KINDS.items()}
    services = {"worker": real({"command": "worker"}), **book.services(kinds)}
    health = {"checks": checks, "min_healthy": "100ms", "deadline": "2s" if checks else "60s"}
    env = {"STEP": str(step)}
    workspace.playbook("1.0.0", services=services, health=health, env=env, smoke=None)
    return workspace.shipit("deploy", "--json")


def exactly(workspace: Workspace, book: Book) -> None:
    """Prove that the playbook's units run and are enabled, and no others."""
    manifest = workspace.asked("status")[HOST]
    assert (manifest["drift"], manifest["stuck"]) == ([], "")
    release = str(manifest["release"])
    wanted = sorted(
        unit.name.replace("app-", "tinyapp-", 1)
        for unit in book.rendered(workspace.folder / "rendered", release).units
        if unit.start
    )
    up, enabled = workspace.sh(HOST, UP).split("\n\n")
    assert (sorted(up.split()), sorted(enabled.split())) == (wanted, wanted)


def test_every_step_leaves_exactly_its_own_units(workspace: Workspace) -> None:
    (workspace.folder / "rendered").mkdir(exist_ok=True)
    before = None
    for number, book in enumerate(STEPS):
        if before is not None and number % 3 == 1:
            failed = deploy(workspace, book, f"{number} fails", {"command": "/bin/false"})
            assert failed.status == 4, failed.output
            exactly(workspace, before)
        done = deploy(workspace, book, number)
        assert done.status == 0, f"{before} -> {book}: {done.output}"
        exactly(workspace, book)
        before = book


@pytest.mark.skipif(not WALK, reason="a long walk: make transitions")
def test_random_changes_leave_exactly_the_last_playbooks_units(workspace: Workspace) -> None:
    (workspace.folder / "rendered").mkdir(exist_ok=True)
    choice, before = random.Random(SEED), Book()  # noqa: S311 - no secret
    assert deploy(workspace, before, "walk").status == 0
    for number in range(WALK):
        book = choice.choice(BOOKS)
        fails = choice.random() < 0.25
        checks = [{"command": "/bin/false"}] if fails else []
        done = deploy(workspace, book, f"walk {number}", *checks)
        assert done.status == (4 if fails else 0), f"{number}, {before} -> {book}: {done.output}"
        before = before if fails else book
        exactly(workspace, before)


def test_a_changed_schedule_runs_no_job_for_times_that_have_passed(workspace: Workspace) -> None:
    """Before, systemd made up for them at once, before the gate."""
    job = Book("web", "job")
    assert deploy(workspace, job, "before").status == 0
    workspace.sh(HOST, f"rm -f {REPORT}; touch -d '3 years ago' {STAMP}")
    done = deploy(workspace, job, "changed", timer="*-02-01 03:00:00")
    assert done.status == 0, done.output
    # A timer that makes up for a time does so at its start: it has triggered nothing by then.
    shown = "systemctl show -P ActiveState -P LastTriggerUSec tinyapp-web.timer"
    assert workspace.sh(HOST, shown) == "active"
    assert workspace.sh(HOST, f"cat {REPORT} || true") == ""


def test_a_timer_run_that_was_due_during_the_deploy_follows_after_the_commit(
    workspace: Workspace,
) -> None:
    job = Book("web", "job")
    assert deploy(workspace, job, "due before").status == 0
    workspace.sh(HOST, f"rm -f {REPORT}; touch -d '3 years ago' {STAMP}")
    done = deploy(workspace, job, "due", {"command": f"test ! -e {REPORT}"})
    assert done.status == 0, done.output
    until(
        lambda: workspace.sh(HOST, f"cat {REPORT} || true") == "1.0.0",
        lambda: workspace.sh(
            HOST, "systemctl status tinyapp-web.timer tinyapp-web.service || true"
        ),
        PATIENCE,
    )
