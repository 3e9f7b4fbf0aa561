"""Whole projects of each kind: the playbook and what is said, compared with golden files.

`tests/projects/<name>.yaml` is the playbook that `init` writes for the project `<name>`, and
`<name>.txt` what it says. `uv.lock`, `poetry.lock` and requirements.txt are those tools' own.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from project import TESTS
from shipit.cli import main
from shipit.init import texts
from shipit.inventory.model import load
from shipit.playbook import reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROJECTS = TESTS / "projects"
NAMES = ("fastapi-uv", "flask-poetry", "django", "django-unlocked", "celery", "workspace")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that copies a project, and works in the copy from then on."""

    def copied(name: str) -> Path:
        folder = tmp_path / name.removesuffix("-unlocked")
        shutil.copytree(PROJECTS / folder.name, folder)
        if name == "django-unlocked":  # what pip's users have: names, and no hashes
            (folder / "requirements.in").replace(folder / "requirements.txt")
        monkeypatch.chdir(folder)
        return folder

    return copied


@pytest.mark.parametrize("name", NAMES)
def test_the_playbook_and_what_is_said_are_as_expected(
    name: str, copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(name)
    assert main.main(["init"]) == 0
    assert (folder / texts.PLAYBOOK).read_text() == (PROJECTS / f"{name}.yaml").read_text()
    assert capsys.readouterr().out == (PROJECTS / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_playbook_and_the_inventory_can_be_read(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    main.main(["init", "--yes"])
    (draft,) = reader.read(folder / texts.PLAYBOOK)
    deployment = reader.typed(draft, draft.values)
    assert deployment.project is not None
    assert deployment.project.path.resolve() == folder
    assert draft.hosts in load([folder / texts.INVENTORY]).groups


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_nothing_once_the_hosts_are_written_and_the_dependencies_locked(
    name: str, copy: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = copy(name) / texts.INVENTORY
    main.main(["init", "--yes"])
    inventory.write_text(inventory.read_text().replace("# web", "web"))
    capsys.readouterr()
    ended = main.main(["lint", texts.PLAYBOOK])
    out, err = capsys.readouterr()
    if name == "django-unlocked":
        assert (ended, "[no-lock]" in out) == (2, True)
        (command,) = (line for line in out.splitlines() if "uv pip compile" in line)
        how = command.partition("make one: ")[2].partition(";")[0]
        assert how in (PROJECTS / f"{name}.txt").read_text()  # init says the same
    else:
        assert (ended, out, err) == (0, "no findings\n", "")


@pytest.mark.parametrize("name", NAMES)
def test_the_playbook_is_short(name: str) -> None:
    lines = (PROJECTS / f"{name}.yaml").read_text().splitlines()
    assert 10 <= len(lines) <= 25
    assert max(map(len, lines)) <= 100
