"""Locks of Poetry, PDM and Pipenv: what they mean, and how to export those that do not say it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from packaging.markers import Marker
from packaging.specifiers import SpecifierSet

from locks import A, B, locked, only
from shipit.bundle.lock import Locked, Origin
from shipit.errors import Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

C, D = "c" * 64, "d" * 64
POETRY = "poetry export -f requirements.txt -o requirements.lock"
PDM = "pdm export -f requirements -o requirements.lock"
PIPENV = "pipenv requirements --hash > requirements.lock"
FILES = f"""\
files = [
  {{ file = "a-1-py3-none-any.whl", hash = "sha256:{A.upper()}" }},
  {{ url = "https://x/a-1.tar.gz#egg=a.whl", hash = "sha256:{B}" }},
  {{ url = "https://x/a-1-cp311-none-any.whl#x", hash = "sha256:{C}" }},
  {{ url = "https://x/a-1-cp312-none-any.whl", hash = "sha256:{D}" }},
  {{ url = "https://x/a-1-cp313-none-any.whl", hash = "md5:{B}" }},
]
"""
WIN = "sys_platform == 'win32'"


def package(more: str = "", name: str = "a") -> str:
    return f'[[package]]\nname = "{name}"\nversion = "1.0"\n{more}\n'


def only_entry(folder: Path, name: str, text: str) -> Locked:
    (entry,) = locked(folder, text, name).entries
    return entry


def export(folder: Path, name: str, why: str, command: str) -> Mistake:
    return Mistake("foreign-lock", why, Place(f"{folder}/{name}"), f"export it: {command}")


# --- Poetry ------------------------------------------------------------------------------------


def poetry(more: str, version: str = "2.1", python: str = ">=3.11,<4") -> str:
    text = f'[metadata]\nlock-version = "{version}"\n{python and f"python-versions = {python!r}"}'
    return f"{more}\n{text}\n"


def test_the_main_group_of_a_poetry_lock_is_read_with_places_and_python(tmp_path: Path) -> None:
    text = package('groups = ["dev"]', "b")
    text += package(f'groups = ["main", "dev"]\n{FILES}', "Sp.ell_ing")
    lock = locked(tmp_path, poetry(text), "poetry.lock")
    assert (lock.path, lock.requires_python) == (
        tmp_path / "poetry.lock",
        SpecifierSet(">=3.11,<4"),
    )
    line = [n for n, each in enumerate(text.splitlines(), 1) if each == "[[package]]"][1]
    place = Place(f"{tmp_path}/poetry.lock", line, 1)
    assert lock.entries == (
        Locked("sp-ell-ing", "1.0", frozenset({A, C, D}), place, sources=frozenset({B})),
    )


@pytest.mark.parametrize(
    ("markers", "marker"),
    [
        (f'markers = "{WIN}"', Marker(WIN)),
        (f'markers = {{ main = "{WIN}", dev = "" }}', Marker(WIN)),
        (f'markers = {{ dev = "{WIN}" }}', None),
        ("", None),
    ],
)
def test_the_marker_of_the_main_group_counts(
    markers: str, marker: Marker | None, tmp_path: Path
) -> None:
    text = poetry(package(f'groups = ["main"]\n{markers}'))
    assert only_entry(tmp_path, "poetry.lock", text).marker == marker


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("", None),
        ('type = "legacy"\nurl = "https://x"', None),
        (
            'type = "directory"\nurl = "lib/a"',
            Origin("the folder lib/a", "uv build --wheel -o {} lib/a", "lib/a", is_tree=True),
        ),
        (
            'type = "git"\nurl = "https://x/a"\nreference = "main"\nresolved_reference = "c0ffee"',
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0ffee'",
                "git+https://x/a@c0ffee",
                is_tree=True,
            ),
        ),
        (
            'type = "file"\nurl = "a.whl"',
            Origin("a.whl", "pip download --no-deps -d {} a.whl", "a.whl", is_wheel=True),
        ),
        (
            'type = "url"\nurl = "https://x/a.tar.gz"',
            Origin(
                "https://x/a.tar.gz", "pip wheel -w {} https://x/a.tar.gz", "https://x/a.tar.gz"
            ),
        ),
    ],
)
def test_the_source_of_a_package_of_poetry_is_its_origin(
    source: str, origin: Origin | None, tmp_path: Path
) -> None:
    text = package(f'groups = ["main"]\n[package.source]\n{source}')
    assert only_entry(tmp_path, "poetry.lock", poetry(text)).origin == origin


@pytest.mark.parametrize("python", ["", "*", "^3.11", ">=3.9 || <4"])
def test_a_range_of_python_that_is_not_a_specifier_allows_any(python: str, tmp_path: Path) -> None:
    lock = locked(tmp_path, poetry("", python=python), "poetry.lock")
    assert (lock.requires_python, lock.entries) == (SpecifierSet(), ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            poetry(package(), "2.0"),
            "a lock of Poetry 1 does not say which packages the app itself needs",
        ),
        (poetry(package()), "the lock is not understood (KeyError: 'groups')"),
        (
            poetry(package(), "x"),
            "the lock is not understood (InvalidVersion: Invalid version: 'x')",
        ),
        (
            poetry(package('groups = ["main"]\nfiles = [{}]')),
            "the lock is not understood (KeyError: 'url')",
        ),
        (
            poetry(package('groups = ["main"]\n[package.source]\ntype = "directory"')),
            "the lock is not understood (KeyError: 'url')",
        ),
    ],
)
def test_a_lock_of_poetry_that_does_not_say_what_the_app_needs_is_to_be_exported(
    text: str, why: str, tmp_path: Path
) -> None:
    expected = export(tmp_path, "poetry.lock", why, POETRY)
    assert only(tmp_path, text, "poetry.lock") == expected


# --- PDM ---------------------------------------------------------------------------------------

INHERITED = 'strategy = ["cross_platform", "inherit_metadata"]'


def pdm(packages: str, metadata: str = INHERITED) -> str:
    return f'[metadata]\nlock_version = "4.5.0"\n{metadata}\n{packages}'


def test_the_default_group_of_a_pdm_lock_is_read(tmp_path: Path) -> None:
    text = pdm(
        package('groups = ["dev"]', "b")
        + package(f'groups = ["default"]\nmarker = "{WIN}"\n{FILES}')
    )
    lock = locked(tmp_path, text, "pdm.lock")
    line = [n for n, each in enumerate(text.splitlines(), 1) if each == "[[package]]"][1]
    place = Place(f"{tmp_path}/pdm.lock", line, 1)
    assert lock.entries == (
        Locked("a", "1.0", frozenset({A, C, D}), place, Marker(WIN), sources=frozenset({B})),
    )
    assert (lock.path, lock.requires_python) == (tmp_path / "pdm.lock", SpecifierSet())


@pytest.mark.parametrize(
    ("targets", "python"),
    [
        ('[{ requires_python = ">=3.11" }]', ">=3.11"),
        ("[{}]", ""),
        ('[{ requires_python = "*" }]', ""),
        ('[{ requires_python = ">=3.11" }, { requires_python = ">=3.12" }]', ""),
    ],
)
def test_the_python_of_a_pdm_lock_is_that_of_its_only_target(
    targets: str, python: str, tmp_path: Path
) -> None:
    lock = locked(tmp_path, pdm("", f"{INHERITED}\ntargets = {targets}"), "pdm.lock")
    assert lock.requires_python == SpecifierSet(python)


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        (
            'git = "https://x/a"\nref = "main"\nrevision = "c0ffee"',
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0ffee'",
                "git+https://x/a@c0ffee",
                is_tree=True,
            ),
        ),
        (
            'url = "https://x/a.whl"',
            Origin(
                "https://x/a.whl",
                "pip download --no-deps -d {} https://x/a.whl",
                "https://x/a.whl",
                is_wheel=True,
            ),
        ),
        (
            'path = "./lib"',
            Origin("the folder ./lib", "uv build --wheel -o {} ./lib", "./lib", is_tree=True),
        ),
        (
            'path = "./a.whl"',
            Origin("./a.whl", "pip download --no-deps -d {} ./a.whl", "./a.whl", is_wheel=True),
        ),
        ('path = "./a.tar.gz"', Origin("./a.tar.gz", "pip wheel -w {} ./a.tar.gz", "./a.tar.gz")),
        ('path = "./a.zip"', Origin("./a.zip", "pip wheel -w {} ./a.zip", "./a.zip")),
    ],
)
def test_the_source_of_a_package_of_pdm_is_its_origin(
    source: str, origin: Origin, tmp_path: Path
) -> None:
    text = pdm(package(f'groups = ["default"]\n{source}'))
    entry = only_entry(tmp_path, "pdm.lock", text)
    assert (entry.origin, entry.marker) == (origin, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *(
            (
                pdm(package(), strategy),
                "this lock does not say which packages the app itself needs",
            )
            for strategy in ("", 'strategy = ["cross_platform"]')
        ),
        (pdm(package()), "the lock is not understood (KeyError: 'groups')"),
    ],
)
def test_a_lock_of_pdm_that_does_not_say_what_the_app_needs_is_to_be_exported(
    text: str, why: str, tmp_path: Path
) -> None:
    assert only(tmp_path, text, "pdm.lock") == export(tmp_path, "pdm.lock", why, PDM)


# --- Pipenv ------------------------------------------------------------------------------------


def pipfile(**packages: dict[str, Any]) -> str:
    return json.dumps({"default": packages, "develop": {"b": {"version": "==1"}}})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("poetry.lock", '[metadata]\nlock-version = "2.1"\n'),
        ("pdm.lock", f'[metadata]\nlock_version = "4.5.0"\n{INHERITED}\n'),
    ],
)
def test_a_package_of_an_inline_table_has_the_place_of_the_file(
    name: str, text: str, tmp_path: Path
) -> None:
    package = 'package = [{ name = "a", version = "1", groups = ["main", "default"] }]\n'
    assert only_entry(tmp_path, name, package + text).place == Place(f"{tmp_path}/{name}")


def test_the_default_section_of_a_pipfile_lock_is_read(tmp_path: Path) -> None:
    text = pipfile(
        Sp_ell={
            "hashes": [f"sha256:{A}", f"md5:{B}"],
            "markers": WIN,
            "version": "==1.0-rc1",
        }
    )
    lock = locked(tmp_path, text, "Pipfile.lock")
    place = Place(f"{tmp_path}/Pipfile.lock")
    assert lock.entries == (Locked("sp-ell", "1.0rc1", frozenset({A}), place, Marker(WIN)),)
    assert lock.path == tmp_path / "Pipfile.lock"


@pytest.mark.parametrize(
    ("package", "origin"),
    [
        ({}, None),
        (
            {"git": "https://x/a", "ref": "c0ffee"},
            Origin(
                "a commit of https://x/a",
                "pip wheel --no-deps -w {} 'a @ git+https://x/a@c0ffee'",
                "git+https://x/a@c0ffee",
                is_tree=True,
            ),
        ),
        (
            {"path": "./lib", "editable": True},
            Origin("the folder ./lib", "uv build --wheel -o {} ./lib", "./lib", is_tree=True),
        ),
        (
            {"file": "https://x/a.whl"},
            Origin(
                "https://x/a.whl",
                "pip download --no-deps -d {} https://x/a.whl",
                "https://x/a.whl",
                is_wheel=True,
            ),
        ),
    ],
)
def test_the_source_of_a_package_of_pipenv_is_its_origin(
    package: dict[str, Any], origin: Origin | None, tmp_path: Path
) -> None:
    entry = only_entry(tmp_path, "Pipfile.lock", pipfile(a=package))
    assert entry == Locked("a", "", frozenset(), Place(f"{tmp_path}/Pipfile.lock"), origin=origin)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "KeyError: 'default'"),
        ('{"default": {"a": {"version": "x"}}}', "InvalidVersion: Invalid version: 'x'"),
        ("{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1"),
    ],
)
def test_a_pipfile_lock_that_is_not_understood_is_to_be_exported(
    text: str, error: str, tmp_path: Path
) -> None:
    mistake = only(tmp_path, text, "Pipfile.lock")
    assert mistake.what.startswith(f"the lock is not understood ({error}")
    assert mistake == export(tmp_path, "Pipfile.lock", mistake.what, PIPENV)
