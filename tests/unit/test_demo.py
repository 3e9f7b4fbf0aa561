"""The demo service: its wheel is built from source, and its lock has what it asks for."""

import hashlib
import re
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from project import TOP
from shipit.bundle import lockfile, select
from shipit.bundle.wheel import open_wheel
from wheelhouse import BOOKWORM

DEMO = TOP / "playbooks/demo"


def build(folder: Path, *options: str) -> Path:
    """Run the build half of prepare.py: the other half needs the package index."""
    prepare = runpy.run_path(str(DEMO / "prepare.py"))
    wheel = prepare["build_app"](prepare["parse"](["--dist", str(folder), *options]))
    assert isinstance(wheel, Path)
    return wheel


def text_in(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name).decode()


def test_equal_sources_give_equal_wheels(tmp_path: Path) -> None:
    digests = {
        hashlib.sha256(build(tmp_path / name).read_bytes()).hexdigest() for name in ("one", "two")
    }
    assert len(digests) == 1


def test_the_wheel_has_the_version_that_was_asked_for(tmp_path: Path) -> None:
    wheel = build(tmp_path, "--version", "1.4.0")
    assert open_wheel(wheel).pin == "demoapp==1.4.0"
    assert re.search(r'^FAULT = ""', text_in(wheel, "demoapp/fault.py"), re.MULTILINE)


def test_a_broken_release_is_broken_by_its_code(tmp_path: Path) -> None:
    wheel = build(tmp_path, "--version", "1.2.0", "--broken", "late")
    assert 'FAULT = "late"' in text_in(wheel, "demoapp/fault.py")


def test_the_lock_has_what_the_demo_asks_for(tmp_path: Path) -> None:
    wanted = lockfile.read(DEMO / "requirements.lock").wanted("demoapp", BOOKWORM.markers())
    versions = {entry.name: entry.version for entry in wanted}
    assert len(versions) >= 25
    for requirement in open_wheel(build(tmp_path)).requires:
        assert versions[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.index
def test_the_wheelhouse_is_filled_from_the_index_and_makes_a_bundle(tmp_path: Path) -> None:
    options = ["--dist", str(tmp_path), "--wheels", str(tmp_path / "wheels"), "--machine", "x86_64"]
    made = subprocess.run(
        [sys.executable, str(DEMO / "prepare.py"), *options],
        check=True,
        capture_output=True,
        text=True,
    )
    wheel = Path(made.stdout.strip())
    sources = select.load(wheel, DEMO / "requirements.lock", tmp_path / "wheels")
    assert len(sources.select(BOOKWORM).wheels) >= 25
