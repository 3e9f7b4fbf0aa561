"""The host's Pythons are found, asked once, and asked again when they change."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from patience import until
from shipit.agent.protocol.messages import Failure
from shipit.agent.system import interpreters, trust

if TYPE_CHECKING:
    from shipit.agent.protocol.answers import Interpreter

ANSWER = {"version": "3.12.1", "implementation": "cpython", "machine": "x86_64"}


def fake(path: Path, answer: str = json.dumps(ANSWER)) -> Path:
    """Put a program there that answers like a Python, and counts how often it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho asked >> {path}.asked\necho '{answer}'\n")
    path.chmod(0o755)
    return path


def find(cache: str, places: list[str]) -> tuple[Interpreter, ...]:
    """Look for interpreters in a folder that root, maybe, does not own."""
    return interpreters.find(cache, places, lambda _path: None).usable


def asked(path: Path) -> int:
    log = path.with_name(f"{path.name}.asked")
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_real_python_reports_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    (found,) = find(str(tmp_path / "cache"), [str(tmp_path / "bin")])
    assert found.version == "{}.{}.{}".format(*sys.version_info)
    assert (found.implementation, found.machine) == ("cpython", os.uname().machine)


def test_an_answer_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    first = find(cache, places)
    assert find(cache, places) == first
    assert asked(python) == 1
    fake(python, json.dumps({**ANSWER, "version": "3.12.99"}))
    assert find(cache, places)[0].version == "3.12.99"
    assert asked(python) == 2


