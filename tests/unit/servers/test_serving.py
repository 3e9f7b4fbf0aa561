"""Each server of `serve:` gets what it needs for a hand-over, and keeps what is written."""

from __future__ import annotations

import pytest

from shipit.servers.known import SERVERS
from shipit.servers.serving import (
    SERVED,
    Served,
    expand,
    is_single,
    listens,
    program_text,
    programs_of,
    unsupported,
)

PATIENT = "--http patient_uvicorn:PatientProtocol"
OF_GUNICORN = "--graceful-timeout 25 --timeout 30 --no-control-socket"
UVICORN_WORKER = "uvicorn_worker.UvicornWorker"
BEHIND_A_SOCKET = {
    "uvicorn m:app": f"uvicorn m:app --timeout-graceful-shutdown 25 --fd 3 {PATIENT}",
    "gunicorn m:app -w 4": f"gunicorn m:app -w 4 {OF_GUNICORN}",
    f"gunicorn -k {UVICORN_WORKER} m:app": (
        f"gunicorn -k patient_gunicorn.PatientWorker m:app {OF_GUNICORN}"
    ),
    "granian --interface asgi m:app": "granian --interface asgi m:app --workers-kill-timeout 25",
    "hypercorn m:app": "hypercorn m:app --graceful-timeout 25 --bind fd://3",
    "waitress m:app": "waitress-serve m:app",
}
TASK_WORKERS = {
    "celery -A m": Served("celery -A m worker", 300),
    "celery-beat -A m": Served("celery -A m beat --schedule %p.schedule", 30, workdir="shared"),
    "rq high low": Served("rq worker high low", 300),
    "dramatiq m": Served("dramatiq m --worker-shutdown-timeout 295000", 300),
    "huey m.huey": Served("huey_consumer m.huey", 300, stop_signal="SIGINT"),
}


def served(line: str, *, socket: bool = True, stop: float | None = None) -> Served:
    return expand(line, has_socket=socket, side_by_side=socket, stop_timeout=stop)


@pytest.mark.parametrize("line", BEHIND_A_SOCKET)
def test_a_server_behind_a_socket_takes_it_and_ends_before_it_is_killed(line: str) -> None:
    assert served(line) == Served(BEHIND_A_SOCKET[line], 30)


@pytest.mark.parametrize("line", TASK_WORKERS)
def test_a_task_worker_has_the_time_to_end_its_tasks(line: str) -> None:
    assert served(line, socket=False) == TASK_WORKERS[line]


def test_every_server_is_tried_here() -> None:
    lines = [*BEHIND_A_SOCKET, *TASK_WORKERS]
    assert {line.partition(" ")[0] for line in lines} == set(SERVED)
    assert {line.partition(" ")[0] for line in TASK_WORKERS} == {
        name for name in SERVED if not listens(name)
    }


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("uvicorn m:app --port 80", "uvicorn m:app --port 80 --timeout-graceful-shutdown 25"),
        ("gunicorn m:app -b :80", "gunicorn m:app -b :80 --graceful-timeout 25 --timeout 30"),
        ("granian m:app", "granian m:app --workers-kill-timeout 25"),
        ("hypercorn m:app", "hypercorn m:app --graceful-timeout 25"),
        (f"gunicorn -k {UVICORN_WORKER} m", None),
    ],
)
def test_a_server_without_a_socket_listens_itself_by_its_own_program(
    line: str, command: str | None
) -> None:
    expected = command or f"{line} --graceful-timeout 25 --timeout 30"
    assert served(line, socket=False).command == expected
    assert programs_of(line, has_socket=False) == ()


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (
            "uvicorn m:app --http h11",
            "uvicorn m:app --http h11 --timeout-graceful-shutdown 25 --fd 3",
        ),
        (
            "uvicorn m:app --fd=4",
            f"uvicorn m:app --fd=4 --timeout-graceful-shutdown 25 {PATIENT}",
        ),
        (
            "uvicorn m:app --uds /run/a.sock",
            f"uvicorn m:app --uds /run/a.sock --timeout-graceful-shutdown 25 {PATIENT}",
        ),
        (
            "gunicorn m:app -t9 --control-socket /run/g",
            "gunicorn m:app -t9 --control-socket /run/g --graceful-timeout 25",
        ),
        (
            "gunicorn m:app --worker-class uvicorn_worker.UvicornH11Worker",
            f"gunicorn m:app --worker-class uvicorn_worker.UvicornH11Worker {OF_GUNICORN}",
        ),
        ("hypercorn m:app -b fd://4", "hypercorn m:app -b fd://4 --graceful-timeout 25"),
        ("uvicorn m:app --name 'two words", None),
    ],
)
def test_an_option_that_is_written_stays(line: str, command: str | None) -> None:
    expected = command or f"{line} --timeout-graceful-shutdown 25 --fd 3 {PATIENT}"
    assert served(line).command == expected


