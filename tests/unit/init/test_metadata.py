"""What pyproject.toml, requirements and locks say, each with its line; broken files are notes."""

from __future__ import annotations

import pytest

from shipit.errors import Place
from shipit.init import metadata
from shipit.init.metadata import LockFile
from shipit.init.project_files import ProjectFiles

PYPROJECT = """\
[build-system]
requires = ["hatchling"]

[project]
name = "shop"
requires-python = ">=3.11"
dependencies = [
  "Flask_Cors>=3",  # with a comment
  "gunicorn[gevent]; sys_platform == 'linux'",
]

[project.scripts]
shop-worker = "shop:work"

[project.optional-dependencies]
prod = ["sentry-sdk"]

[dependency-groups]
dev = ["pytest"]
"""
OF_POETRY = """\
[tool.poetry]
name = "shop"
[tool.poetry.dependencies]
python = "^3.11"
flask = "^3"
[tool.poetry.group.prod.dependencies]
gunicorn = "^27"
"""


def files(**texts: str) -> ProjectFiles:
    return ProjectFiles("any", {name.replace("__", "."): text for name, text in texts.items()})


def test_a_pyproject_is_read_with_the_line_of_each_key() -> None:
    found, notes = metadata.read(files(pyproject__toml=PYPROJECT))
    assert notes == []
    assert (found.name, str(found.name_place)) == ("shop", "pyproject.toml:5")
    assert (found.python, str(found.python_place)) == (">=3.11", "pyproject.toml:6")
    assert str(found.builds) == "pyproject.toml:1"
    assert {name: place.line for name, place in found.dependencies.items()} == {
        "flask-cors": 8,
        "gunicorn": 9,
    }
    assert {name: place.line for name, place in found.scripts.items()} == {"shop-worker": 13}
    assert {name: place.line for name, place in found.extras.items()} == {"prod": 16}
    assert {name: place.line for name, place in found.groups.items()} == {"dev": 19}


def test_the_tables_of_poetry_are_read() -> None:
    found, _ = metadata.read(files(pyproject__toml=OF_POETRY))
    assert (found.name, found.name_key) == ("shop", "[tool.poetry] name")
    assert {name: place.line for name, place in found.groups.items()} == {"prod": 6}
    assert found.dependencies["flask"] == Place("pyproject.toml", 5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[project\n", "pyproject.toml:1: is not TOML: "),
        ('a = "\x00"\n', "pyproject.toml:1: is not TOML: "),
        ("a = " + "[" * 100_000, "pyproject.toml: is not TOML: "),
        (f"a = {'1' * 5000}", "pyproject.toml: is not TOML: "),
    ],
)
def test_a_broken_pyproject_is_a_note_of_one_line(text: str, says: str) -> None:
    found, notes = metadata.read(files(pyproject__toml=text))
    assert found == metadata.Metadata(name_key=found.name_key)
    assert [str(note).startswith(says) for note in notes] == [True]
    assert "\n" not in str(notes[0])


@pytest.mark.parametrize(
    "text",
    [
        "project = 1",
        "[project]\nname = 1\nrequires-python = []\ndependencies = {a = 1}\nscripts = 'x'",
        "[project]\nname = ''\ndependencies = [1, {}, '', '==1']",
        "tool = []",
        "[tool.uv]\nworkspace = {members = 'x'}",
        "[tool.uv.workspace]\nmembers = [1]",
    ],
)
def test_keys_of_another_type_count_as_missing(text: str) -> None:
    found, notes = metadata.read(files(pyproject__toml=text))
    assert notes == []
    assert (found.name, found.python, found.scripts, found.members) == ("", "", {}, ())
    assert found.dependencies == {}


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        ({"pyproject.toml": "[build-system]\n"}, Place("pyproject.toml", 1)),
        ({"setup.py": ""}, Place("setup.py")),
        ({"pyproject.toml": "[tool.uv]\npackage = false\n[build-system]\n"}, None),
        ({"pyproject.toml": "[tool.poetry]\npackage-mode = false\n[build-system]\n"}, None),
        ({"pyproject.toml": "[project]\n"}, None),
        ({}, None),
    ],
)
def test_a_wheel_is_built_by_the_rules_of_its_tool(
    texts: dict[str, str], place: Place | None
) -> None:
    assert metadata.read(ProjectFiles("any", texts))[0].builds == place


