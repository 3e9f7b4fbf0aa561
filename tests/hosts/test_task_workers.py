"""While releases change, no task is broken off, and no two schedulers run at once.

The task workers of docs/recipes.md, as they stand there; rq and dramatiq with Redis on the host.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

import pytest

from hosts.test_recipes import HOST, KILLED, Kitchen, Recipe, dear, serve_redis
from patience import until

if TYPE_CHECKING:
    from pathlib import Path

    from hosts.workspace import Workspace
    from shipit.lab.lab import Lab

PATIENCE = 120.0  # seconds
LOG = "/var/lib/mytasks/tasks"
WITH_REDIS = {"rq": "mytasks.mail", "dramatiq": "mytasks.images"}  # the modules that add a task
FIRST = (
    "cd / && runuser -u mytasks -- env STATE_DIRECTORY=/var/lib/mytasks"
    " /opt/mytasks/current/venv/bin/python -m {}"
)

Tasks = dict[str, dict[str, set[str]]]  # event -> version -> what it is about


def log_of(workspace: Workspace) -> list[list[str]]:
    return [line.split() for line in workspace.sh(HOST, f"cat {LOG} || true").splitlines()]


def tasks_of(workspace: Workspace) -> Tasks:
    found: Tasks = defaultdict(lambda: defaultdict(set))
    for event, version, number in log_of(workspace):
        found[event][version].add(number)
    return found


def journal(workspace: Workspace) -> str:
    return workspace.sh(HOST, "journalctl --no-pager -n 40")


def is_at_work(workspace: Workspace, version: str) -> bool:
    tasks = tasks_of(workspace)
    return bool(tasks["begun"][version] - tasks["ended"][version])


@pytest.mark.index
@pytest.mark.parametrize("heading", [dear(name) for name in ("celery", "huey", *WITH_REDIS)])
def test_a_task_that_has_begun_ends_whatever_is_deployed(
    lab: Lab, tmp_path: Path, heading: str
) -> None:
    lab.reset(HOST)
    kitchen = Kitchen.set(tmp_path, lab, Recipe.of(heading))
    workspace = kitchen.workspace
    if heading in WITH_REDIS:
        serve_redis(workspace)
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        done = kitchen.deploy(version)
        assert done.status == 0, done.output
        if heading in WITH_REDIS and version == "1.0.0":
            workspace.sh(HOST, FIRST.format(WITH_REDIS[heading]))
        until(partial(is_at_work, workspace, version), partial(journal, workspace), PATIENCE)
    back = workspace.shipit("rollback")
    assert back.status == 0, back.output
    tasks = tasks_of(workspace)
    for version in ("1.0.0", "1.2.0"):  # 1.1.0 is at work again
        assert tasks["begun"][version] == tasks["ended"][version]
    schedulers = [event for event, *_ in log_of(workspace) if event.startswith("beat")]
    if heading == "celery":
        turns = ["beat-begun", "beat-ended"] * 4
        assert schedulers == turns[: len(schedulers)]
        assert len(schedulers) >= 7
        assert workspace.sh(HOST, "ls /opt/mytasks/shared/mytasks-beat.schedule*")
    assert workspace.sh(HOST, KILLED) == ""
