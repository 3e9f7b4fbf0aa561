"""A bundle is installed and imported before it is written, where this machine can."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.archive import smoke
from shipit.bundle.select import Bundle
from shipit.bundle.wheel import open_wheel
from shipit.errors import InputError
from wheelhouse import BOOKWORM, Recipe, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.project.cache import Cache

NUMBER = platform.libc_ver()[1]
PYTHON = "".join(platform.python_version_tuple()[:2])
HERE = f"linux-{platform.machine()}-gnu{NUMBER}-cp{PYTHON}"


def bundle(folder: Path, module: str, *, has_dependency: bool = True) -> Bundle:
    app = Recipe("app", files={"app.py": module}, scripts={"app": "app:main"})
    dep = Recipe("dep", files={"dep.py": ""})
    wheels = [open_wheel(write_wheel(folder, each)) for each in (app, dep)]
    return Bundle(wheels[0], tuple(wheels[1:]) if has_dependency else (), wheels[1])


def test_a_bundle_whose_programs_can_be_imported_passes(tmp_path: Path, store: Cache) -> None:
    notes: list[str] = []
    made = bundle(tmp_path, "import dep\ndef main(): ...\n")
    smoke.check({HERE: made}, store, notes.append)
    assert notes == [f"tried on this machine, as on {HERE}: installed, its programs imported"]


def test_one_that_lacks_a_dependency_fails_with_the_error(tmp_path: Path, store: Cache) -> None:
    made = bundle(tmp_path, "import dep\ndef main(): ...\n", has_dependency=False)
    with pytest.raises(InputError) as caught:
        smoke.check({HERE: made}, store, lambda _: None)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "import-failed"
    assert "No module named 'dep'" in mistake.evidence


def test_where_this_machine_is_no_target_nothing_is_tried(tmp_path: Path, store: Cache) -> None:
    notes: list[str] = []
    made = bundle(tmp_path, "raise SystemExit")
    other = f"linux-{platform.machine()}-gnu{NUMBER}-cp399"
    smoke.check({"linux-riscv64-gnu2.36-cp311": made, other: made}, store, notes.append)
    assert notes == ["not tried: no target has this machine's platform and one of its Pythons"]


def test_an_older_libc_is_that_of_this_machine_too() -> None:
    older = replace(BOOKWORM, machine=platform.machine(), libc=("glibc", 2, 17))
    assert smoke.is_here(older)
    assert not smoke.is_here(replace(older, libc=("glibc", 9, 0)))
    assert not smoke.is_here(replace(older, libc=("musl", 1, 2)))
