"""The hook for users of pre-commit: https://pre-commit.com/#creating-new-hooks."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
import yaml

from project import TOP
from shipit.cli.program import program

(HOOK,) = yaml.safe_load((TOP / ".pre-commit-hooks.yaml").read_text())
REQUIRED = {"id", "name", "entry", "language"}
OPTIONAL = {"description", "files", "require_serial"}


def test_it_has_the_keys_that_pre_commit_requires_and_none_that_it_does_not_know() -> None:
    assert REQUIRED <= HOOK.keys() <= REQUIRED | OPTIONAL
    assert HOOK["require_serial"] is True, "files are read once, not once for each core"


def test_its_entry_is_a_command_of_the_package_that_pre_commit_installs() -> None:
    script, command = shlex.split(HOOK["entry"])
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    assert HOOK["language"] == "python"
    assert script in project["project"]["scripts"]
    assert command in program.commands


@pytest.mark.parametrize(
    ("path", "is_playbook"),
    [
        ("playbooks/prod.yaml", True),
        ("deploy/playbooks/prod.yml", True),
        ("playbooks/templates/a.yaml.j2", False),
        ("playbooks/group_vars/web.yml", False),
        ("inventory.yaml", False),
    ],
)
def test_it_runs_for_playbooks_alone(path: str, is_playbook: object) -> None:
    assert bool(re.search(HOOK["files"], path)) == is_playbook


def test_the_pages_name_it() -> None:
    for page in ("README.md", "docs/lint.md"):
        assert f"id: {HOOK['id']}" in (TOP / page).read_text()
