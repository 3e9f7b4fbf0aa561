"""The host's Pythons are found, asked once, and asked again when they change."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from shipit.agent import interpreters

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ANSWER = {"version": "3.12.1", "implementation": "cpython", "machine": "x86_64"}


def fake(path: Path, answer: str = json.dumps(ANSWER)) -> Path:
    """Put a program there that answers like a Python, and counts how often it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho asked >> {path}.asked\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def asked(path: Path) -> int:
    log = path.with_name(f"{path.name}.asked")
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_real_python_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    (found,) = interpreters.find(str(tmp_path / "cache"), [str(tmp_path / "bin")])
    assert found.version == "{}.{}.{}".format(*sys.version_info)
    assert (found.implementation, found.machine) == ("cpython", os.uname().machine)


def test_an_answer_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    first = interpreters.find(cache, places)
    assert interpreters.find(cache, places) == first
    assert asked(python) == 1
    fake(python, json.dumps({**ANSWER, "version": "3.12.99"}))
    assert interpreters.find(cache, places)[0].version == "3.12.99"
    assert asked(python) == 2


def test_of_two_names_the_one_with_a_version_is_told(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    (tmp_path / "bin" / "python3").symlink_to("python3.12")
    (found,) = interpreters.find(str(tmp_path / "cache"), [str(tmp_path / "bin")])
    assert found.path == str(python)


def test_what_does_not_answer_is_left_out_and_not_asked_again(tmp_path: Path) -> None:
    broken = fake(tmp_path / "bin" / "python3.11", "Segmentation fault")
    fake(tmp_path / "bin" / "python3.12")
    fake(tmp_path / "bin" / "python3-config")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin"), str(tmp_path / "none")]
    for _ in range(2):
        (found,) = interpreters.find(cache, places)
        assert found.version == "3.12.1"
    assert asked(broken) == 1


def test_one_that_was_too_slow_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    quick = python.read_text()
    python.write_text(quick + "sleep 30\n")  # of its child, which is not killed with it
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    monkeypatch.setattr(interpreters, "TIMEOUT", 0.5)
    assert interpreters.find(cache, places) == ()
    monkeypatch.undo()
    status = python.stat()
    python.write_text(quick + "exit 0 2\n")  # as long as before, and of the same time: the same
    os.utime(python, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert interpreters.find(cache, places)[0].version == "3.12.1"


def test_one_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    assert interpreters.find(cache, places)
    python.unlink()
    assert interpreters.find(cache, places) == ()


def test_a_host_that_cannot_be_written_to_answers_all_the_same(tmp_path: Path) -> None:
    fake(tmp_path / "bin" / "python3.12")
    assert len(interpreters.find("/proc/nowhere/cache", [str(tmp_path / "bin")])) == 1
