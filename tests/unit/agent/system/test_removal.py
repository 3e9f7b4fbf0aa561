"""A tree that another user has filled is removed, however it looks, and nothing beside it is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import nested_folders
from marks import needs_root
from shipit.agent.system import files, removal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER = 61001
DESCRIPTORS = 128  # far fewer than there are nested directories
# Makes directories where it stands until it may not; it stands deep in the tree.
GOES_ON = """
import itertools, os, sys
os.chdir("a/b/c")
os.setresuid(*[int(sys.argv[1])] * 3)
print("ready", flush=True)
try:
    for number in itertools.count():
        os.mkdir(str(number))
except PermissionError:
    print("refused")
"""


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path / "top"
    path.mkdir()
    return path


@pytest.mark.usefixtures("few_descriptors")
def test_no_depth_and_no_number_of_files_is_too_much(top: Path) -> None:
    nested_folders.make(top, 3_000)
    for number in range(20_000):
        (top / str(number)).touch()
    files.remove_tree(str(top))
    assert list(top.parent.iterdir()) == []


def test_no_link_is_followed(top: Path) -> None:
    outside = top.parent / "outside"
    outside.mkdir()
    (outside / "file").touch()
    for link in (top / "link", top / "nested/link"):
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(outside)
    files.remove(str(top))
    assert not top.exists()
    (top.parent / "link").symlink_to(outside)
    removal.remove(str(top.parent / "link"))
    assert (outside / "file").exists()


def test_a_directory_that_becomes_a_link_before_it_is_entered_is_not(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = top.parent / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (top / "nested").mkdir()
    rename = os.rename

    def swapped(name: str, own: str, **folders: int) -> None:
        if name == "nested":
            (top / name).rmdir()
            (top / name).symlink_to(outside)
        rename(name, own, **folders)

    monkeypatch.setattr(os, "rename", swapped)
    removal.remove(str(top))
    assert (top.exists(), (outside / "file").exists()) == (False, True)


def test_what_is_left_after_its_time_is_removed_by_the_next_call(top: Path) -> None:
    nested_folders.make(top, 3)
    removal.remove(str(top), timeout=0.0)
    assert (top / "nested").exists()
    removal.remove(str(top))
    assert not top.exists()


def test_what_cannot_be_removed_does_not_keep_the_rest(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("fixed", "a/fixed", "a/b/free", "free"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    unlink = os.unlink

    def unless_fixed(name: str, *, dir_fd: int | None = None) -> None:
        if name == "fixed":
            raise PermissionError(name)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unless_fixed)
    removal.remove(str(top))
    assert [path.name for path in top.rglob("*") if path.is_file()] == ["fixed", "fixed"]
    files.remove_tree(str(top))
    assert not top.exists()  # its path is free
    top.mkdir()
    monkeypatch.undo()
    files.remove_tree(str(top))
    assert list(top.parent.iterdir()) == []


@needs_root
def test_a_user_who_goes_on_making_directories_is_stopped(top: Path) -> None:
    for folder in (top, top / "a", top / "a/b", top / "a/b/c"):
        folder.mkdir(exist_ok=True)
        os.chown(folder, USER, USER)
        folder.chmod(0o777)
    argv = [sys.executable, "-c", GOES_ON, str(USER)]
    with subprocess.Popen(argv, cwd=top, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout
        assert user.stdout.readline() == "ready\n"
        removal.remove(str(top))
        assert user.stdout.read() in ("refused\n", "")
    assert not top.exists()


@needs_root
def test_a_mount_in_it_is_not_emptied(top: Path) -> None:
    outside = top.parent / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (top / "a/mounted").mkdir(parents=True)
    bind = ["mount", "--bind", str(outside), str(top / "a/mounted")]
    subprocess.run(bind, check=True)
    try:
        removal.remove(str(top))
        assert (outside / "file").exists()
    finally:
        for mounted in top.rglob("mounted"):
            subprocess.run(["umount", str(mounted)], check=True)
    removal.remove(str(top))
    assert not top.exists()
