from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hosts.warm import TookTooLong, warm
from shipit import __version__

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds


def test_a_command_ends_as_a_process_of_its_own(tmp_path: Path) -> None:
    ended = warm().run(["--version"], tmp_path, os.environ, PATIENCE)
    assert (ended.status, ended.out, ended.err) == (0, f"shipit {__version__}\n", "")


def test_a_command_has_its_own_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "playbook.yaml").touch()
    environment = {**os.environ, "SHIPIT_INVENTORY": "nowhere.yaml"}
    ended = warm().run(["plan", "playbook.yaml"], tmp_path, environment, PATIENCE)
    assert ended.status == 2
    assert "nowhere.yaml" in ended.err
    ended = warm().run(["plan", "playbook.yaml"], tmp_path, os.environ, PATIENCE)
    assert "nowhere.yaml" not in ended.err


def test_commands_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    def misspelt(number: int) -> str:
        return warm().run([f"depoy{number}"], tmp_path, os.environ, PATIENCE).err

    with ThreadPoolExecutor() as pool:
        said = list(pool.map(misspelt, range(4)))
    assert all(f"depoy{number}" in text for number, text in enumerate(said))


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    with pytest.raises(TookTooLong):
        warm().run(["--version"], tmp_path, os.environ, 0.0001)
