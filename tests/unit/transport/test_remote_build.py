"""A wheel is built elsewhere by a program that leaves nothing; here it runs on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from marks import needs_root
from patience import until
from shipit.errors import InputError, Mistake
from shipit.project.building.orders import Order
from shipit.transport import build_program, remote_build
from shipit.transport.endpoint import Endpoint
from shipit.transport.ssh.client import Network
from tiny_backend import build_sdist, write_project

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Endpoint("builder", "localhost", connection="local")
PYTHON = (sys.version_info[0], sys.version_info[1])
PATIENCE = 60.0  # seconds


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    """Give an order, and a folder for temporary files that shows what is left there."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    folder = write_project(tmp_path / "fast", "fast")
    monkeypatch.chdir(folder)
    build_sdist(str(tmp_path))
    pip = wheelhouse.installed_wheel(tmp_path / "wheels", "pip")
    return Order("fast==1.0.0", tmp_path / "fast-1.0.0.tar.gz", pip, PYTHON, 315_532_800)


def build(order: Order, folder: Path) -> Path:
    with Network() as network:
        return remote_build.build(HERE, network, order, folder / "out").wheel


def refused(order: Order, folder: Path) -> Mistake:
    with pytest.raises(InputError) as caught:
        build(order, folder)
    (mistake,) = caught.value.mistakes
    assert mistake.what.startswith("cannot build fast==1.0.0 on builder: ")
    assert mistake.hint
    return mistake


def repacked(order: Order, change: Callable[[Path], None], folder: Path) -> Order:
    """Return an order of a source that was changed."""
    with tarfile.open(order.source) as archive:
        archive.extractall(folder / "changed", filter="data")
    change(folder / "changed" / "fast-1.0.0")
    with tarfile.open(order.source, "w:gz") as archive:
        archive.add(folder / "changed" / "fast-1.0.0", "fast-1.0.0")
    return order


