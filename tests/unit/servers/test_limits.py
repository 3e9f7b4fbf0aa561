from __future__ import annotations

import pytest

from shipit.agent.protocol.manifest import Check
from shipit.servers.limits import gap, may_listen, ports_without_socket, remarks

BIN = "/opt/demo/releases/x/venv/bin"
GOOD = "gunicorn demo:app --no-control-socket"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("uvicorn demo:app --fd 3", "closes accepted connections"),
        ("uvicorn demo:app --fd 3 --http h11", "closes accepted connections"),
        ("uvicorn demo:app --fd 3 --http demo.patience:Patient", ""),
        ("gunicorn demo:app", ""),
        ("hypercorn demo:app --bind fd://3", "drops accepted connections"),
        ("gunicorn demo:app -k uvicorn_worker.UvicornWorker", "closes accepted connections"),
        ("gunicorn demo:app -k patient_gunicorn.PatientWorker", ""),
        ("granian demo:app", "alone takes no listener from systemd"),
        ("waitress-serve demo:app", "alone takes no listener from systemd"),
        ("celery -A demo worker", ""),
        ("huey_consumer demo.huey", ""),
        ("", ""),
        ("python3.12 -m hypercorn demo:app --bind fd://3", "hypercorn"),
        ("python -m demo.server", ""),
        ("demo-server", ""),
    ],
)
def test_behind_a_socket_it_depends_on_the_server_what_is_lost(command: str, said: str) -> None:
    reported = gap(f"{BIN}/{command}".split(), has_socket=True, overlaps=True)
    assert said in reported if said else reported == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("uvicorn demo:app --port 80", "are refused while it restarts"),
        ("gunicorn demo:app", "are refused while it restarts"),
        ("granian demo:app", "`serve:` gives it one"),
        ("waitress-serve demo:app", "takes no listener from systemd"),
        ("celery -A demo worker", ""),
        ("demo-worker", ""),
    ],
)
def test_without_a_socket_connections_to_a_server_are_refused(command: str, said: str) -> None:
    reported = gap(f"{BIN}/{command}".split(), has_socket=False, overlaps=False)
    assert said in reported if said else reported == ""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("patient_uvicorn.py demo:app --http patient_uvicorn:PatientProtocol", ""),
        ("patient_uvicorn.py demo:app --http h11", "closes accepted connections"),
        ("patient_gunicorn.py demo:app -k patient_gunicorn.PatientWorker", ""),
        ("patient_gunicorn.py -k uvicorn_worker.UvicornH11Worker", "closes accepted connections"),
        ("granian_behind_socket.py demo:app", "nginx in front"),
        ("waitress_behind_socket.py demo:app", "without the answers that it owes"),
        ("of_a_later_version.py demo:app", ""),
    ],
)
def test_of_a_program_that_is_brought_along_it_is_known_what_it_still_loses(
    program: str, said: str
) -> None:
    command = f"{BIN}/python /opt/demo/releases/x/files/.shipit/{program}".split()
    reported = gap(command, has_socket=True, overlaps=True)
    assert said in reported if said else reported == ""


def test_a_task_worker_has_no_clients() -> None:
    assert not may_listen([f"{BIN}/celery", "-A", "demo", "worker"])
    assert all(may_listen([f"{BIN}/{name}"]) for name in ("uvicorn", "demo-worker"))


@pytest.mark.parametrize("command", ["uvicorn demo:app --port 80", "granian demo:app"])
def test_a_server_that_listens_by_itself_can_not_overlap(command: str) -> None:
    reported = gap(f"{BIN}/{command}".split(), has_socket=False, overlaps=True)
    assert "`handover: restart`" in reported
    assert gap([f"{BIN}/demo-worker"], has_socket=False, overlaps=True) == ""


@pytest.mark.parametrize(
    ("check", "ports"),
    [
        (Check.of("http", "http://127.0.0.1:8000/healthz"), [8000]),
        (Check.of("http", "http://localhost/healthz"), [80]),
        (Check.of("http", "https://localhost/healthz"), [443]),
        (Check.of("http", "http://[::1]:8000/"), [8000]),
        (Check.of("tcp", "127.0.0.1:9000"), [9000]),
        (Check.of("http", "http://127.0.0.1:7000/"), []),
        (Check.of("http", "http://127.0.0.1:7001/"), []),
        (Check.of("http", "http://db.example.com:5432/"), []),
        (Check.of("unix", "/run/demo.sock:/healthz"), []),
        (Check.of("command", "true"), []),
    ],
)
def test_a_port_of_the_host_that_a_check_asks_and_no_socket_has_is_found(
    check: Check, ports: list[int]
) -> None:
    assert ports_without_socket([check], ["7000", "127.0.0.1:7001", "/run/a.sock"]) == ports


# --- options --------------------------------------------------------------------------------------


def reported(
    command: str, *, socket: bool = True, overlap: bool = True, gunicorn: str = "27.0.0"
) -> str:
    versions = {"gunicorn": gunicorn}
    words = f"{BIN}/{command}".split()
    return "; ".join(remarks(words, versions, has_socket=socket, overlaps=overlap))


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
