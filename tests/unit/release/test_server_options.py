from __future__ import annotations

import pytest

from shipit.release.server_options import remarks

BIN = "/opt/demo/releases/x/venv/bin"
GOOD = "gunicorn demo:app --no-control-socket"


def reported(
    command: str, *, socket: bool = True, overlap: bool = True, gunicorn: str = "27.0.0"
) -> str:
    versions = {"gunicorn": gunicorn}
    words = f"{BIN}/{command}".split()
    return "; ".join(remarks(words, versions, socket=socket, overlap=overlap))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{GOOD} --pid /run/demo.pid", "leave --pid out"),
        (f"{GOOD} -p/run/demo.pid", "leave -p out"),
        ("celery -A demo worker --pidfile=/run/x.pid", "leave --pidfile out"),
        ("uwsgi --master-fifo /run/fifo", "--master-fifo is one file for both"),
        ("gunicorn demo:app", "write --no-control-socket"),
        ("gunicorn demo:app --control-socket /run/x", "write --no-control-socket"),
        (GOOD, ""),
    ],
)
def test_a_file_that_two_releases_would_share_is_reported_with_the_fix(
    command: str, said: str
) -> None:
    assert said in reported(command) if said else reported(command) == ""
    assert reported(command, overlap=False) == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("uvicorn demo:app --port 8000", "write --fd 3"),
        ("python3 -m uvicorn demo:app --host=0.0.0.0", "write --fd 3"),
        (f"{GOOD} -b :8000", "leave it out"),
        (f"{GOOD} --bind=unix:/run/x.sock", "leave it out"),
        ("hypercorn demo:app --bind 0.0.0.0:80", "write --bind fd://3"),
        ("hypercorn demo:app --bind fd://3", ""),
        ("uvicorn demo:app --fd 3", ""),
        ("demo-server --port 8000", ""),
    ],
)
def test_an_address_beside_a_socket_is_reported_with_what_to_write(command: str, said: str) -> None:
    assert said in reported(command) if said else reported(command) == ""
    assert reported(command, socket=False) == ""


@pytest.mark.parametrize(
    ("version", "said"),
    [("20.1.0", "lock gunicorn 27 or later"), ("26.0", "lock gunicorn"), ("27.0.1", ""), ("", "")],
)
def test_a_gunicorn_that_drops_accepted_connections_is_reported(version: str, said: str) -> None:
    found = reported(GOOD, gunicorn=version)
    assert said in found if said else found == ""


def test_an_earlier_gunicorn_has_no_control_socket() -> None:
    assert "control" not in reported("gunicorn demo:app", gunicorn="25.0.3")
