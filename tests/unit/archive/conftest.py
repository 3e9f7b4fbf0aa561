"""A cache of its own for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.project.cache import Cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("SHIPIT_CACHE_DIR", str(tmp_path / "cache"))
    return Cache(tmp_path / "cache")
