"""Processes of a Procfile and of a compose file: commands, ports, places."""

from __future__ import annotations

import pytest

from shipit.errors import Place
from shipit.init import processes
from shipit.init.processes import Process
from shipit.init.project_files import ProjectFiles


def read(**texts: str) -> list[Process]:
    found, notes = processes.read(ProjectFiles("any", texts))
    assert notes == []
    return found


def test_a_procfile_is_read_with_the_line_of_each_process() -> None:
    text = "# ours\nweb: gunicorn shop.wsgi\n\nrelease: python manage.py migrate\n"
    assert read(Procfile=text) == [
        Process("web", ("gunicorn", "shop.wsgi"), Place("Procfile", 2)),
        Process("release", ("python", "manage.py", "migrate"), Place("Procfile", 4)),
    ]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("uv run celery -A x worker", "celery -A x worker"),
        ("exec poetry run A=b C=d gunicorn x:app", "gunicorn x:app"),
        ("python3 -m uvicorn x:app", "uvicorn x:app"),
        ("python worker.py", "python worker.py"),
        ("pipenv run", ""),
        ("echo 'not closed", ""),
    ],
)
def test_what_only_prepares_a_command_is_left_out(command: str, words: str) -> None:
    (found,) = read(Procfile=f"any: {command}")
    assert " ".join(found.words) == words
    assert found.program == words.partition(" ")[0]


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("uvicorn x:app --host 0.0.0.0 --port 8080", 8080),
        ("uvicorn x:app --port=8080", 8080),
        ("gunicorn -b 0.0.0.0:5000 x:app", 5000),
        ("gunicorn --bind=:5000 x:app", 5000),
        ("gunicorn -b unix:/run/x.sock x:app", 0),
        ("uvicorn x:app --port $PORT", 0),
        ("uvicorn x:app --port", 0),
        ("celery -A x worker -c 8000", 0),
    ],
)
def test_the_port_of_a_command(command: str, port: int) -> None:
    (found,) = read(Procfile=f"web: {command}")
    assert found.port == port


COMPOSE = """\
services:
  web:
    build: .
    command: uvicorn x:app
  worker:
    command: [celery, -A, x, worker]
  db:
    image: postgres
  odd: 1
  number: {command: 1}
"""


def test_the_commands_of_a_compose_file_are_read_as_text_and_as_list() -> None:
    assert read(**{"compose.yaml": COMPOSE}) == [
        Process("web", ("uvicorn", "x:app"), Place("compose.yaml", 4)),
        Process("worker", ("celery", "-A", "x", "worker"), Place("compose.yaml", 6)),
    ]


@pytest.mark.parametrize("text", ["", "[]", "services: []", "services: {a: }", "1"])
def test_a_compose_file_without_services_has_no_processes(text: str) -> None:
    assert read(**{"docker-compose.yml": text}) == []


@pytest.mark.parametrize(
    "text", ["services: [", "a: !reset null", "a: &a [*a]", "[" * 5000, "a\x01b", "{" * 200_000]
)
def test_a_broken_compose_file_is_a_note_of_one_line(text: str) -> None:
    found, notes = processes.read(ProjectFiles("any", {"compose.yaml": text}))
    assert found == []
    assert [str(note).startswith("compose.yaml") for note in notes] == [True]
    assert "\n" not in str(notes[0])
