"""A deploy to simulated hosts is one to the controller: real ssh, real messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fleet.__main__ import Figures, measured, prepare, simulated, table

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_each_host_is_deployed_to_once_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ".:tests:tests/support")
    with simulated() as (port, key):
        prepare(tmp_path, 3, port, key)
        done = [measured(action, 3, tmp_path, "2") for action in ("deploy", "no-op")]
    assert [(each.action, each.hosts) for each in done] == [("deploy", 3), ("no-op", 3)]
    assert all(each.cpu > 0 and each.memory > 0 for each in done)


def test_a_further_host_costs_what_the_smallest_fleet_does_not() -> None:
    found = [Figures("deploy", 1, 2.0, 1.0, 80.0), Figures("deploy", 101, 10.0, 3.0, 100.0)]
    heads, _, *rows = table(found)
    assert heads.count("|") == rows[0].count("|") == rows[1].count("|")
    assert rows == [
        "| deploy | 1 | 2.0 | 0 | 1.0 |  | 80 |  |",
        "| deploy | 101 | 10.0 | 10 | 3.0 | 0.020 | 100 | 0.20 |",
    ]
