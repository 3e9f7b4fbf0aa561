"""The wheels that other tests ship are valid, reproducible, and as broken as they are reported."""

import base64
import csv
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from wheelhouse import Recipe, installed_wheel, tinyapp_wheel, write_wheel

PATIENCE_S = 60
DYING = ("start", "late")  # may be dead before it is ready


def check_record(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(archive.read(record).decode().splitlines()))
        assert sorted(row[0] for row in rows) == sorted(archive.namelist())
        for name, digest, size in rows[:-1]:
            content = archive.read(name)
            text = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={text}", str(len(content)))


def test_a_wheels_record_lists_every_file_with_its_digest(tmp_path: Path) -> None:
    check_record(write_wheel(tmp_path, Recipe("dep", files={"dep.py": "x = 1\n"}, bulk=1000)))
    check_record(tinyapp_wheel(tmp_path, fault="start"))
    check_record(installed_wheel(tmp_path, "pip"))


def test_equal_recipes_give_equal_bytes(tmp_path: Path) -> None:
    one, two = (tinyapp_wheel(tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_the_installer_of_this_environment_becomes_a_wheel_with_its_program(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path, "uv")
    with zipfile.ZipFile(wheel) as archive:
        (program,) = (name for name in archive.namelist() if name.endswith("/scripts/uv"))
        assert archive.getinfo(program).external_attr >> 16 & 0o111


@contextmanager
def started(folder: Path, fault: str = "") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run tinyapp unpacked on a socket that is already listening, as systemd does."""
    with zipfile.ZipFile(tinyapp_wheel(folder, "1.0.0", fault)) as archive:
        archive.extractall(folder / "site")
    notify = str(folder / "notify")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        ready.bind(notify)
        ready.settimeout(PATIENCE_S)
        environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "NOTIFY_SOCKET": notify}
        environment |= {"LISTEN_FDS": "1", "SOME_KEY": "some value"}
        listener_first = f"import os; os.dup2({listener.fileno()}, 3)"
        process = subprocess.Popen(
            [sys.executable, "-c", f"{listener_first}; import tinyapp; tinyapp.main()"],
            env=environment,
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                if not fault.startswith(DYING):
                    assert ready.recv(100) == b"READY=1"
                yield process, listener.getsockname()[1]
            finally:
                process.kill()


def get(port: int, path: str) -> dict[str, Any]:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
        page: dict[str, Any] = json.load(answer)
        return page


def test_tinyapp_serves_on_systemds_socket_and_stops_when_asked(tmp_path: Path) -> None:
    with started(tmp_path) as (process, port):
        assert get(port, "/healthz")["version"] == "1.0.0"
        assert get(port, "/env?key=SOME_KEY&key=ABSENT") == {
            "SOME_KEY": "some value",
            "ABSENT": None,
        }
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


def test_a_tinyapp_with_a_broken_health_check_answers_500(tmp_path: Path) -> None:
    with started(tmp_path, "healthz") as (_, port):
        with pytest.raises(HTTPError, match="500") as caught:
            get(port, "/healthz")
        caught.value.close()


@pytest.mark.parametrize(("fault", "status"), [("start", 1), ("late:0.1", 3)])
def test_a_tinyapp_that_is_reported_to_dies(tmp_path: Path, fault: str, status: int) -> None:
    with started(tmp_path, fault) as (process, _):
        assert process.wait(PATIENCE_S) == status


def test_a_deaf_tinyapp_does_not_hear_sigterm(tmp_path: Path) -> None:
    with started(tmp_path, "deaf") as (process, port):
        process.send_signal(signal.SIGTERM)
        assert get(port, "/healthz")["pid"] == process.pid
