"""Indexes besides the user's own, and the credentials for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from locks import locked
from shipit.project import indexes

if TYPE_CHECKING:
    from pathlib import Path

CORP = "https://pypi.corp.example/simple"


def uv_lock(url: str) -> str:
    return (
        f'version = 1\n[[package]]\nname = "a"\nversion = "1"\nsource = {{ registry = "{url}" }}\n'
    )


def lines(folder: Path, lock: str, pyproject: str = "", **environment: str) -> list[str]:
    (folder / "pyproject.toml").write_text(pyproject)
    entries = locked(folder, lock, "uv.lock").entries
    return list(indexes.lines(entries, folder / "pyproject.toml", environment))


def test_pypi_is_left_to_the_users_own_settings(tmp_path: Path) -> None:
    assert lines(tmp_path, uv_lock("https://pypi.org/simple/")) == []


def test_another_index_of_the_lock_is_asked_too(tmp_path: Path) -> None:
    assert lines(tmp_path, uv_lock(CORP)) == [f"--extra-index-url {CORP}"]
    assert lines(tmp_path, uv_lock("wheels")) == ["--find-links wheels"]


@pytest.mark.parametrize(
    ("table", "prefix"),
    [("tool.uv.index", "UV_INDEX"), ("tool.poetry.source", "POETRY_HTTP_BASIC")],
)
def test_its_credentials_are_those_of_its_name(tmp_path: Path, table: str, prefix: str) -> None:
    pyproject = f'[[{table}]]\nname = "corp-pypi"\nurl = "{CORP}"\n'
    login = {f"{prefix}_CORP_PYPI_USERNAME": "me", f"{prefix}_CORP_PYPI_PASSWORD": "a/b@c"}
    found = lines(tmp_path, uv_lock(CORP), pyproject, **login)
    assert found == ["--extra-index-url https://me:a%2Fb%40c@pypi.corp.example/simple"]
    assert lines(tmp_path, uv_lock(CORP), pyproject) == [f"--extra-index-url {CORP}"]


def test_the_variables_of_uv_count(tmp_path: Path) -> None:
    found = lines(tmp_path, "version = 1\npackage = []\n", UV_DEFAULT_INDEX="a", UV_INDEX="x=b c")
    assert found == ["--index-url a", "--extra-index-url b", "--extra-index-url c"]


@pytest.mark.parametrize("text", ["[", "[[tool.uv.index]]\nname = 1\n", "[tool.uv]\nindex = 5\n"])
def test_a_broken_pyproject_names_no_index(tmp_path: Path, text: str) -> None:
    assert lines(tmp_path, uv_lock(CORP), text) == [f"--extra-index-url {CORP}"]
