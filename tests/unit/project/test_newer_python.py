"""The guide to a newer Python, as far as it needs no host: tests/hosts/test_python.py has those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import guides
import relocatable
from tiny_backend import write_project
from wheelhouse import Recipe, write_lock, write_wheel

if TYPE_CHECKING:
    from pathlib import Path

SHOWN, DIGITS = "3.13", "313"  # on the page
MINOR = relocatable.SHORT.removeprefix("python")  # that is to be had here


def filled(text: str) -> str:
    """Return a text of the page for the Python that is to be had here."""
    assert SHOWN in text or DIGITS in text or "shipit" in text
    return text.replace(SHOWN, MINOR).replace(f"cp{DIGITS}", f"cp{MINOR.replace('.', '')}")


def run(script: str, folder: Path, environment: dict[str, str]) -> str:
    done = guides.play(script, folder, environment)
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout


def test_a_bundle_has_the_python_that_the_guide_names(tmp_path: Path) -> None:
    archive = relocatable.write(tmp_path / "mirror/20300101", is_whole=True)
    project = write_project(tmp_path / "project", "orders")
    server = Recipe("uvicorn", "0.54.0", scripts={"uvicorn": "uvicorn:main"})
    write_lock(project / "requirements.lock", [write_wheel(project / "wheels", server)])
    write_wheel(project / "wheels", Recipe("pip", "24.0"))
    (playbook,) = guides.blocks("newer-python", "yaml")
    given = "wheelhouse: wheels\ninstaller: pip\n"  # no index is needed for what is tested here
    (project / "prod.yaml").write_text(filled(playbook) + given)
    (project / "inventory.yaml").write_text("web: {hosts: {web1: {}}}\n")
    environment = relocatable.mirror(tmp_path, archive)
    environment["SHIPIT_CACHE_DIR"] = str(tmp_path / "cache")
    scripts = [filled(each) for each in guides.scripts("newer-python") if " deploy " not in each]
    assert [each.split()[1] for each in scripts] == ["lint", "build", "inspect"]
    said = [run(script, project, environment) for script in scripts]
    assert archive.name in said[-1]
