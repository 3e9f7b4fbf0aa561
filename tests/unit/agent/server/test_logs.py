"""Logs come in whole lines and in order, and no line is too long for the memory of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.host import log_reader
from shipit.agent.protocol import messages
from shipit.agent.protocol.messages import AskLogs
from shipit.agent.records import releases
from shipit.agent.server import logs
from shipit.agent.system import process
from shipit.agent.system.failures import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LIMIT = logs.LINE_LIMIT


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def asked(
    simulation: Simulation, service: str = "", services: tuple[str, ...] = ("web",)
) -> list[str]:
    ask = AskLogs(10, follow=False, service=service, services=services)
    return list(logs.unit_names(simulation.paths, ask))


def test_a_failed_first_release_has_logs_though_nothing_is_left_of_it(
    simulation: Simulation,
) -> None:
    simulation.machine.sick.add("r1")
    simulation.deploy(manifest(simulation.paths, "r1", overlaps=True))
    assert releases.listed(simulation.paths) == []
    assert {"app-web.service", "app-web@trial.service", "app-web@*.service"} <= set(
        asked(simulation)
    )


def test_a_failed_release_has_logs_of_a_service_that_only_it_had(simulation: Simulation) -> None:
    simulation.deploy(manifest(simulation.paths, "r1"))
    simulation.machine.sick.add("r2")
    simulation.deploy(manifest(simulation.paths, "r2", worker=True))
    assert "app-worker.service" in asked(simulation)
    assert asked(simulation, "worker")[0] == "app-worker.service"


def test_the_logs_of_all_services_have_those_of_shipit_and_of_one_service_no_others(
    simulation: Simulation,
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1", worker=True, overlaps=True))
    everything, worker = asked(simulation), asked(simulation, "worker")
    assert {"app-web@r1.service", "app-worker.service", simulation.paths.unit} <= set(everything)
    assert all(name.startswith("app-worker") for name in worker)


def test_before_anything_was_tried_there_are_no_logs(simulation: Simulation) -> None:
    with pytest.raises(Refused) as refused:
        asked(simulation)
    assert refused.value.failure.code == "nothing-deployed"


def test_a_service_that_no_release_and_no_playbook_has_is_refused_with_those_there_are(
    simulation: Simulation,
) -> None:
    simulation.deploy(manifest(simulation.paths, "r1", worker=True))
    with pytest.raises(Refused) as refused:
        asked(simulation, "wbe", ("web", "cron"))
    assert refused.value.failure.code == "unknown-service"
    assert refused.value.failure.hint == "its services are: cron, web, worker"


def test_no_name_of_a_service_reaches_the_host_that_is_a_pattern() -> None:
    header = messages.pack(AskLogs(10, follow=False, services=("*",)))
    with pytest.raises(messages.ProtocolError, match="services"):
        messages.unpack(header)


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb", b"c\nd\n"], [b"a\n", b"bc\nd\n"]),
        ([b"a\nb"], [b"a\n", b"b"]),
        ([], []),
        ([b"\n"], [b"\n"]),
    ],
)
def test_lines_are_passed_on_whole(chunks: Sequence[bytes], lines: Sequence[bytes]) -> None:
    assert list(logs.whole_lines(chunks)) == lines


def test_a_line_that_does_not_end_is_cut_and_the_next_one_is_whole() -> None:
    def endless() -> Iterator[bytes]:
        yield b"before\n"
        yield b"x" * (LIMIT - 1)
        for _ in range(1000):
            yield b"y" * LIMIT
        yield b"the end\nafter\n"

    before, cut, after = logs.whole_lines(endless())
    assert (before, after) == (b"before\n", b"after\n")
    assert cut == b"x" * (LIMIT - 1) + b"y" + logs.CUT


def test_a_log_that_begins_with_its_newest_entry_is_turned_round() -> None:
    reported = "2026 c\n2026 b\n     b, too\n2026 a\n"
    assert log_reader.in_order(reported) == "2026 a\n2026 b\n     b, too\n2026 c\n"


def test_of_a_log_that_is_too_long_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    newest_first = "".join(f"2026 line {number:04}\n" for number in range(1000, 0, -1))

    def journalctl(_argv: object, *, keep: int, keep_start: bool, **_: object) -> process.Done:
        assert keep_start
        return process.Done(0, f"{newest_first[:keep]}\n[... and more]")

    monkeypatch.setattr(log_reader, "run", journalctl)
    reported = log_reader.last("app.service", 0.0, 2).splitlines()
    assert reported[0] == "[... and more]"
    assert reported[-2:] == ["2026 line 0999", "2026 line 1000"]
    assert reported[2:] == sorted(reported[2:])
