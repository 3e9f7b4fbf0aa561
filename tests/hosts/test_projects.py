"""Projects as people have them, by the commands of docs/guides: only the hosts are written by hand.

One is played here; `make projects` (PROJECTS=all) plays all of them. The hosts reach no index.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import guides
from marks import left_out_unless
from repositories import committed

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

PROJECTS = Path(__file__).parents[1] / "projects"
HOST = "web1"
IS_WHOLE = os.environ.get("PROJECTS") == "all"


@dataclass(frozen=True)
class Kind:
    """A project of tests/projects.

    Attributes:
        app: its name on the host.
        module: the file that is changed for another release, and broken for a bad one.
        units: what runs then.
        refused: the exit status of a bad release: one behind a socket is not even switched.
        shipped: a file of the release, below the folder that its services start in.
        page: of docs/guides; named like the project, if it is empty.
    """

    name: str
    app: str
    module: str
    units: tuple[str, ...] = ("web",)
    refused: int = 3
    shipped: str = "."
    page: str = ""


KINDS = (
    Kind("fastapi-uv", "orders", "src/orders/main.py"),
    Kind("flask-poetry", "shop", "shop/wsgi.py"),
    Kind("django", "django", "mysite/wsgi.py", shipped="staticfiles/pages/site.css"),
    Kind("celery", "mailer", "mailer/worker.py", ("worker", "beat"), refused=4),
    Kind(
        *("workspace", "billing-api", "services/billing-api/src/billing_api/asgi.py"),
        page="monorepo",
    ),
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

    def run(self, script: str, status: int = 0) -> str:
        """Run a line of shell as its user does, in the project's folder."""
        done = guides.play(script, self.folder)
        assert done.returncode == status, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def fill_in_hosts(self) -> None:
        playbook = (self.folder / "prod.yaml").read_text()
        group = "workers" if "hosts: workers" in playbook else "web"
        inventory = self.lab.inventory(groups={group: [HOST]})
        (self.folder / "inventory.yaml").write_text(inventory)

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
def test_a_project_is_deployed_by_the_commands_of_its_guide(
    kind: Kind, lab: Lab, tmp_path: Path
) -> None:
    lab.reset(HOST)
    project = Project.copied(tmp_path / kind.name, kind, lab)
    first = second = deploy = ""
    for script in guides.scripts(kind.page or kind.name):
        if "shipit deploy" in script and first:
            project.changed("# another release")
        project.run(script)
        if script.endswith("shipit init"):
            project.fill_in_hosts()
        if "shipit deploy" in script:
            deploy, first, second = script, first or project.release, project.release
    assert first != second
    assert (project.release, project.is_active()) == (first, True)  # the last one is a rollback

    assert "release-held" in project.run(deploy, status=3)
    project.run(f"{deploy} --override-hold -m 'it was rolled back to see what a rollback does'")
    assert (project.release, project.is_active()) == (second, True)
    assert "unchanged" in project.run(deploy)
    workdir = "current/venv/app" if kind.shipped != "." else "current"
    lab.run(HOST, "test", "-e", f"/opt/{kind.app}/{workdir}/{kind.shipped}")
    project.changed("raise RuntimeError('a bad release')")
    assert "a bad release" in project.run(deploy, status=kind.refused)
    assert (project.release, project.is_active()) == (second, True)
