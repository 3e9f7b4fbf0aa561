"""What can be checked of a release where its wheels or its secrets are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wheelhouse
from shipit.errors import InputError
from shipit.release import offline
from shipit.release.inputs import HostInput, resolve, targets
from shipit.secrets import Secret
from unit.release.test_inputs import wanting

if TYPE_CHECKING:
    from pathlib import Path


def wanted(project: Path, **keys: object) -> list[HostInput]:
    return targets(wanting(project, **keys))[0]


def mistakes(found: list[HostInput]) -> list[str]:
    with pytest.raises(InputError) as caught:
        resolve(found, offline.readers())
    return [mistake.code for mistake in caught.value.mistakes]


def test_a_secret_is_not_fetched(project: Path) -> None:
    secrets = {"A": "env:NOT_SET", "B": "command:touch ran", "C": "file:gone"}
    found = resolve(wanted(project, secrets=secrets), offline.readers())
    assert {secret.reveal() for secret in found[0].secrets.values()} == {"0.0.0-00000000"}
    assert not (project / "ran").exists()


def test_the_one_wheel_that_a_pattern_matches_is_checked(project: Path) -> None:
    services = {"web": {"command": "not-in-the-wheel"}}
    assert mistakes(wanted(project, services=services)) == ["unknown-program"]
    wheelhouse.tinyapp_wheel(project, "2")
    found = wanted(project, services=services)
    assert resolve(found, offline.readers()) == []
    assert list(offline.missing(found)) == [project / "*.whl"]


def test_without_a_wheelhouse_the_lock_and_the_wheel_are_still_checked(project: Path) -> None:
    (project / "tinyapp-1-py3-none-any.whl").write_bytes(b"no zip")
    (project / "lock.txt").write_text("click\n")
    found = wanted(project, wheelhouse="gone")
    assert mistakes(found) == ["not-a-wheel", "not-pinned"]
    assert list(offline.missing(found)) == [project / "gone"]


def test_without_wheels_templates_are_still_tried(project: Path) -> None:
    (project / "app.ini.j2").write_text("{{ nmae }}")
    files = [{"src": "app.ini.j2", "dest": "app.ini"}]
    assert mistakes(wanted(project, wheel="gone.whl", files=files)) == ["template-undefined"]


def test_an_env_file_is_checked_if_it_is_there(project: Path) -> None:
    found = wanted(project, env_file="prod.env")
    assert list(offline.missing(found)) == [project / "prod.env"]
    assert resolve(found, offline.readers())[0].from_files["web"] == {}
    (project / "prod.env").write_text("A=1\n")
    assert resolve(found, offline.readers())[0].from_files["web"] == {"A": Secret("1")}
    (project / "prod.env").write_text("A\n")
    assert mistakes(found) == ["env-file"]
