"""What a rehearsal rejects before it boots a machine. The rest: tests/hosts/test_rehearse.py."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import wheelhouse
from shipit.errors import InputError
from shipit.events import Event, Noted
from shipit.lab.commands import LabError
from shipit.rehearsal.providers import nspawn, vagrant
from shipit.rehearsal.providers.base import MachineChoice
from shipit.rehearsal.run import PROVIDERS, _prepare_report, rehearse
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


def test_an_unknown_provider_is_rejected_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no provider 'docker'.*\n.*known: nspawn, vagrant"):
        rehearse(
            RunOptions(tmp_path / "playbook.yaml"),
            list[Event]().append,
            choice=MachineChoice("docker"),
        )


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        (MachineChoice("nspawn", "potato"), LabError, r"no suite 'potato'.*\n.*bullseye, bookworm"),
        (MachineChoice("vagrant", "bullseye"), InputError, r"vagrant takes no --suite"),
    ],
)
def test_an_unsupported_suite_is_rejected(
    tmp_path: Path, choice: MachineChoice, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append, choice=choice)


def test_where_no_machine_can_be_booted_vagrant_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # so that no command of a lab is there
    with pytest.raises(
        LabError, match=r"no machines can be booted here: .*mmdebstrap"
    ) as error_info:
        rehearse(RunOptions(tmp_path / "playbook.yaml"), list[Event]().append)
    assert "--provider vagrant" in error_info.value.hint


def test_where_vagrant_is_missing_the_hint_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = RunOptions(tmp_path / "playbook.yaml")
    with pytest.raises(LabError, match=r"vagrant and ssh can't be found") as error_info:
        rehearse(run, list[Event]().append, choice=MachineChoice("vagrant"))
    assert "https://developer.hashicorp.com/vagrant/install" in error_info.value.hint
    assert "nspawn" not in error_info.value.hint  # which can't run here either


def test_the_other_provider_is_suggested_only_where_it_can_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(vagrant, "obstacles", list[str])  # the machine: as if a lab could be booted
    with pytest.raises(LabError) as error_info:
        vagrant.PROVIDER.check()
    assert error_info.value.hint.endswith("rehearse without it: --provider nspawn")


def test_an_unwritable_report_is_rejected_before_anything_runs(tmp_path: Path) -> None:
    for report in (tmp_path, tmp_path / "nowhere" / "report.html"):
        with pytest.raises(InputError, match="the report can't be written here"):
            _prepare_report(report)
    _prepare_report(tmp_path / "report.html")


def test_an_older_report_is_deleted_even_if_the_rehearsal_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    willing = replace(nspawn.PROVIDER, check=lambda: None)
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
def notes_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return the notes that are printed before the machines boot, with this inventory."""

    def up(names: Sequence[str], folder: Path, report: Callable[[str], None]) -> Machines:
        raise LabError("enough", "no machine is made here")

    provider = replace(nspawn.PROVIDER, check=lambda: None, up=up)
    monkeypatch.setitem(PROVIDERS, "nspawn", provider)
    wheelhouse.tinyapp_wheel(tmp_path, "1.0.0", "", ())
    wheelhouse.write_lock(tmp_path / "requirements.lock", [])
    (tmp_path / "wheels").mkdir()

    def notes(inventory: str, playbook: str = PLAYBOOK) -> list[str]:
        path, events = tmp_path / "inventory.yaml", list[Event]()
        path.write_text(inventory)
        (tmp_path / "playbook.yaml").write_text(playbook)
        with pytest.raises(LabError, match="no machine is made here"):
            rehearse(RunOptions(tmp_path / "playbook.yaml", (path,)), events.append)
        return [event.text for event in events if isinstance(event, Noted)]

    return notes


def test_a_rehearsal_group_without_hosts_of_the_playbook_is_noted(
    notes_of: Callable[..., list[str]],
) -> None:
    hosts = "web: {hosts: {web1: , web2: }}"
    no_match = notes_of(f"{hosts}\nrehearsal: {{hosts: {{db1: }}}}\n")
    assert no_match[0].startswith("no host of the playbook is in the group rehearsal")
    assert no_match[1].endswith(": web1, web2")
    (booting,) = notes_of(f"{hosts}\nrehearsal: {{hosts: {{web2: }}}}\n")
    assert booting.endswith(": web2")


def test_a_playbook_that_no_step_can_change_is_rejected_before_a_machine_boots(
    notes_of: Callable[..., list[str]],
) -> None:
    whole = PLAYBOOK.replace("{web: {command: tinyapp, socket: 8000}}", '"{{ services_of_us }}"')
    variables = "{env_of_us: {}, services_of_us: {web: {command: tinyapp, socket: 8000}}}"
    inventory = f"web: {{hosts: {{web1: }}, vars: {variables}}}\n"
    with pytest.raises(InputError, match="rehearsal-env"):
        notes_of(inventory, whole + 'env: "{{ env_of_us }}"\n')
