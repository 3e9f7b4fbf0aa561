"""The program of a service is in a locked wheel, or is reported before a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.bundle import select
from shipit.playbook import reader
from shipit.release import programs
from wheelhouse import BOOKWORM, Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.errors import Mistake

HEAD = "app: demo\nhosts: web\nwheel: demo-1.0.0-py3-none-any.whl\nlock: requirements.lock\n"
SERVER = Recipe("uvicorn", scripts={"uvicorn": "uvicorn:main"})
TOOL = Recipe("tool", files={"tool-1.0.0.data/scripts/tool.sh": "#!/bin/sh\n"})


def mistakes(folder: Path, service: str) -> list[Mistake]:
    wheels = [write_wheel(folder / "wheels", recipe) for recipe in (SERVER, TOOL)]
    write_wheel(folder / "wheels", Recipe("waitress", scripts={"waitress-serve": "waitress:main"}))
    write_wheel(folder / "wheels", Recipe("uv", scripts={"uv": "uv:main"}))
    app = write_wheel(folder, Recipe("demo", scripts={"demo-worker": "demo:work"}))
    write_lock(folder / "requirements.lock", wheels)
    (folder / "unit.j2").write_text("[Service]\nExecStart=/bin/true\n")
    playbook = folder / "playbook.yaml"
    playbook.write_text(f"{HEAD}wheelhouse: wheels\nservices:\n  web: {service}\n")
    (draft,) = reader.read(playbook)
    sources = select.load(app, folder / "requirements.lock", folder / "wheels")
    sources.select(BOOKWORM)
    return list(programs.unknown(draft, reader.typed(draft, draft.values), sources.programs()))


@pytest.mark.parametrize(
    "service",
    [
        "{command: uvicorn demo:app --fd 3}",
        "{command: demo-worker}",
        "{command: tool.sh}",
        "{command: /usr/bin/socat}",
        "{command: python -m demo}",
        "{command: python3.11 -m demo}",
        "{command: anything, unit: unit.j2}",
    ],
)
def test_what_a_wheel_a_venv_or_the_host_has_is_known(tmp_path: Path, service: str) -> None:
    assert mistakes(tmp_path, service) == []


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("uvicron demo:app", "did you mean 'uvicorn'?"),
        (
            "waitress-serve demo:app",
            "lock the package that has it",
        ),  # in the wheelhouse, not locked
        ("uv run demo", "absolute path"),  # it makes the venv, and is not in it
        ("bash -c true", "absolute path"),
    ],
)
def test_what_nothing_locked_brings_is_reported_with_its_place(
    tmp_path: Path, command: str, hint: str
) -> None:
    (mistake,) = mistakes(tmp_path, f"{{command: {command}}}")
    assert (mistake.code, hint in mistake.hint) == ("unknown-program", True), mistake
    assert mistake.place is not None
    assert mistake.place.line == 7


def test_a_server_that_is_not_locked_is_reported_at_its_line(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "{serve: uvicorn demo:app}") == []
    (mistake,) = mistakes(tmp_path, "{serve: celery -A demo}")
    assert mistake.what == "no locked wheel has the program 'celery'"
    assert mistake.place is not None
    assert (mistake.place.line, mistake.place.column) == (7, 16)
