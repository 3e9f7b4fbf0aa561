from __future__ import annotations

import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hosts.warm import warm
from shipit import __version__

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0  # seconds
PLAYBOOK = """
app: tinyapp
hosts: all
wheel: tinyapp-1.0.0-py3-none-any.whl
lock: requirements.lock
wheelhouse: wheels
services: {web: {command: tinyapp}}
"""


def test_a_command_ends_as_a_process_of_its_own(tmp_path: Path) -> None:
    ended = warm().run(["--version"], tmp_path, os.environ, PATIENCE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"shipit {__version__}\n", "")


def test_a_command_has_its_own_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "playbook.yaml").touch()
    environment = {**os.environ, "SHIPIT_INVENTORY": "nowhere.yaml"}
    ended = warm().run(["plan", "playbook.yaml"], tmp_path, environment, PATIENCE)
    assert ended.returncode == 2
    assert "nowhere.yaml" in ended.stderr
    ended = warm().run(["plan", "playbook.yaml"], tmp_path, os.environ, PATIENCE)
    assert "nowhere.yaml" not in ended.stderr


def test_commands_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    def misspelt(number: int) -> str:
        return warm().run([f"depoy{number}"], tmp_path, os.environ, PATIENCE).stderr

    with ThreadPoolExecutor() as pool:
        output = list(pool.map(misspelt, range(4)))
    assert all(f"depoy{number}" in text for number, text in enumerate(output))


def test_a_command_that_takes_too_long_is_killed_and_gone(tmp_path: Path) -> None:
    """It waits for a host that never says a word; the end of its connection tells of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as pool:
        listener.settimeout(PATIENCE)
        (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
        (tmp_path / "hosts").write_text(
            f"mute ansible_host=127.0.0.1 ansible_port={listener.getsockname()[1]}"
            " ansible_timeout=300\n"
        )
        asked = ["status", "playbook.yaml", "-i", "hosts"]
        running = pool.submit(warm().run, asked, tmp_path, os.environ, 20.0)
        connection = listener.accept()[0]
        with connection:
            with pytest.raises(subprocess.TimeoutExpired):
                running.result()
            connection.settimeout(PATIENCE)
            while connection.recv(1024):
                pass
