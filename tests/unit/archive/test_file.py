"""The file of a bundle: the same bytes for the same inputs, refused after any change."""

from __future__ import annotations

import os
import random
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shipit.archive import file
from shipit.archive.manifest import to_json
from shipit.errors import InputError
from shipit.project.cache import Cache, sha256_of
from unit.archive.made import ARM, bundle
from wheelhouse import BOOKWORM

if TYPE_CHECKING:
    from pathlib import Path

FUZZ = int(os.environ.get("FUZZ_BUNDLE", "200"))  # positions; `make fuzz` tries 2,000


def test_it_is_read_as_it_was_written(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path, BOOKWORM, ARM)
    found = file.read(path, store)
    assert found.sha256 == sha256_of(path)
    assert [each.target for each in found.manifest.targets] == [
        "linux-aarch64-gnu2.36-cp311",
        "linux-x86_64-gnu2.36-cp311",
    ]
    assert set(found.wheels) == set(found.manifest.artifacts)
    assert all(sha256_of(path) == sha256 for sha256, path in found.wheels.items())
    assert sorted(path.name for path in found.wheels.values()) == [
        "alpha-1.0.0-py3-none-any.whl",
        "billing-1.0.0-py3-none-any.whl",
        "fast-1.0.0-cp311-cp311-manylinux_2_17_aarch64.whl",
        "fast-1.0.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "pip-24.0-py3-none-any.whl",
    ]
    assert file.read(path, store) == found, "from the cache"


def test_every_wheel_is_where_its_offset_says(tmp_path: Path, store: Cache) -> None:
    found = file.read(bundle(tmp_path, BOOKWORM, ARM), store)
    content, offsets = found.path.read_bytes(), file.offsets(found)
    assert set(offsets) == set(found.wheels)
    for sha256, wheel in found.wheels.items():
        whole = wheel.read_bytes()
        assert content[offsets[sha256] :][: len(whole)] == whole


def test_the_same_inputs_make_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = set()
    for name, umask in (("one", 0o022), ("two", 0o077)):
        monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / name / "cache"))
        before = os.umask(umask)
        try:
            path = bundle(tmp_path / name)
        finally:
            os.umask(before)
        made.add((path.name, path.read_bytes()))
    assert len(made) == 1


def refused(path: Path, store: Cache, sha256: str = "") -> str:
    with pytest.raises(InputError) as caught:
        file.read(path, store, sha256)
    (mistake,) = caught.value.mistakes
    assert mistake.hint
    return mistake.code


def test_a_change_of_any_byte_is_refused(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    whole = path.read_bytes()
    chosen = random.Random(1)  # noqa: S311 - a test's
    for _ in range(FUZZ):
        position, bit = chosen.randrange(len(whole)), 1 << chosen.randrange(8)
        changed = bytearray(whole)
        changed[position] ^= bit
        path.write_bytes(changed)
        assert refused(path, store) == "broken-bundle", (position, bit)
    path.write_bytes(whole)
    file.read(path, store)


@pytest.mark.parametrize("end", [0, 1, 1000, -1])
def test_a_part_of_one_is_refused(tmp_path: Path, store: Cache, end: int) -> None:
    path = bundle(tmp_path)
    path.write_bytes(path.read_bytes()[:end])
    assert refused(path, store) == "broken-bundle"


def test_bytes_before_or_behind_it_are_refused(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    whole = path.read_bytes()
    for changed in (b"x" + whole, whole + b"x"):
        path.write_bytes(changed)
        assert refused(path, store) == "broken-bundle"


def test_a_wheel_that_was_swapped_or_added_is_refused(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    with zipfile.ZipFile(path) as archive:
        entries = {each: archive.read(each) for each in archive.namelist()}
    alpha = next(name for name in entries if "alpha" in name)
    app = next(name for name in entries if "billing" in name)
    for changed in ({**entries, alpha: entries[app]}, {**entries, "wheels/more": b""}):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in changed.items():
                archive.writestr(name, data)
        assert refused(path, store) == "broken-bundle"


def test_wheels_that_would_fill_the_disk_are_not_unpacked(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    found = file.read(path, store)
    path.unlink()
    alpha = next(each for each in found.manifest.artifacts.values() if "alpha" in each.filename)
    bomb = replace(alpha, size=1 << 40)
    artifacts = {**found.manifest.artifacts, alpha.sha256: bomb}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", to_json(replace(found.manifest, artifacts=artifacts)))
        archive.writestr("sbom.cdx.json", found.sbom)
    assert refused(path, store) == "broken-bundle"


def test_another_bundle_than_the_pinned_one_is_refused(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    assert file.read(path, store, sha256_of(path)).sha256 == sha256_of(path)
    assert refused(path, store, "0" * 64) == "wrong-hash"


def test_one_that_is_not_there_is_named(tmp_path: Path, store: Cache) -> None:
    assert refused(tmp_path / "x.shipit", store) == "missing-bundle"


def test_a_failed_write_leaves_nothing(tmp_path: Path, store: Cache) -> None:
    path = bundle(tmp_path)
    found = file.read(path, store)
    path.unlink()
    wheels = dict.fromkeys(found.wheels, tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        file.write(path, found.manifest, found.sbom, wheels)
    assert list(path.parent.iterdir()) == []