def test_of_two_names_the_one_with_a_version_is_returned(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    (tmp_path / "bin" / "python3").symlink_to("python3.12")
    (found,) = find(str(tmp_path / "cache"), [str(tmp_path / "bin")])
    assert found.path == str(python)


def test_what_does_not_answer_is_left_out_and_not_asked_again(tmp_path: Path) -> None:
    broken = fake(tmp_path / "bin" / "python3.11", "Segmentation fault")
    fake(tmp_path / "bin" / "python3.12")
    fake(tmp_path / "bin" / "python3-config")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin"), str(tmp_path / "none")]
    for _ in range(2):
        (found,) = find(cache, places)
        assert found.version == "3.12.1"
    assert asked(broken) == 1


def test_one_that_was_too_slow_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    quick = python.read_text()
    python.write_text(quick + "sleep 30\n")  # of its child, which is killed with it
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    monkeypatch.setattr(interpreters, "TIMEOUT", 0.5)
    assert find(cache, places) == ()
    monkeypatch.undo()
    status = python.stat()
    python.write_text(quick + "exit 0 2\n")  # as long as before, and of the same time: the same
    os.utime(python, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find(cache, places)[0].version == "3.12.1"


def test_what_one_leaves_running_is_neither_waited_for_nor_left(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    child = tmp_path / "child"
    python.write_text(f"{python.read_text()}sleep 600 &\necho $! > {child}\n")
    (found,) = find(str(tmp_path / "cache"), [str(tmp_path / "bin")])
    assert found.version == "3.12.1"
    stat_file = Path("/proc", child.read_text().strip(), "stat")
    until(
        lambda: not stat_file.exists() or stat_file.read_text().split()[2] == "Z",
        lambda: f"{stat_file} is there",
        60.0,
    )


def test_one_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    assert find(cache, places)
    python.unlink()
    assert find(cache, places) == ()


def test_a_host_that_cannot_be_written_to_answers_all_the_same(tmp_path: Path) -> None:
    fake(tmp_path / "bin" / "python3.12")
    assert len(find("/proc/nowhere/cache", [str(tmp_path / "bin")])) == 1


# --- what others than root can change ----------------------------------------------------------


def test_what_others_can_change_is_not_run_and_is_named_with_its_owner(tmp_path: Path) -> None:
    theirs = fake(tmp_path / "bin" / "python3")
    theirs.parent.chmod(0o777)
    found = interpreters.find(str(tmp_path / "cache"), [str(theirs.parent)])
    assert (found.usable, asked(theirs)) == ((), 0)
    (rejected,) = found.rejected
    assert str(theirs) in rejected.what
    assert "users other than root can change it" in rejected.what
    assert rejected.hint


def test_an_old_answer_does_not_let_one_in_that_is_rejected_now(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    assert find(cache, places)
    assert interpreters.find(cache, places).usable == ()
    assert find(cache, places)
    assert asked(python) == 2


def test_one_that_changes_its_owner_or_mode_is_asked_again(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3")
    cache, places = str(tmp_path / "cache"), [str(tmp_path / "bin")]
    find(cache, places)
    python.chmod(0o775)
    find(cache, places)
    assert asked(python) == 2


def test_a_name_that_may_be_used_is_found_beside_one_that_may_not(tmp_path: Path) -> None:
    python = fake(tmp_path / "bin" / "python3.12")
    (tmp_path / "bin" / "python3").symlink_to("python3.12")

    def judge(path: str) -> Failure | None:
        return Failure("no", path, "") if path.endswith("3.12") else None

    found = interpreters.find(str(tmp_path / "cache"), [str(tmp_path / "bin")], judge)
    assert [one.path for one in found.usable] == [str(python.with_name("python3"))]
    assert found.rejected == ()


def test_the_systems_own_come_first(tmp_path: Path) -> None:
    for folder in ("usr", "opt"):
        fake(tmp_path / folder / "python3.12")
    found = find(str(tmp_path / "cache"), [str(tmp_path / "usr"), str(tmp_path / "opt")])
    assert [Path(one.path).parent.name for one in found] == ["usr", "opt"]


def judged(path: str, others: dict[str, trust.Entry]) -> str:
    """Return why an interpreter is rejected on a disk where all but `others` is root's."""

    def look(place: str) -> trust.Entry | None:
        if place in others or place.endswith("pyvenv.cfg"):
            return others.get(place)
        mode = stat.S_IFREG if Path(place).suffix or "python3" in place else stat.S_IFDIR
        return trust.Entry(0, mode | 0o755)

    rejected = interpreters.rejected(path, look)
    return rejected.what if rejected else ""


FOLDER = stat.S_IFDIR


@pytest.mark.parametrize(
    ("place", "entry", "why"),
    [
        (
            "/opt/x",
            trust.Entry(4711, FOLDER | 0o755),
            "users other than root can change it: /opt/x ",
        ),
        ("/opt/x/lib", trust.Entry(4711, FOLDER | 0o755), "change it: /opt/x/lib "),
        ("/opt/x/lib64", trust.Entry(0, FOLDER | 0o775), "change it: /opt/x/lib64 "),
        ("/opt/x/pyvenv.cfg", trust.Entry(0, stat.S_IFREG | 0o644), "it belongs to a venv"),
        ("/opt/x/bin/pyvenv.cfg", trust.Entry(0, stat.S_IFREG | 0o644), "it belongs to a venv"),
        ("/opt/x", trust.Entry(0, FOLDER | 0o700), "the services cannot run it: /opt/x is closed"),
    ],
)
def test_an_interpreter_needs_a_way_and_a_library_of_roots_own(
    place: str, entry: trust.Entry, why: str
) -> None:
    assert judged("/opt/x/bin/python3", {}) == ""
    assert why in judged("/opt/x/bin/python3", {place: entry})


def test_every_part_of_the_standard_library_counts(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "python3.12"
    (library / "encodings").mkdir(parents=True)
    (tmp_path / "lib" / "libpython3.12.so.1.0").touch()
    python = fake(tmp_path / "bin" / "python3.12")
    parts = {str(library / "encodings"), str(library), f"{tmp_path}/lib/libpython3.12.so.1.0"}
    for part in parts:
        seen = judged(str(python), {part: trust.Entry(4711, FOLDER | 0o755)})
        assert part in seen


def test_a_name_without_a_folder_is_no_interpreter() -> None:
    assert interpreters.rejected("python3") is not None


def test_the_python_of_this_system_is_used() -> None:
    assert interpreters.rejected("/usr/bin/python3") is None


def test_a_folder_of_thousands_of_pythons_is_looked_into_a_little(tmp_path: Path) -> None:
    """Below /opt it may be another user's: the answer to a controller has to stay an answer."""
    (tmp_path / "bin").mkdir()
    for number in range(500):
        program = tmp_path / "bin" / f"python3.{number}"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    failure = Failure("interpreter-rejected", "no", "")
    found = interpreters.find(str(tmp_path / "c"), [str(tmp_path / "bin")], lambda _: failure)
    assert len(found.rejected) == interpreters.PYTHONS_AT_MOST
