"""`shipit init` on a folder: what is written, kept and refused, with its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from shipit.cli import main

if TYPE_CHECKING:
    from pathlib import Path

APP = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a small project, which is the current one."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "requirements.txt").write_text("gunicorn==27 --hash=sha256:00\n")
    monkeypatch.chdir(folder)
    return folder


def written(folder: Path) -> list[str]:
    return sorted({path.name for path in folder.iterdir()} - {"app.py", "requirements.txt"})


def result(printed: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.readouterr().out.splitlines()[-1])
    return found


def test_a_playbook_an_inventory_and_what_git_ignores_are_written(project: Path) -> None:
    assert main.main(["init"]) == 0
    assert written(project) == [".gitignore", "inventory.yaml", "prod.yaml"]


def test_a_project_elsewhere_is_written_to(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.parent)
    assert main.main(["init", "shop"]) == 0
    assert written(project) == [".gitignore", "inventory.yaml", "prod.yaml"]
    assert "shipit doctor shop/prod.yaml" in capsys.readouterr().out


def test_a_second_run_keeps_everything_and_exits_with_3(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main.main(["init"])
    (project / "prod.yaml").write_text("mine")
    (project / "inventory.yaml").write_text("mine")
    capsys.readouterr()
    assert main.main(["init"]) == 3
    says = capsys.readouterr().out
    assert "kept prod.yaml, which exists: nothing is overwritten\n" in says
    assert "kept inventory.yaml, which exists: nothing is overwritten\n" in says
    assert "wrote" not in says
    assert (project / "prod.yaml").read_text() == "mine"
    assert (project / "inventory.yaml").read_text() == "mine"
    assert (project / ".gitignore").read_text() == "/prod.env\n"


@pytest.mark.parametrize(
    ("name", "text", "group"),
    [
        ("inventory.yaml", "web: {hosts: {a: }}", "web"),
        ("hosts.ini", "[app]\na\n", "all"),
        ("hosts", "[web]\na\n", "web"),
        ("inventory.yml", "not: [an, inventory", "all"),
    ],
)
def test_an_inventory_of_any_name_is_used_and_no_other_is_written(
    project: Path, name: str, text: str, group: str
) -> None:
    (project / name).write_text(text)
    assert main.main(["init"]) == 0
    assert written(project) == sorted([".gitignore", name, "prod.yaml"])
    assert f"\nhosts: {group} " in (project / "prod.yaml").read_text()


def test_an_inventory_that_is_a_program_is_not_run(project: Path) -> None:
    script = project / "inventory"
    script.write_text(f"#!/bin/sh\ntouch {project}/was-run\n")
    script.chmod(0o755)
    assert main.main(["init"]) == 0
    assert "was-run" not in written(project)


def test_a_check_shows_the_files_and_writes_none(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["init", "--check"]) == 0
    assert written(project) == []
    says = capsys.readouterr().out
    assert "would write prod.yaml:\n  # How shop is deployed" in says
    assert "would write .gitignore:\n  /prod.env\n" in says


def test_json_has_the_guesses_with_their_places_and_the_files(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["init", "--json"]) == 0
    found = result(capsys)
    assert (found["what"], found["exit_status"]) == ("init", 0)
    web = next(each for each in found["guesses"] if each["what"] == "web")
    assert web["value"] == "gunicorn app:app"
    assert web["place"] == {"file": "app.py", "line": 2, "column": 0}
    states = {each["path"]: each["state"] for each in found["files"]}
    assert states == dict.fromkeys(("prod.yaml", "inventory.yaml", ".gitignore"), "written")
    assert found["todo"][-1].endswith("shipit doctor prod.yaml")
    assert found["notes"] == []


@pytest.mark.parametrize(
    ("make", "code", "says"),
    [
        ("nothing", "init-folder", "the folder does not exist"),
        ("file", "init-folder", "this is not a folder"),
        ("empty", "init-nothing", "there is no Python project here"),
        ("inner", "init-nothing", "if the app is in backend: shipit init {}/backend"),
    ],
)
def test_a_folder_without_a_project_is_refused(
    tmp_path: Path, make: str, code: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "here"
    if make == "file":
        folder.write_text("")
    elif make != "nothing":
        folder.mkdir()
    if make == "inner":
        (folder / "backend").mkdir()
        (folder / "backend/manage.py").write_text("")
    assert main.main(["init", str(folder)]) == 2
    error = capsys.readouterr().err
    assert f"[{code}]" in error
    assert says.format(folder) in error


def test_a_gitignore_that_is_no_file_of_the_project_is_left_alone(project: Path) -> None:
    outside = project.parent / "ignored"
    outside.write_text("theirs\n")
    (project / ".gitignore").symlink_to(outside)
    assert main.main(["init"]) == 0
    assert outside.read_text() == "theirs\n"


def test_a_gitignore_in_another_encoding_is_left_alone(project: Path) -> None:
    (project / ".gitignore").write_bytes(b"\xff\n")
    assert main.main(["init"]) == 0
    assert (project / ".gitignore").read_bytes() == b"\xff\n"


HOSTILE: dict[str, bytes] = {
    "pyproject.toml": b"[[[",
    "uv.lock": b"\x00\xff",
    "Procfile": b"\xff\xfe",
    "compose.yaml": b"a: &a [*a]\n" + b"[" * 10_000,
    "broken.py": b"import flask\napp = Flask(((",
    "deep.py": b"import flask\nx = " + b"-" * 100_000 + b"1",
    ".python-version": b"\n" * 1000,
    "weird\x1b[2J\n.py": b"import flask\ndef (",
}


def test_whatever_lies_in_a_project_is_a_note_of_one_line_and_no_bug(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in HOSTILE.items():
        (project / name).write_bytes(content)
    os.mkfifo(project / "poetry.lock")
    (project / "a.py").symlink_to("/etc/passwd")
    (project / "loop").symlink_to(".")
    assert main.main(["init"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    notes = [line for line in out.splitlines() if line.startswith("note: ")]
    named = ("pyproject.toml:1", "uv.lock:1", "Procfile:1", "compose.yaml:2:", "poetry.lock")
    for name in (*named, "broken.py:2", "deep.py", "a.py"):
        assert any(note.startswith(f"note: {name}") for note in notes), name
    assert "web: gunicorn app:app (app.py:2, Flask; gunicorn: requirements.txt:1)\n" in out


def on_a_terminal(typed: str, *words: str) -> tuple[int, str]:
    """Run the command on a terminal on which this is typed; return its exit status and output."""
    ours, theirs = pty.openpty()
    os.write(ours, typed.encode())
    command = [sys.executable, "-m", "shipit", "init", *words]
    ended = subprocess.run(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, timeout=300, check=False
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as terminal, suppress(OSError):  # EIO: nothing, or no more
        return ended.returncode, terminal.read1(65536).decode()
    return ended.returncode, ""


def test_on_a_terminal_the_port_and_the_hosts_are_asked_for_again_after_a_wrong_answer(
    project: Path,
) -> None:
    status, said = on_a_terminal("x\n8080\nweb1 web2\n")
    assert status == 0
    assert "Port of the web service [8000]: " in said
    assert "write a number from 1 to 65535" in said
    assert "socket: 8080 " in (project / "prod.yaml").read_text()
    assert "    web1:\n    web2:\n" in (project / "inventory.yaml").read_text()


def test_the_end_of_the_input_interrupts_and_nothing_is_written(project: Path) -> None:
    status, said = on_a_terminal("\x04")
    assert status == 130
    assert "interrupted" in said
    assert written(project) == []


@pytest.mark.parametrize("word", ["--yes", "--json"])
def test_nothing_is_asked_with_yes_or_json(project: Path, word: str) -> None:
    status, said = on_a_terminal("\x04", word)
    assert (status, said.replace("^D", "").strip("\b")) == (0, "")
