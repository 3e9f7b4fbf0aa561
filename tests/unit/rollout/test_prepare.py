"""One machine under two names of an inventory is reported as such, before any change there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from fake_fleet import Fleet, Liar
from shipit.agent.protocol import messages
from shipit.agent.server import facts
from shipit.commands import deploy, inspect
from shipit.events import HostFailed, Outcome, Problem, RunEnded
from shipit.transport import connect
from unit.rollout.test_lying_host import HOSTS, impatient, run  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from pathlib import Path

    from shipit.events import Event
    from shipit.release.inputs import RunOptions


def says(digest: str) -> Liar:
    return Liar(messages.Facts, lambda honest: [replace(honest, machine_digest=digest)])


def rolled_back(
    run: RunOptions,  # noqa: F811
    names: dict[str, Liar],
    monkeypatch: pytest.MonkeyPatch,
) -> list[Event]:
    monkeypatch.setattr(connect, "connect", Fleet(names).connect)
    reported: list[Event] = []
    deploy.rollback(run, reported.append)
    return reported


def test_all_names_of_one_machine_are_refused_with_each_other(
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"web1": says("aa"), "web2": says("bb"), "web3": says("aa"), "web4": says("cc")}
    reported = rolled_back(run, names, monkeypatch)
    problems = [event.problem for event in reported if isinstance(event, HostFailed)]
    assert [(problem.host, problem.code) for problem in problems] == [
        ("web1", "same-machine"),
        ("web3", "same-machine"),
    ]
    assert "web1, web3 are names of one machine" in problems[0].what
    [ended] = [event for event in reported if isinstance(event, RunEnded)]
    assert {result.outcome for result in ended.hosts.values()} == {Outcome.DISCARDED}


@pytest.mark.parametrize("digests", [("aa", "bb", "cc", "dd"), ("", "", "", "")])
def test_machines_of_their_own_and_unknown_ones_are_not(
    digests: tuple[str, ...],
    run: RunOptions,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {name: says(digest) for name, digest in zip(HOSTS, digests, strict=True)}
    reported = rolled_back(run, names, monkeypatch)
    [ended] = [event for event in reported if isinstance(event, RunEnded)]
    assert ended.exit_status == 0


def test_a_look_at_both_names_is_answered(run: RunOptions, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(connect, "connect", Fleet(dict.fromkeys(HOSTS, says("aa"))).connect)
    [(_, answers)] = inspect.status(run, lambda _: None)
    assert not any(isinstance(answer, Problem) for answer in answers.values())


def test_a_machine_is_known_by_its_id_boot_and_container_and_reveals_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(**of: str) -> str:
        for name, content in {"id": "1" * 32, "boot": "b1", "container": "mnt:[1]", **of}.items():
            path = tmp_path / name
            path.unlink(missing_ok=True)
            if name == "container":
                path.symlink_to(content)
            else:
                path.write_text(content + "\n")
        return facts.machine_digest()

    monkeypatch.setattr(facts, "MACHINE_ID", str(tmp_path / "id"))
    monkeypatch.setattr(facts, "BOOT_ID", str(tmp_path / "boot"))
    monkeypatch.setattr(facts, "FIRST_PROCESS", str(tmp_path / "container"))
    made = digest()
    assert made == digest()
    assert re.fullmatch("[0-9a-f]{64}", made)
    changes: list[dict[str, Any]] = [{"id": "2" * 32}, {"boot": "b2"}, {"container": "mnt:[2]"}]
    assert len({made, *(digest(**each) for each in changes)}) == len(changes) + 1


def test_a_machine_without_an_identity_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "BOOT_ID", "/nowhere")
    assert facts.machine_digest() == ""
