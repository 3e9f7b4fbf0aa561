"""The wheels of a bundle, for the hosts that it was built for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.archive import build, file, sources
from shipit.archive.manifest import name_of
from shipit.errors import InputError
from unit.archive.made import ARM, bundle, project
from wheelhouse import BOOKWORM

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.project.cache import Cache


def test_a_host_gets_what_the_project_would_give_it(tmp_path: Path, store: Cache) -> None:
    loaded = sources.load(file.read(bundle(tmp_path, BOOKWORM, ARM), store))
    own = project(tmp_path)
    for target in (BOOKWORM, ARM):
        assert loaded.select(target).digest == own.select(target, "pip").digest
    assert (loaded.folder, loaded.app.pin) == ("files", "billing==1.0.0")
    assert set(loaded.digests()) == set(loaded.bundle.manifest.artifacts)
    assert loaded.programs() == frozenset()


def test_another_kind_of_host_is_refused_with_its_name(tmp_path: Path, store: Cache) -> None:
    loaded = sources.load(file.read(bundle(tmp_path), store))
    older = replace(BOOKWORM, libc=("glibc", 2, 31))
    with pytest.raises(InputError) as caught:
        loaded.select(older)
    (mistake,) = caught.value.mistakes
    assert mistake.code == "bundle-misfit"
    assert "the bundle is for linux-x86_64-gnu2.36-cp311" in mistake.what
    assert mistake.what.endswith("the host has CPython 3.11.2 on x86_64 with glibc 2.31")


def test_another_installer_is_refused(tmp_path: Path, store: Cache) -> None:
    loaded = sources.load(file.read(bundle(tmp_path), store))
    assert loaded.select(BOOKWORM, "pip").installer.name == "pip"
    with pytest.raises(InputError, match="the bundle has pip to make the venv"):
        loaded.select(BOOKWORM, "uv")


def test_an_app_with_a_wheel_for_each_target_is_no_bundle(tmp_path: Path, store: Cache) -> None:
    own = project(tmp_path)
    one, two = own.select(BOOKWORM, "pip"), own.select(ARM, "pip")
    two = replace(two, app=two.wheels[0])
    with pytest.raises(InputError, match="the app's wheel differs between the targets") as caught:
        build.manifest(own, {name_of(BOOKWORM): one, name_of(ARM): two})
    assert caught.value.mistakes[0].code == "several-apps"
    made = build.manifest(own, {name_of(ARM): two})
    assert made.app == two.app.sha256
