"""Which program of a release runs, and what root does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_deploy import manifest
from shipit.agent.host import commands, transient
from shipit.agent.host.transient import Command
from shipit.agent.system.failures import Refused
from shipit.agent.system.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    folders = [str(tmp_path / name) for name in ("opt", "var", "units", "run", "timers")]
    return Paths("app", *folders)


def put(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_root_runs_no_program_that_others_can_change(paths: Paths, tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    program = put(open_folder / "tool")
    open_folder.chmod(0o777)
    with pytest.raises(Refused) as refused:
        commands.as_root(paths, manifest(paths, "r1"), (program,))
    assert refused.value.failure.code == "program-untrusted"
    assert commands.of(paths, manifest(paths, "r1"), (program,)) is not None


def test_root_runs_no_relative_path(paths: Paths) -> None:
    with pytest.raises(Refused, match="relative"):
        commands.as_root(paths, manifest(paths, "r1"), ("./tool",))


def test_root_skips_a_venv_that_others_can_change(paths: Paths) -> None:
    wanted = manifest(paths, "r1")
    folder = Path(paths.release("r1").venv, "bin")
    put(folder / "sh")
    folder.chmod(0o777)
    found = commands.as_root(paths, wanted, ("sh", "-c", "true"))
    assert found is not None
    assert found.argv[0].endswith("bin/sh")
    assert str(folder) not in found.argv[0]
    assert str(folder) not in found.search
    assert commands.as_root(paths, wanted, ("no-such-tool",)) is None


def test_env_files_do_not_choose_what_root_runs() -> None:
    command = Command(("/bin/true",), "root", "/", ("/e.env",), "/usr/bin", privileged=True)
    words = transient.argv("u.service", command, 1.0)
    assert words[-3:] == ["/usr/bin/env", "PATH=/usr/bin", "/bin/true"]
    (unset,) = [word for word in words if "UnsetEnvironment=" in word]
    assert "PYTHONPATH" in unset
    assert "LD_PRELOAD" in unset
