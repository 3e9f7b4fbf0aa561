"""What users install is the wheel: it must bring all that it needs along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hosts.workspace import SECRET, Workspace

if TYPE_CHECKING:
    from shipit.lab.lab import Lab

TOP = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.index
def test_the_built_wheel_deploys_from_a_clean_venv(fresh: Lab, tmp_path: Path) -> None:
    workspace = Workspace.set(tmp_path, fresh)
    workspace.wheel("1.0.0")
    workspace.playbook()
    bin_ = Path(sys.executable).parent
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, cwd=TOP)
    (wheel,) = tmp_path.glob("shipit-*.whl")
    run(bin_ / "uv", "venv", "--python", sys.executable, "clean", cwd=tmp_path)
    clean = tmp_path / "clean" / "bin"
    run(bin_ / "uv", "pip", "install", "--python", clean / "python", wheel, cwd=tmp_path)

    beside = (
        "from shipit.rehearsal.providers.vagrant import own_templates as our; print(our().parent)"
    )
    packaged = run(clean / "python", "-c", beside, cwd=tmp_path).strip()
    assert (Path(packaged) / "Vagrantfile").read_text() == (TOP / "Vagrantfile").read_text()

    output = run(clean / "shipit", "deploy", "playbook.yaml", cwd=tmp_path, TINYAPP_PASSWORD=SECRET)

    assert "all 2 hosts run 1.0.0-" in output
    assert workspace.versions() == {"web1": "1.0.0", "web2": "1.0.0"}
