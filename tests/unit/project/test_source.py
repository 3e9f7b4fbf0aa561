"""What a project is, from what lies in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError, Mistake
from shipit.project import source

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = '[project]\nname = "My.App"\nversion = "1.02"\nrequires-python = ">= 3.11"\n'
BUILD = '[build-system]\nrequires = []\nbuild-backend = "x"\n'
POETRY = '[tool.poetry]\nname = "shop"\nversion = "2"\n'


def project(folder: Path, text: str, lock: str = "uv.lock") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "pyproject.toml").write_text(text)
    (folder / lock).write_text("a==1 --hash=sha256:...")
    return folder


def refused(folder: Path, package: str = "") -> Mistake:
    with pytest.raises(InputError) as caught:
        source.read(folder, "app", package)
    (mistake,) = caught.value.mistakes
    return mistake


def test_name_version_and_python_are_those_of_the_project_normalized(tmp_path: Path) -> None:
    found = source.read(project(tmp_path, PROJECT + BUILD), "app")
    assert (found.name, found.version, found.python) == ("my-app", "1.2", ">=3.11")
    assert (found.folder, found.root, found.lock) == (tmp_path, tmp_path, tmp_path / "uv.lock")


@pytest.mark.parametrize(
    ("text", "is_package"),
    [
        (PROJECT, False),
        (PROJECT + BUILD, True),
        (PROJECT + BUILD + "[tool.uv]\npackage = false\n", False),
        (PROJECT + "[tool.uv]\npackage = true\n", True),
        (POETRY + BUILD, True),
        (POETRY + "package-mode = false\n" + BUILD, False),
        (PROJECT + BUILD + "[tool.pdm]\ndistribution = false\n", False),
        ("[tool.ruff]\n", False),
    ],
)
def test_a_project_with_a_build_system_is_a_package(
    tmp_path: Path, text: str, *, is_package: bool
) -> None:
    assert source.read(project(tmp_path, text), "app").is_package == is_package


def test_a_folder_without_pyproject_has_the_apps_name(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("a==1 --hash=sha256:...")
    found = source.read(tmp_path, "web-site")
    assert (found.name, found.version, found.is_package) == ("web-site", "", False)
    (tmp_path / "setup.py").write_text("")
    assert source.read(tmp_path, "web-site").is_package


@pytest.mark.parametrize("name", [*source.LOCKS, *source.REQUIREMENTS])
def test_the_lock_is_found(tmp_path: Path, name: str) -> None:
    assert source.read(project(tmp_path, PROJECT, name), "app").lock == tmp_path / name


def test_requirements_of_nothing_are_a_lock(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("# by uv pip compile\n\n")
    assert source.read(tmp_path, "app").lock == tmp_path / "requirements.txt"


def test_the_playbooks_lock_is_taken_instead(tmp_path: Path) -> None:
    own = tmp_path / "prod.lock"
    assert source.read(project(tmp_path, PROJECT), "app", lock=own).lock == own


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        ({"pyproject.toml": PROJECT}, "make one: uv lock; or name it: `lock:` in the playbook"),
        ({"requirements.txt": "django"}, "--generate-hashes requirements.txt -o requirements.lock"),
        ({"requirements.in": "x"}, "--generate-hashes requirements.in -o requirements.lock"),
    ],
)
def test_without_a_lock_the_way_to_make_one_is_shown(
    tmp_path: Path, files: dict[str, str], hint: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    mistake = refused(tmp_path)
    assert (mistake.code, hint in mistake.hint) == ("no-lock", True), mistake.hint


def test_a_member_of_a_workspace_has_its_own_folder_and_the_common_lock(tmp_path: Path) -> None:
    root = '[tool.uv.workspace]\nmembers = ["packages/*"]\n'
    project(tmp_path, root)
    for name in ("api", "core"):
        member = project(tmp_path / "packages" / name, f'[project]\nname = "{name}"\n{BUILD}')
        (member / "uv.lock").unlink()
    (tmp_path / "packages" / "notes").mkdir()
    found = source.read(tmp_path, "app", "API")
    assert (found.name, found.folder) == ("api", tmp_path / "packages" / "api")
    assert (found.root, found.lock) == (tmp_path, tmp_path / "uv.lock")
    mistake = refused(tmp_path, "apy")
    assert (mistake.code, mistake.hint) == ("project-member", "did you mean 'api'?")


@pytest.mark.parametrize("text", ["[", "[project]\nname = 1_", "\ud800"])
def test_a_broken_pyproject_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode(errors="surrogatepass"))
    mistake = refused(tmp_path)
    assert (mistake.code, str(mistake.place)) == (
        "project-unreadable",
        f"{tmp_path}/pyproject.toml",
    )


@pytest.mark.parametrize("name", ["../../x", "a b", "-"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    mistake = refused(project(tmp_path, f"[project]\nname = '{name}'\n"))
    assert (mistake.code, repr(name) in mistake.what) == ("project-unreadable", True)


@pytest.mark.parametrize("members", ["5", '["/abs/*", "", 5]', '"x"'])
def test_members_that_are_no_patterns_are_none(tmp_path: Path, members: str) -> None:
    project(tmp_path, f"[tool.uv.workspace]\nmembers = {members}\n")
    assert refused(tmp_path, "api").code == "project-member"


@pytest.mark.parametrize("text", ["project = 5", "tool = 1", "[tool]\nuv = 1\npoetry = []"])
def test_tables_of_a_wrong_type_are_as_none(tmp_path: Path, text: str) -> None:
    assert source.read(project(tmp_path, text), "app").name == "app"
