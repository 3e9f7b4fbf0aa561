"""An error of the operating system is reported with its own cause."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from shipit.agent.system import failures
from shipit.agent.system.failures import BECOME_ROOT, from_os_error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("user", [0, 1000])
def test_only_users_other_than_root_get_the_hint_to_become_it(
    user: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    failure = from_os_error(error, "venv")
    assert failure.code == "permission-denied"
    assert (failure.hint == BECOME_ROOT) == (user != 0)
    assert str(tmp_path) in failure.what


@pytest.mark.parametrize(
    ("blocks", "inodes", "code"),
    [
        (0, 0, "no-inodes"),
        (0, 3, "disk-full"),
        (10_000, 3, "no-inodes"),  # what failed has given back its own
        (10_000, 500, "disk-full"),  # a quota, or what the file system keeps for itself
    ],
)
def test_no_room_is_reported_as_what_is_used_up(
    blocks: int, inodes: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = os.statvfs_result((4096, 4096, 10**6, blocks, blocks, 10**6, inodes, inodes, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: space)
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path))
    assert from_os_error(error, "settle").code == code


def test_a_program_on_a_file_system_without_programs_is_reported_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(failures, "is_noexec", lambda path: path == str(tmp_path))
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert from_os_error(error, "venv").code == "noexec"
