from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import echo_agent
from marks import needs_root
from shipit.agent.protocol.manifest import PYTHONS
from shipit.secrets import Secret
from shipit.transport.bootstrap import Launch, Root, StartFailure, diagnose, greeting, not_installed
from shipit.transport.endpoint import Endpoint

PLACE = Endpoint("web1", "10.0.0.1", user="deploy", become=True)
PYENV = Path.home() / ".pyenv" / "versions"


@pytest.mark.parametrize(
    ("status", "stderr", "code"),
    [
        (1, "sudo: a password is required\n", "sudo-password-needed"),
        (None, "Sorry, try again.\n", "sudo-password-wrong"),
        (1, "sudo: 1 incorrect password attempt\n", "sudo-password-wrong"),
        (1, "sudo: no password was provided\n", "sudo-password-wrong"),
        (1, "deploy is not in the sudoers file.\n", "sudo-denied"),
        (1, "Sorry, user deploy is not allowed to execute '/x' as root. sudo\n", "sudo-denied"),
        (1, "sudo: sorry, you must have a tty to run sudo\n", "sudo-needs-tty"),
        (84, "", "sudo-missing"),
        (86, "", "python-missing"),
        (88, "", "not-root"),
        (1, "shipit: Python is too old: 3.6.15\n", "python-too-old"),
        (2, "Unknown option: -I\nusage: /usr/bin/python [option]\n", "python-too-old"),
        (1, "This account is currently not available.\n", "agent-not-started"),
        (None, "", "agent-not-started"),
    ],
)
def test_each_failure_has_its_code_and_hint(status: int | None, stderr: str, code: str) -> None:
    error = diagnose(PLACE, StartFailure(status, b"", stderr))
    assert error.code == code
    assert error.host == "web1"
    assert error.hint
    assert "{" not in error.what + error.hint
    assert error.evidence == stderr.strip()


def test_the_output_of_the_login_shell_is_evidence() -> None:
    assert diagnose(PLACE, StartFailure(1, b"welcome", "oops")).evidence == "welcome\noops"
    assert diagnose(PLACE, StartFailure(None, b"x" * 4000, "")).code == "login-shell-noise"


def test_an_agent_that_could_not_be_written_has_a_hint() -> None:
    error = not_installed(PLACE, {"boot": "failed", "what": "No space left", "errno": 28})
    assert error.code == "agent-not-installed"
    assert "No space left" in error.what
    assert "df -h" in error.hint


def test_sudo_is_used_if_requested_and_the_password_is_not_in_the_command() -> None:
    assert Launch.of(Endpoint("a", "a")).root is Root.LOGIN
    assert Launch.of(PLACE).root is Root.SUDO
    secret = Endpoint("a", "a", become=True, become_password=Secret("sentinel"))
    assert Launch.of(secret).root is Root.PASSWORD
    assert "sentinel" not in Launch.of(secret).command


@pytest.mark.parametrize("root", list(Root))
def test_the_command_passes_any_login_shell_unharmed(root: Root) -> None:
    words = Launch(root).argv[2:]
    assert not [word for word in words if set("'\n\\!") & set(word)]


def run(
    launch: Launch, given: bytes, path: str | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/sh", "-c", launch.command],
        input=given,
        capture_output=True,
        env={**os.environ, "PATH": path or os.environ["PATH"]},
        timeout=30,
        check=False,
    )


@needs_root
@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_a_real_python_that_is_too_old_is_named(version: str) -> None:
    found = sorted(PYENV.glob(f"{version}.*/bin/python{version}"))
    if not found:
        pytest.skip(f"no Python {version} on this machine")
    done = run(Launch(Root.LOGIN, str(found[0])), b"")
    error = diagnose(PLACE, StartFailure(done.returncode, done.stdout, done.stderr.decode()))
    assert error.code == "python-too-old"


@needs_root
def test_a_broken_python_on_the_path_is_skipped(tmp_path: Path) -> None:
    names = ("python3.98", "python3.97")  # no system has them
    for name, code in zip(names, ("exit 127", f'exec {sys.executable} "$@"'), strict=True):
        put(tmp_path / name, code)
    given = b"shipit-boot 8\nprint(7)"
    done = run(Launch(Root.LOGIN, " ".join(names)), given, path=str(tmp_path))
    assert done.stdout == b"7\n"


@needs_root
@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="needs a Python in /usr/bin")
def test_a_python_of_the_logins_path_is_not_run_if_the_system_has_one(
    tmp_path: Path,
) -> None:
    for name in ("python3.15", "python3.14", "python3", "id"):
        put(tmp_path / name, f"touch {tmp_path}/ran")
    done = run(Launch(Root.LOGIN), b"shipit-boot 8\nprint(7)", path=str(tmp_path))
    assert (done.stdout, (tmp_path / "ran").exists()) == (b"7\n", False)


@needs_root
def test_a_python_that_came_with_a_release_is_found_where_there_is_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "shipit-python" / "0f"
    (folder / "bin").mkdir(parents=True)
    put(folder / "bin" / "python3.97", f'exec {sys.executable} "$@"')
    put(folder / "bin" / "python3.97-config", f"touch {tmp_path}/ran")
    folder.with_name("0f.json").touch()
    folder.with_name(".new-7").symlink_to("/nowhere")
    done = run_brought(tmp_path)
    assert (done.stdout, (tmp_path / "ran").exists()) == (b"7\n", False)


@needs_root
def test_one_that_was_changed_or_is_not_complete_is_never_run(tmp_path: Path) -> None:
    for name in ("0e", "0f"):
        folder = tmp_path / "shipit-python" / name / "bin"
        folder.mkdir(parents=True)
        put(folder / "python3.97", f"touch {tmp_path}/ran")
    (tmp_path / "shipit-python" / "0e.json.damaged").touch()
    done = run_brought(tmp_path)
    assert (done.returncode, (tmp_path / "ran").exists()) == (86, False)


def run_brought(tmp_path: Path) -> subprocess.CompletedProcess[bytes]:
    """Start a host's agent where the only Pythons are those below `shipit-python`."""
    names = [each for each in Launch(Root.LOGIN).argv[-2].split() if each.startswith(PYTHONS)]
    command = Launch(Root.LOGIN, " ".join(["python3.98", *names])).command
    return subprocess.run(
        ["/bin/sh", "-c", command.replace(PYTHONS, str(tmp_path / "shipit-python"))],
        input=b"shipit-boot 8\nprint(7)",
        capture_output=True,
        env={**os.environ, "PATH": "/bin:/usr/bin"},
        timeout=30,
        check=False,
    )


def put(path: Path, code: str) -> None:
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


@needs_root
def test_lines_before_the_boot_are_skipped() -> None:
    done = run(Launch(Root.LOGIN, sys.executable), b"a password\n\nshipit-boot 8\nprint(7)rest")
    assert done.stdout == b"7\n"
    done = run(Launch(Root.LOGIN, sys.executable), b"a password\n")
    assert done.returncode == 1
    assert b"nothing came to run" in done.stderr


def test_the_greeting_is_the_boot_and_one_line() -> None:
    agent = echo_agent.build()
    head, _, rest = greeting(agent, "serve").partition(b"\n")
    assert head == b"shipit-boot %d" % len(agent.boot)
    assert rest.startswith(agent.boot)
    assert rest[len(agent.boot) :].count(b"\n") == 1
