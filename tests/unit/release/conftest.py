"""What several tests of this folder are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wheelhouse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a wheel, a lock and a wheelhouse."""
    (tmp_path / "wheels").mkdir()
    wheelhouse.tinyapp_wheel(tmp_path, "1")
    wheelhouse.installed_wheel(tmp_path / "wheels", "pip")
    wheelhouse.write_lock(tmp_path / "lock.txt", [])
    return tmp_path
