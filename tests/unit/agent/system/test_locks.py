"""A lock is root's alone: nobody else holds one, and who has an old one open holds nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from marks import needs_root
from shipit.agent.system import files, folders, lock_owner
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY)
os.setresuid(*map(int, sys.argv[2].split()))
fcntl.flock(descriptor, getattr(fcntl, sys.argv[3]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Give a lock file as earlier versions left it."""
    path = tmp_path / "txn" / "app.txn.lock"
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o644)
    return path


@contextmanager
def held_by(users: tuple[int, int, int], path: Path, kind: str = "LOCK_EX") -> Iterator[None]:
    """Have a process with these user ids (real, effective, saved) hold a lock."""
    argv = [sys.executable, "-c", HOLDER, str(path), " ".join(map(str, users)), kind]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def test_a_lock_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "txn" / "app.txn.lock"
    with files.lock(str(path), b"mine"):
        assert files.lock_note(str(path)) == b"mine"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@needs_root
@pytest.mark.parametrize("kind", ["LOCK_EX", "LOCK_SH"])
@pytest.mark.parametrize("users", [(NOBODY,) * 3, (NOBODY, 0, 0)], ids=["plain", "setuid"])
def test_somebody_else_who_has_it_open_holds_nothing(
    left: Path, users: tuple[int, int, int], kind: str
) -> None:
    with held_by(users, left, kind):
        assert files.lock_note(str(left)) is None
        with files.lock(str(left), b"mine"):
            assert files.lock_note(str(left)) == b"mine"
            with pytest.raises(files.Locked), files.lock(str(left)):
                pass
    assert left.stat().st_mode & 0o777 == 0o600


@needs_root
def test_an_agent_of_an_earlier_version_that_is_at_work_keeps_its_lock(left: Path) -> None:
    left.write_bytes(b"theirs")
    with held_by((0, 0, 0), left):
        assert files.lock_note(str(left)) == b"theirs"
        with pytest.raises(files.Locked), files.lock(str(left), wait=0.1):
            pass
        assert left.read_bytes() == b"theirs"
    with files.lock(str(left)):
        assert left.stat().st_mode & 0o777 == 0o600


def test_who_waits_for_a_file_that_is_replaced_gets_the_new_one(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left.chmod(0o600)
    real = fcntl.flock

    def replaced_first(descriptor: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        left.unlink()
        left.touch(mode=0o600)
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", replaced_first)
    with files.lock(str(left)), left.open("rb") as there, pytest.raises(BlockingIOError):
        real(there.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_link_instead_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "app.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"), files.lock(str(tmp_path / "app.lock")):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_shared_lock_keeps_out_who_wants_it_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "store.lock")
    together = (files.lock(path, shared=True), files.lock(path, shared=True))
    with together[0], together[1], pytest.raises(files.Locked), files.lock(path):
        pass
    with files.lock(path), pytest.raises(files.Locked), files.lock(path, shared=True):
        pass


def test_a_file_that_is_open_and_not_locked_has_no_holder(left: Path) -> None:
    with left.open("rb") as stream:
        status = left.stat()
        assert not lock_owner.holds_one_of_ours(str(left), status)
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert lock_owner.holds_one_of_ours(str(left), status)


# --- the folders -------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Give folders as earlier versions left them."""
    paths = Paths("app", str(tmp_path / "opt"), var=str(tmp_path / "var"))
    for folder in folders.folders(paths):
        Path(folder).mkdir(mode=0o755, parents=True)
        Path(folder).chmod(0o755)
    return paths


def test_folders_that_others_could_look_into_are_closed(paths: Paths) -> None:
    folders.secure(paths)
    modes = {folder: Path(folder).stat().st_mode & 0o7777 for folder in folders.folders(paths)}
    assert modes == dict.fromkeys(folders.folders(paths), 0o700)


def test_what_is_not_there_is_not_made(paths: Paths) -> None:
    Path(paths.tools).rmdir()
    folders.secure(paths)
    assert not Path(paths.tools).exists()


def test_a_folder_that_is_a_link_is_refused(paths: Paths, tmp_path: Path) -> None:
    Path(paths.tools).rmdir()
    Path(paths.tools).symlink_to(tmp_path)
    with pytest.raises(Refused, match="tools is not a directory") as refused:
        folders.secure(paths)
    assert refused.value.failure.code == "store-not-ours"


@needs_root
def test_a_folder_or_a_file_that_somebody_else_made_is_refused(paths: Paths) -> None:
    os.chown(paths.tools, NOBODY, NOBODY)
    with pytest.raises(Refused, match="tools belongs to nobody"):
        folders.secure(paths)
    os.chown(paths.tools, 0, 0)
    Path(paths.agents).chmod(0o1777)
    Path(paths.agents, "evil.pyz").touch()
    os.chown(Path(paths.agents, "evil.pyz"), NOBODY, NOBODY)
    with pytest.raises(Refused, match=r"evil\.pyz belongs to nobody"):
        folders.secure(paths)
