"""An error of the operating system is told with its cause, and not with the next best one."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from shipit.agent import failures
from shipit.agent.failures import BECOME_ROOT, from_os_error

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("user", [0, 1000])
def test_only_who_is_not_root_is_told_to_become_it(
    user: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    failure = from_os_error(error, "venv")
    assert failure.code == "permission-denied"
    assert (failure.hint == BECOME_ROOT) == (user != 0)
    assert str(tmp_path) in failure.what


def test_a_program_on_a_file_system_without_programs_is_told_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(failures, "is_noexec", lambda path: path == str(tmp_path))
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path))
    assert from_os_error(error, "venv").code == "noexec"
