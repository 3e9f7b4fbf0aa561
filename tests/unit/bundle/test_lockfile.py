"""The format of a lock is detected; a file that locks nothing comes with the way to lock it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from locks import A, locked, only
from shipit.errors import Mistake, Place

if TYPE_CHECKING:
    from pathlib import Path

REQUIREMENTS = f"a==1 --hash=sha256:{A}\n"
PIPFILE = f'{{"default": {{"a": {{"version": "==1", "hashes": ["sha256:{A}"]}}}}}}'
PYLOCK = 'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "a"\nversion = "1"\n'
PYLOCK += f'sdist = {{ url = "https://x/a-1.tar.gz", hashes = {{ sha256 = "{A}" }} }}\n'
UV = 'version = 1\n[[package]]\nname = "a"\nversion = "1"\n'
POETRY = f'{UV[12:]}groups = ["main"]\n[metadata]\nlock-version = "2.1"\n'
PDM = '[metadata]\nlock_version = "4"\nstrategy = ["inherit_metadata"]\n'
PDM += '[[package]]\nname = "a"\nversion = "1"\ngroups = ["default"]\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", REQUIREMENTS),
        ("Pipfile.lock", PIPFILE),
        ("other.lock", f"\n  {PIPFILE}"),
        ("pylock.toml", PYLOCK),
        ("pylock.prod.toml", PYLOCK),
        ("other.lock", PYLOCK),
        ("other.lock", PYLOCK.replace("[[packages]]", "[[ packages ]]")),
        ("uv.lock", UV),
        ("other.lock", UV),
        ("poetry.lock", POETRY),
        ("other.lock", POETRY),
        ("pdm.lock", PDM),
        ("other.lock", PDM),
        ("uv.lock", UV.replace("version = 1", "version = 1\nmetadata = 1", 1)),
    ],
)
def test_the_format_of_a_lock_is_detected_from_its_text(
    name: str, text: str, tmp_path: Path
) -> None:
    assert [entry.pin for entry in locked(tmp_path, text, name).entries] == ["a==1"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("uv.lock", "version = 1\n", "this uv.lock is not understood"),
        ("Pipfile.lock", "", "the lock is not understood (JSONDecodeError"),
        ("poetry.lock", '[metadata]\nlock-version = "1"\n', "a lock of Poetry 1"),
        ("pdm.lock", '[metadata]\nlock_version = "1"\n', "this lock does not say"),
        ("pylock.toml", "a==1\n", "no TOML"),
        ("uv.lock", "a==1\n", "no TOML"),
        ("poetry.lock", "a==1\n", "no TOML"),
        ("pdm.lock", "a==1\n", "no TOML"),
        ("pdm.lock", "", "not a valid pylock.toml"),
    ],
)
def test_a_lock_without_packages_is_read_by_its_name(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    assert only(tmp_path, text, name).what.startswith(said)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("pyproject.toml", "uv lock, and name uv.lock here"),
        ("Pipfile", "pipenv lock, and name Pipfile.lock here"),
        ("setup.py", "uv pip compile --generate-hashes setup.py -o requirements.lock"),
        ("setup.cfg", "uv pip compile --generate-hashes setup.cfg -o requirements.lock"),
        *(
            (name, "uv pip compile --generate-hashes requirements.in -o requirements.lock")
            for name in ("package-lock.json", "conda-lock.yml", "pixi.lock")
        ),
    ],
)
def test_a_file_that_locks_nothing_is_reported_with_the_command_that_locks_it(
    name: str, how: str, tmp_path: Path
) -> None:
    what = f"{name} is not a lock of a Python app: it has no exact versions with hashes"
    place = Place(f"{tmp_path}/{name}")
    assert only(tmp_path, "", name) == Mistake("no-lock", what, place, f"lock it: {how}")
