"""The unit that watches: installed once, started by each commit, bounded in every way."""

from __future__ import annotations

from pathlib import Path

import pytest

from fake_deploy import Simulation, manifest
from shipit.agent.activation import watch_unit
from shipit.agent.protocol.manifest import Watch
from shipit.agent.system.failures import Refused
from shipit.agent.system.process import Done

ARGV = ["/usr/bin/python3", "-I", "-S", "/var/a.pyz", "watch", "app", "/opt/100%"]

ENDED_BY_SYSTEMD = ("KillSignal", "SuccessExitStatus", "RestartPreventExitStatus")


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation.at(tmp_path)


def written(simulation: Simulation, seconds: float = 600.0) -> str:
    gate = manifest(simulation.paths, "r1").gate
    return watch_unit.text(simulation.paths, Watch(seconds, 30.0), gate, ARGV)


def test_it_ends_by_itself_and_is_started_again_a_few_times(simulation: Simulation) -> None:
    lines = written(simulation).splitlines()
    # The gate's deadline, the watch, ten more looks with their check, an hour after a failure, and
    # something to spare.
    assert f"RuntimeMaxSec={5 + 600 + 10 * (30 + 5) + 3600 + 120}" in lines
    assert {"Restart=on-failure", "StartLimitBurst=5", "Type=exec"} <= set(lines)
    # One that hangs is no failure to start again after.
    assert {f"{key}=SIGALRM" for key in ENDED_BY_SYSTEMD} <= set(lines)
    assert lines.count("After=multi-user.target") == 1
    assert "ExecStart=/usr/bin/python3 -I -S /var/a.pyz watch app /opt/100%%" in lines


def test_systemd_reads_it_again_only_if_it_has_changed(simulation: Simulation) -> None:
    paths, machine = simulation.paths, simulation.machine
    for text in (written(simulation), written(simulation), written(simulation, 60.0)):
        watch_unit.start(paths, machine, text)
    calls = [call.partition(": ")[2] for call in machine.calls]
    again = "reset-failed shipit-watch@app.service", "restart --no-block shipit-watch@app.service"
    assert calls == ["daemon-reload", *again, *again, "daemon-reload", *again]
    assert Path(paths.wants(paths.watch_unit)).resolve() == Path(paths.watch_unit)


def test_a_unit_that_does_not_start_is_reported(
    simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation.machine, "_restart", lambda _: Done(1, "no"))
    with pytest.raises(Refused) as refused:
        watch_unit.start(simulation.paths, simulation.machine, written(simulation))
    assert refused.value.failure.code == "watch-not-started"


def test_nothing_is_asked_of_systemd_where_nothing_was_watched(simulation: Simulation) -> None:
    watch_unit.remove(simulation.paths, simulation.machine)
    assert simulation.machine.calls == []
    watch_unit.start(simulation.paths, simulation.machine, written(simulation))
    watch_unit.remove(simulation.paths, simulation.machine)
    assert not simulation.machine.watches
    assert list(Path(simulation.paths.units).rglob("shipit-watch@*")) == []
