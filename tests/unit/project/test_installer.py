"""The installer that goes to the hosts is the one that is installed here."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from shipit.errors import InputError
from shipit.project.installer import refuse_another
from shipit.project.zip_file import of_bytes, write_wheel
from wheelhouse import Recipe, installed_wheel
from wheelhouse import write_wheel as write_recipe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["uv", "pip"])
def test_the_same_files_pass(tmp_path: Path, name: str) -> None:
    refuse_another(installed_wheel(tmp_path, name))


def test_one_other_file_is_refused(tmp_path: Path) -> None:
    whole = installed_wheel(tmp_path, "pip")
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    info = next(name.partition("/")[0] for name in files if name.endswith(".dist-info/RECORD"))
    del files[f"{info}/RECORD"]
    files["pip/__init__.py"] = b"import os\n"
    write_wheel(whole, [of_bytes(name, data) for name, data in files.items()], info)
    with pytest.raises(InputError, match=r"pip/__init__\.py of pip-") as caught:
        refuse_another(whole)
    assert caught.value.mistakes[0].code == "wrong-installer"


def test_another_version_and_an_unknown_one_cannot_be_compared(tmp_path: Path) -> None:
    refuse_another(write_recipe(tmp_path, Recipe("pip", "0.1")))
    refuse_another(write_recipe(tmp_path, Recipe("nosuch-installer", "0.1")))