@pytest.mark.parametrize("option", ["--worker-class", "--worker-class=", "-k", "-k "])
@pytest.mark.parametrize("worker", [UVICORN_WORKER, "uvicorn.workers.UvicornWorker"])
def test_gunicorn_gets_a_patient_worker_of_uvicorn(option: str, worker: str) -> None:
    between = "" if option[-1] in "k= " else " "
    found = served(f"gunicorn m:app {option}{between}{worker} -w 2").command
    assert found.startswith(f"gunicorn m:app {option}{between}patient_gunicorn.PatientWorker -w 2 ")


@pytest.mark.parametrize(
    ("stop", "grace"), [(None, 25), (300, 295), (25, 20), (10, 8), (3, 2), (0.25, 1)]
)
def test_the_limit_of_the_server_is_below_that_of_systemd(stop: float | None, grace: int) -> None:
    found = served("gunicorn m:app", stop=stop)
    assert f"--graceful-timeout {grace} " in found.command
    assert found.stop_timeout == (stop or 30)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("uvicorn m:app --timeout-graceful-shutdown 60", 65),
        ("gunicorn m:app --graceful-timeout=90", 95),
        ("dramatiq m --worker-shutdown-timeout 60000", 65),
        ("dramatiq m --worker-shutdown-timeout soon", 300),
    ],
)
def test_systemd_waits_for_a_limit_that_is_written(line: str, seconds: float) -> None:
    assert served(line).stop_timeout == seconds
    assert served(line, stop=7).stop_timeout == 7


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("celery -A m -c 4", "celery -A m worker -c 4"),
        ("celery --app=m -b redis://h -q -c 4", "celery --app=m -b redis://h -q worker -c 4"),
        ("celery -Am --workdir /x -Q a,b", "celery -Am --workdir /x worker -Q a,b"),
        ("celery -A m worker -c 4", "celery -A m worker -c 4"),
        ("celery", "celery worker"),
        ("rq worker high", "rq worker high"),
        ("rq --url redis://h high", "rq worker --url redis://h high"),
    ],
)
def test_a_subcommand_comes_behind_the_options_for_all_of_them(line: str, command: str) -> None:
    assert served(line, socket=False).command == command


def test_celery_workers_that_run_side_by_side_have_names_of_their_own() -> None:
    named = "celery -A m worker --hostname %p-%i@%%h"
    assert expand("celery -A m", has_socket=False, side_by_side=True).command == named
    own = expand("celery -A m -n me@%%h", has_socket=False, side_by_side=True).command
    assert own == "celery -A m worker -n me@%%h"


def test_beat_alone_must_never_run_twice() -> None:
    assert [name for name in SERVED if is_single(name)] == ["celery-beat"]


# --- programs and versions --------------------------------------------------------------------


def test_the_programs_that_are_named_exist() -> None:
    for server in SERVERS.values():
        for name in server.serving.programs if server.serving else ():
            assert 'if __name__ == "__main__":' in program_text(name)
    assert programs_of("", has_socket=True) == ()


@pytest.mark.parametrize(
    ("line", "versions", "said"),
    [
        ("uvicorn m", {"uvicorn": "0.35.0"}, "uvicorn 0.36 or later, before 1; 0.35.0 is locked"),
        ("uvicorn m", {"uvicorn": "1.0"}, "uvicorn 0.36 or later, before 1; 1.0 is locked"),
        ("uvicorn m", {"uvicorn": "0.36"}, ""),
        ("gunicorn m", {"gunicorn": "26.9"}, "gunicorn 27 or later; 26.9 is locked"),
        ("gunicorn m", {"gunicorn": "28.0"}, ""),
        ("gunicorn m", {}, "gunicorn 27 or later; it is not locked"),
        (
            f"gunicorn m -k {UVICORN_WORKER}",
            {"gunicorn": "27.0.1", "uvicorn": "0.54"},
            "`serve: gunicorn -k uvicorn` needs uvicorn-worker; it is not locked",
        ),
        ("granian m", {"granian": "2.7.4"}, "granian 2.8 or later, before 3; 2.7.4 is locked"),
        ("waitress m", {"waitress": "2.1"}, "waitress 3 or later, before 4; 2.1 is locked"),
        ("celery -A m", {}, ""),
    ],
)
def test_a_version_that_is_not_supported_is_named(
    line: str, versions: dict[str, str], said: str
) -> None:
    found = "".join(unsupported(line, versions))
    assert said in found if said else found == ""
