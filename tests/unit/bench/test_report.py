"""The tables and the plot of docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from bench import report
from bench.meter import Figures
from bench.report import Row
from bench.tools.floor import Floor
from bench.tools.shipit import Shipit

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = Path(__file__).parents[3] / "docs/performance.md"
SECONDS = {"floor": 1.0, "shipit": 2.0, "Ansible": 30.0}


def rows(actions: Sequence[str] = ("cold", "warm"), hosts: int = 1) -> list[Row]:
    return [
        Row(tool, hosts, 25, action, Figures(seconds, 0.5, 1.5, 80, 1_000_000, 500_000, 9, 1))
        for action in actions
        for tool, seconds in SECONDS.items()
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "performance.md").write_text(PAGE.read_text())
    return tmp_path


def test_a_table_has_each_action_with_the_others_as_multiples_of_shipit(folder: Path) -> None:
    report.write(folder, rows(), [Floor(), Shipit()], "pyinfra==3.10.0\n")
    lines = (folder / "performance.md").read_text().splitlines()
    table = lines[lines.index("### 1 host, 25 ms") :]
    assert table[2:4] == ["| | floor | shipit | Ansible |", "|---|---|---|---|"]
    assert [line.split(" | ")[0] for line in table[4:6]] == ["| cold", "| warm"]
    cells = [cell.partition("<br>")[0] for cell in table[4].split(" | ")[1:]]
    assert cells == ["1.00 s (0.50x)", "2.00 s", "30.00 s (15.00x)"]
    assert "9 turns, 1.5 MB" in table[4]


def test_only_what_stands_between_the_marks_is_replaced(folder: Path) -> None:
    for hosts in (1, 10):
        report.write(folder, rows(hosts=hosts), [Floor()], "")
    text, before = (folder / "performance.md").read_text(), PAGE.read_text()
    assert "### 10 hosts" in text
    assert "### 1 host," not in text
    begin, end = "<!-- written by make bench -->", "<!-- end -->"
    assert text.partition(begin)[0] == before.partition(begin)[0]
    assert text.partition(end)[2] == before.partition(end)[2]


def test_the_plot_has_a_bar_for_each_tool_and_action(folder: Path) -> None:
    report.write(folder, rows(), [], "")
    plot = ET.fromstring((folder / "performance.svg").read_text())  # noqa: S314 - our own
    bars = [float(each.attrib["width"]) for each in plot if each.tag.endswith("rect")]
    assert len(bars) == len(rows())
    assert max(bars) == pytest.approx(30 * min(bars), rel=0.01)
