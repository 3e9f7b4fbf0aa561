from __future__ import annotations

import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import shipit
from hosts.warm import warm
from hosts.workspace import Done, ended

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    done = run(["--version"], tmp_path)
    assert (done.status, done.out, done.err) == (0, f"shipit {shipit.__version__}\n", "")


def test_a_command_has_its_own_folder_and_environment(tmp_path: Path) -> None:
    (tmp_path / "playbook.yaml").touch()
    environment = {**os.environ, "SHIPIT_INVENTORY": "nowhere.yaml"}
    done = run(["plan", "playbook.yaml"], tmp_path, environment)
    assert done.status == 2
    assert "nowhere.yaml" in done.err
    done = run(["plan", "playbook.yaml"], tmp_path)
    assert "nowhere.yaml" not in done.err


def test_commands_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    def misspelt(number: int) -> str:
        return run([f"depoy{number}"], tmp_path).err

    with ThreadPoolExecutor() as pool:
        output = list(pool.map(misspelt, range(4)))
    assert all(f"depoy{number}" in text for number, text in enumerate(output))


def test_a_command_is_of_the_package_that_is_asked_for(tmp_path: Path) -> None:
    copy = tmp_path / "src" / "shipit"
    shutil.copytree(Path(shipit.__file__).parent, copy)
    with (copy / "__init__.py").open("a") as source:
        source.write('__version__ = "another one"\n')
    done = ended(warm(str(copy.parent)).start(["--version"], tmp_path, os.environ))
    assert done.out == "shipit another one\n"
    assert run(["--version"], tmp_path).out == f"shipit {shipit.__version__}\n"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_a_command_hears_signals_and_is_gone_when_it_has_ended(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """It waits for a host that never says a word; the end of its connection is reported."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
        (tmp_path / "hosts").write_text(
            f"mute ansible_host=127.0.0.1 ansible_port={listener.getsockname()[1]}"
            " ansible_timeout=300\n"
        )
        asked = ["status", "playbook.yaml", "-i", "hosts"]
        command = warm().start(asked, tmp_path, os.environ)
        with listener.accept()[0] as connection:
            assert command.poll() is None
            command.send_signal(number)
            done = ended(command)
            assert done.status == status, done.output
            connection.settimeout(PATIENCE)
            while connection.recv(1024):
                pass
        command.kill()  # what has ended is left alone
        assert command.communicate() == ("", "")


def run(argv: list[str], folder: Path, environment: Mapping[str, str] = os.environ) -> Done:
    return ended(warm().start(argv, folder, environment))
