"""What a rehearsal refuses at once. How it plays: tests/hosts/test_rehearse.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from shipit.errors import InputError
from shipit.events import Event, Noted
from shipit.lab.lab import LabError
from shipit.rehearsal.providers import nspawn, vagrant
from shipit.rehearsal.run import PROVIDERS, MachineChoice, _refuse_if_unwritable, rehearse
from shipit.release.inputs import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from shipit.rehearsal.providers.base import Machines

PLAYBOOK = """
hosts: web
app: tinyapp
wheel: tinyapp-1.0.0-py3-none-any.whl
lock: requirements.lock
wheelhouse: wheels
services: {web: {command: tinyapp, socket: 8000}}
health: [http: http://127.0.0.1:8000/healthz]
"""


def test_an_unknown_provider_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no provider 'docker'.*\n.*known: nspawn, vagrant"):
        rehearse(
            RunOptions(tmp_path / "playbook.yaml"),
            list[Event]().append,
            choice=MachineChoice("docker"),
        )


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        (MachineChoice("nspawn", "potato"), LabError, r"no suite 'potato'.*\n.*bullseye, bookworm"),
        (MachineChoice("vagrant", "bullseye"), InputError, r"vagrant takes no --suite"),
    ],
)
def test_a_suite_that_can_t_be_is_refused(
    tmp_path: Path, choice: MachineChoice, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append, choice=choice)


def test_where_nothing_can_be_booted_the_way_by_vagrant_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # so that no command of a lab is there
    with pytest.raises(LabError, match=r"no machines can be booted here: .*mmdebstrap") as refused:
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append)
    assert "--provider vagrant" in refused.value.hint


def test_where_vagrant_is_missing_it_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = RunOptions(tmp_path / "playbook.yaml")
    with pytest.raises(LabError, match=r"vagrant and ssh can't be found") as refused:
        rehearse(run, list[Event]().append, choice=MachineChoice("vagrant"))
    assert "https://developer.hashicorp.com/vagrant/install" in refused.value.hint
    assert "nspawn" not in refused.value.hint  # which can't run here either


def test_the_other_provider_is_offered_only_where_it_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vagrant, "obstacles", list[str])  # the machine: as if a lab could be booted
    with pytest.raises(LabError) as refused:
        vagrant.PROVIDER.refuse()
    assert refused.value.hint.endswith("rehearse without it: --provider nspawn")


def test_a_report_that_can_t_be_written_is_told_before_anything_is_played(tmp_path: Path) -> None:
    for report in (tmp_path, tmp_path / "nowhere" / "report.html"):
        with pytest.raises(InputError, match="the report can't be written here"):
            _refuse_if_unwritable(report)
    _refuse_if_unwritable(tmp_path / "report.html")


def test_an_older_report_does_not_outlive_a_rehearsal_that_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    willing = replace(nspawn.PROVIDER, refuse=lambda: None)
    monkeypatch.setitem(PROVIDERS, "nspawn", willing)
    older = (tmp_path / "report.html", tmp_path / "report.txt")
    for path in older:
        path.write_text("as expected")
    with pytest.raises(InputError):
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append, report=older[0])
    assert not any(path.exists() for path in older)
    link = tmp_path / "stdout"
    link.symlink_to("/dev/null")
    with pytest.raises(InputError):
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append, report=link)
    assert link.is_symlink()


@pytest.fixture
def told_of_casting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what is told before the machines are made, with these hosts in the group."""

    def up(names: Sequence[str], folder: Path, tell: Callable[[str], None]) -> Machines:
        raise LabError("enough", "no machine is made here")

    provider = replace(nspawn.PROVIDER, refuse=lambda: None, up=up)
    monkeypatch.setitem(PROVIDERS, "nspawn", provider)
    wheelhouse.tinyapp_wheel(tmp_path, "1.0.0", "", ())
    wheelhouse.write_lock(tmp_path / "requirements.lock", [])
    (tmp_path / "wheels").mkdir()

    def told(inventory: str, playbook: str = PLAYBOOK) -> list[str]:
        path, events = tmp_path / "inventory.yaml", list[Event]()
        path.write_text(inventory)
        (tmp_path / "playbook.yaml").write_text(playbook)
        with pytest.raises(LabError, match="no machine is made here"):
            rehearse(RunOptions(tmp_path / "playbook.yaml", (path,)), events.append)
        return [event.text for event in events if isinstance(event, Noted)]

    return told


def test_a_group_that_has_none_of_the_playbook_s_hosts_is_noted(
    told_of_casting: Callable[..., list[str]],
) -> None:
    hosts = "web: {hosts: {web1: , web2: }}"
    astray = told_of_casting(f"{hosts}\nrehearsal: {{hosts: {{db1: }}}}\n")
    assert astray[0].startswith("no host of the playbook is in the group rehearsal")
    assert astray[1].endswith(": web1, web2")
    (booting,) = told_of_casting(f"{hosts}\nrehearsal: {{hosts: {{web2: }}}}\n")
    assert booting.endswith(": web2")


def test_a_playbook_that_no_act_can_change_is_refused_before_a_machine_is_made(
    told_of_casting: Callable[..., list[str]],
) -> None:
    whole = PLAYBOOK.replace("{web: {command: tinyapp, socket: 8000}}", '"{{ services_of_us }}"')
    variables = "{env_of_us: {}, services_of_us: {web: {command: tinyapp, socket: 8000}}}"
    inventory = f"web: {{hosts: {{web1: }}, vars: {variables}}}\n"
    with pytest.raises(InputError, match="rehearsal-env"):
        told_of_casting(inventory, whole + 'env: "{{ env_of_us }}"\n')
