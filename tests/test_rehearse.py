"""What a rehearsal refuses at once. How it plays: tests/hosts/test_rehearse.py."""

from pathlib import Path

import pytest

from shipit.errors import InputError
from shipit.events import Event
from shipit.lab import LabError
from shipit.rehearse import rehearse
from shipit.wishes import Run


def test_an_unknown_provider_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no provider 'docker'.*\n.*known: nspawn"):
        rehearse(Run(tmp_path / "playbook.yaml"), list[Event]().append, provider="docker")


def test_where_nothing_can_be_booted_the_way_by_vagrant_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # so that no command of a lab is there
    with pytest.raises(LabError, match=r"no machines can be booted here: .*mmdebstrap") as refused:
        rehearse(Run(tmp_path / "playbook.yaml"), list[Event]().append)
    assert "vagrant up" in refused.value.hint