def test_the_members_of_a_workspace_are_its_folders_with_a_pyproject() -> None:
    texts = dict.fromkeys(("a/pyproject.toml", "libs/b/pyproject.toml", "c/pyproject.toml"), "")
    text = '[tool.uv.workspace]\nmembers = ["a", "libs/*/"]\n'
    found, _ = metadata.read(ProjectFiles("any", {"pyproject.toml": text, **texts}))
    assert found.members == ("a/", "libs/b/")


def test_a_member_is_read_in_its_folder() -> None:
    texts = {"pyproject.toml": OF_POETRY, "a/pyproject.toml": PYPROJECT}
    found, _ = metadata.read(ProjectFiles("any", texts), "a/")
    assert found.name_place == Place("a/pyproject.toml", 5)


def test_packages_of_a_lock_count_as_dependencies_after_those_that_are_named() -> None:
    lock = '[[package]]\nname = "uvicorn"\n\n[[package]]\nname = "gunicorn"\n'
    found, _ = metadata.read(files(pyproject__toml=PYPROJECT, uv__lock=lock))
    assert found.dependencies["uvicorn"] == Place("uv.lock", 2)
    assert found.dependencies["gunicorn"] == Place("pyproject.toml", 9)


def test_packages_of_a_pipfile_lock_count_as_dependencies() -> None:
    lock = '{\n    "default": {\n        "gunicorn": {\n            "hashes": []\n'
    found, _ = metadata.read(files(Pipfile__lock=lock))
    assert found.dependencies == {"gunicorn": Place("Pipfile.lock", 3)}


HASHED = (
    "flask==3.1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\ngunicorn==27 --hash=sha256:22\n"
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HASHED, 0),
        ("# none\n", 0),
        (f"--index-url x\n{HASHED}-r other.txt\n", 0),
        ("flask\n", 1),
        ("# a comment\nflask==3.1\n", 2),
        (f"{HASHED}click==8 --hash=md5:00\n", 5),
        (HASHED.replace("\n", "\r\n") + "click==8\r\n", 5),
    ],
)
def test_requirements_are_locked_where_each_has_a_hash(text: str, line: int) -> None:
    unlocked = Place("requirements.txt", line) if line else None
    assert metadata.locks(files(requirements__txt=text)) == [LockFile("requirements.txt", unlocked)]


def test_the_locks_of_project_managers_go_before_lists_and_locked_lists_before_others() -> None:
    texts = {"requirements.txt": "flask\n", "requirements.lock": HASHED, "pdm.lock": ""}
    found = metadata.locks(ProjectFiles("any", texts))
    assert [each.path for each in found] == ["pdm.lock", "requirements.lock", "requirements.txt"]


@pytest.mark.parametrize(
    ("name", "text", "python"),
    [
        (".python-version", "3.12\n", ">=3.12"),
        (".python-version", "3.12.4\n", ">=3.12"),
        (".python-version", "cpython-3.13\n", ">=3.13"),
        ("runtime.txt", "python-3.11.9\n", ">=3.11"),
        (".python-version", "pypy3.10\n", ""),
        (".python-version", "3.12\n3.11\n", ""),
        ("other", "3.12", ""),
    ],
)
def test_the_python_of_a_version_manager(name: str, text: str, python: str) -> None:
    place = Place(name, 1) if python else None
    assert metadata.pinned_python(ProjectFiles("any", {name: text})) == (python, place)