def test_a_wheel_comes_back_and_nothing_is_left(tmp_path: Path, order: Order) -> None:
    wheel = build(order, tmp_path)
    assert wheel == tmp_path / "out" / "fast-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("fast.py") == b"VERSION = '1.0.0'\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_build_that_fails_is_shown_with_the_host_and_leaves_nothing(
    tmp_path: Path, order: Order
) -> None:
    def broken(project: Path) -> None:
        (project / "tiny_backend.py").write_text("raise RuntimeError('no compiler here')\n")

    mistake = refused(repacked(order, broken, tmp_path), tmp_path)
    assert (mistake.code, "no compiler here" in mistake.evidence) == ("builder-failed", True)
    assert "compiler" in mistake.hint
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_build_that_takes_too_long_is_ended(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(project: Path) -> None:
        (project / "tiny_backend.py").write_text("import time\ntime.sleep(600)\n")

    monkeypatch.setattr(remote_build, "BUILD", 2.0)
    mistake = refused(repacked(order, endless, tmp_path), tmp_path)
    assert mistake.what.endswith("it took too long")
    assert "compiler" not in mistake.hint
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_host_without_the_python_of_the_target_is_named(tmp_path: Path, order: Order) -> None:
    mistake = refused(replace(order, python=(3, 99)), tmp_path)
    assert mistake.code == "builder-unfit"
    assert mistake.what.endswith("it has no Python 3.99")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"hello\n",
        b"shipit-build nonsense\n",
        b"shipit-build []\n",
        b'shipit-build {"status": 0}\n',
        json.dumps({"status": 0, "wheels": ["../x.whl"], "size": 1, "libc": ["glibc", "2.36"]}),
        json.dumps({"status": 0, "wheels": ["x.whl"], "size": 1 << 40, "libc": ["glibc", "2.36"]}),
        json.dumps({"status": 0, "wheels": ["x.whl"], "size": 9, "libc": ["glibc", "2.36"]}),
        json.dumps({"status": 0, "wheels": [], "size": 0, "libc": ["", ""]}),
        json.dumps({"status": 0, "wheels": ["x.whl"], "size": float("inf"), "libc": ["", ""]}),
        json.dumps({"status": "x" * 500, "wheels": [], "size": 0, "libc": ["", ""]}),
        json.dumps({"status": True, "wheels": [], "size": 0, "libc": ["", ""]}),
        json.dumps({"status": 10**400, "wheels": [], "size": 0, "libc": ["", ""]}),
        b"x" * 2000,
    ],
)
def test_a_host_that_lies_gives_no_wheel(
    tmp_path: Path, order: Order, answer: bytes | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(answer, str):
        said = {**json.loads(answer), "output": "x"}
        answer = b"welcome\nshipit-build " + json.dumps(said).encode() + b"\nshort"
    (tmp_path / "answer").write_bytes(answer)
    monkeypatch.setattr(remote_build, "MOST", 1000)
    monkeypatch.setattr(remote_build, "_SCRIPT", f"cat {tmp_path}/answer; head -c 1000 >/dev/null")
    mistake = refused(order, tmp_path)
    assert (mistake.code, len(mistake.what) < 300) == ("builder-failed", True)
    assert "compiler" not in mistake.hint


def says(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the builder be a script that takes no notice of what it is sent."""
    monkeypatch.setattr(remote_build, "_SCRIPT", script)


def test_a_builder_without_an_answer_is_left_after_a_time(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_build, "BUILD", 0.5)
    monkeypatch.setattr(remote_build, "ANSWER", 0.5)
    says("exec cat >/dev/null", monkeypatch)
    mistake = refused(order, tmp_path)
    assert mistake.what.endswith("builder: it gave no answer within 1 s")
    assert "run the command again" in mistake.hint


ANSWER = {"status": 0, "wheels": ["x.whl"], "size": 5, "libc": ["glibc", "2.36"], "output": ""}
LINE = f"shipit-build {json.dumps(ANSWER)}"


def test_the_wheel_has_a_deadline_of_its_own(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_build, "WHEEL", 1.0)
    says(f"echo '{LINE}'; exec cat >/dev/null", monkeypatch)
    mistake = refused(order, tmp_path)
    assert mistake.what.endswith("builder: the wheel did not arrive within 1 s")


@pytest.mark.parametrize("script", ["exit 0", f"echo '{LINE}'; exec head -c 99 >/dev/null"])
def test_a_builder_that_goes_away_gets_no_hint_about_compilers(
    tmp_path: Path, order: Order, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(script, monkeypatch)
    mistake = refused(order, tmp_path)
    assert "run the command again" in mistake.hint


def test_an_error_of_this_machine_is_not_the_builders(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        build(replace(order, source=tmp_path / "gone.tar.gz"), tmp_path)
    says(f"echo '{LINE}'; echo 12345; exec cat >/dev/null", monkeypatch)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.whl").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        build(order, tmp_path)


def test_a_signal_when_the_folder_was_just_made_leaves_nothing(
    tmp_path: Path, order: Order
) -> None:
    program = Path(build_program.__file__).read_text()
    code = (
        "import os, signal, tempfile; make = tempfile.mkdtemp\n"
        "def made(**options):\n"
        "    folder = make(**options); os.kill(os.getpid(), signal.SIGHUP); return folder\n"
        f"tempfile.mkdtemp = made; exec({program!r}, {{'__name__': 'shipit_build'}})"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], input=b"{}\n", check=False)
    assert done.returncode == 128 + signal.SIGHUP
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("end", ["closed", "hung up"])
def test_nothing_goes_on_without_its_controller(tmp_path: Path, order: Order, end: str) -> None:
    mark = tmp_path / "runs"

    def endless(project: Path) -> None:
        (project / "tiny_backend.py").write_text(
            f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
        )

    order = repacked(order, endless, tmp_path)
    files = [order.pip, order.source]
    request = {
        "files": [[each.name, each.stat().st_size] for each in files],
        "argv": [f"{order.pip.name}/pip", "wheel", "--no-deps", "-w", "out", order.source.name],
        "environment": {},
        "seconds": 600,
    }
    program = Path(build_program.__file__).read_bytes()
    argv = [sys.executable, "-I", "-c", remote_build._LOADER]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        process.stdin.write(b"%d\n%b%b\n" % (len(program), program, json.dumps(request).encode()))
        for each in files:
            process.stdin.write(each.read_bytes())
        process.stdin.flush()
        until(lambda: mark.exists() and mark.read_text() != "", lambda: "it never ran", PATIENCE)
        (folder,) = (tmp_path / "tmp").iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        if end == "closed":
            process.stdin.close()
        else:
            process.send_signal(signal.SIGHUP)
        process.wait(PATIENCE)
    assert list((tmp_path / "tmp").iterdir()) == []
    command = Path(f"/proc/{mark.read_text()}/cmdline")
    until(lambda: not command.exists() or command.read_bytes() == b"", command.read_bytes, PATIENCE)


@needs_root
def test_a_login_as_root_is_refused(
    tmp_path: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_build, "_SCRIPT", remote_build._SCRIPT.replace("$4 = ssh", "1"))
    mistake = refused(order, tmp_path)
    assert (mistake.code, "the login user is root" in mistake.what) == ("builder-unfit", True)
    assert "ansible_user" in mistake.hint
