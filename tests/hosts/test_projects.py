"""Projects as people have them, from `init` to a rollback: no file is made by hand but the hosts.

One is played here; `make projects` (PROJECTS=all) plays all of them. The hosts reach no index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from marks import left_out_unless
from repositories import committed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.lab.lab import Lab

PROJECTS = Path(__file__).parents[1] / "projects"
HOST = "web1"
PATIENCE = 600.0  # seconds
IS_WHOLE = os.environ.get("PROJECTS") == "all"


@dataclass(frozen=True)
class Kind:
    """A project of tests/projects.

    Attributes:
        app: its name on the host.
        module: the file that is changed for another release, and broken for a bad one.
        units: what runs then.
        env: what is in the operator's environment.
        refused: the exit status of a bad release: one behind a socket is not even switched.
    """

    name: str
    app: str
    module: str
    units: tuple[str, ...] = ("web",)
    env: Mapping[str, str] = field(default_factory=dict)
    refused: int = 3


KINDS = (
    Kind("fastapi-uv", "orders", "src/orders/main.py", env={"PROD_DATABASE_URL": "postgres://x"}),
    Kind("flask-poetry", "shop", "shop/wsgi.py", env={"PROD_SECRET_KEY": "s3cret-word"}),
    Kind("django", "django", "mysite/wsgi.py", env={"PROD_SECRET_KEY": "s3cret-word"}),
    Kind(
        *("celery", "mailer", "mailer/worker.py", ("worker", "beat")),
        env={"PROD_REDIS_URL": "memory://"},
        refused=4,
    ),
    Kind("workspace", "billing-api", "services/billing-api/src/billing_api/asgi.py"),
)


@dataclass
class Project:
    """A copy of a project, under git."""

    folder: Path
    kind: Kind
    lab: Lab

    @classmethod
    def copied(cls, folder: Path, kind: Kind, lab: Lab) -> Project:
        shutil.copytree(PROJECTS / kind.name, folder)
        if (python := folder / "runtime.txt").exists():
            python.write_text("python-3.11\n")  # the host's
        committed(folder)
        return cls(folder, kind, lab)

    def shipit(self, *words: str, status: int = 0) -> str:
        """Run shipit as its user does, in the project's folder."""
        done = subprocess.run(
            [sys.executable, "-m", "shipit", *words],
            cwd=self.folder,
            env={**os.environ, **self.kind.env},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def changed(self, text: str) -> None:
        with (self.folder / self.kind.module).open("a") as module:
            module.write(f"\n{text}\n")
        committed(self.folder)

    @property
    def release(self) -> str:
        done = self.lab.run(HOST, "readlink", f"/opt/{self.kind.app}/current")
        return done.stdout.strip().rpartition("/")[2]

    def is_active(self) -> bool:
        """Whether each of its services runs, in one process or several."""
        listed = ("systemctl", "list-units", "--plain", "--no-legend", "--state=running")
        patterns = [f"{self.kind.app}-{unit}*.service" for unit in self.kind.units]
        return all(self.lab.run(HOST, *listed, pattern).stdout.strip() for pattern in patterns)


def kinds() -> list[Any]:  # pytest's own kind of value is private
    left_out = left_out_unless(IS_WHOLE, "projects")
    first, *others = KINDS
    slow = [pytest.param(kind, marks=left_out, id=kind.name) for kind in others]
    return [pytest.param(first, id=first.name), *slow]


@pytest.mark.index
@pytest.mark.parametrize("kind", kinds())
def test_a_project_is_deployed_by_init_and_deploy_alone(
    kind: Kind, lab: Lab, tmp_path: Path
) -> None:
    lab.reset(HOST)
    project = Project.copied(tmp_path / kind.name, kind, lab)
    project.shipit("init", "--yes")
    group = "workers" if "hosts: workers" in (project.folder / "prod.yaml").read_text() else "web"
    (project.folder / "inventory.yaml").write_text(lab.inventory(groups={group: [HOST]}))
    project.shipit("lint", "prod.yaml")
    project.shipit("deploy", "prod.yaml")
    first = project.release
    assert project.is_active()
    assert "unchanged" in project.shipit("deploy", "prod.yaml")

    project.changed("# another release")
    project.shipit("deploy", "prod.yaml")
    second = project.release
    assert second != first
    project.changed("raise RuntimeError('a bad release')")
    assert "a bad release" in project.shipit("deploy", "prod.yaml", status=kind.refused)
    assert (project.release, project.is_active()) == (second, True)
    project.shipit("rollback", "prod.yaml")
    assert (project.release, project.is_active()) == (first, True)
