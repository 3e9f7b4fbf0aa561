"""Lay out what was measured, for a terminal and for docs/performance.md. Pure but for `write`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.meter import Figures
    from bench.tools.base import Tool

FLOOR, OURS = "floor", "shipit"
WRITTEN = re.compile(r"(<!-- written by make bench -->\n).*(<!-- end -->)", re.DOTALL)
BAR, ROW, LEFT, SCALE = 18, 26, 90, 560  # pixels of the plot
COLOURS = {FLOOR: "#9aa0a6", OURS: "#1a73e8"}


@dataclass(frozen=True)
class Row:
    """What one action took with one tool on so many hosts; the round-trip time is in ms."""

    tool: str
    hosts: int
    rtt: int
    action: str
    figures: Figures


def line(row: Row) -> str:
    """Return a row for the terminal."""
    it = row.figures
    return (
        f"{row.hosts:3} hosts {row.rtt:4} ms  {row.action:9}{row.tool:9}{it.seconds:7.2f} s"
        f"  cpu {it.cpu:5.2f} s  hosts {it.host_cpu:6.2f} s  {it.memory:5.0f} MB"
        f"  {it.sent / 1e6:7.2f} MB sent  {it.turns:4.0f} turns  {it.connections:3.0f} connections"
    )


def write(folder: Path, rows: Sequence[Row], tools: Sequence[Tool], peers: str) -> None:
    """Write the tables and the plot into docs/performance.md and docs/performance.svg."""
    page = folder / "performance.md"
    shown = "![wall time of each action](performance.svg)"
    text = "\n".join([*_tools(tools, peers), shown, "", *_tables(rows)])
    page.write_text(WRITTEN.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page.read_text()))
    (folder / "performance.svg").write_text(plot(rows))


def _tools(tools: Sequence[Tool], peers: str) -> Iterator[str]:
    yield from (f"- **{tool.name}**: {tool.about}" for tool in tools)
    yield f"- versions: {', '.join(peers.split())}"
    yield ""


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table for each number of hosts and round-trip time."""
    for hosts, rtt in dict.fromkeys((row.hosts, row.rtt) for row in rows):
        some = [row for row in rows if (row.hosts, row.rtt) == (hosts, rtt)]
        yield f"### {hosts} {'host' if hosts == 1 else 'hosts'}, {rtt} ms"
        yield ""
        yield "| | " + " | ".join(tool for tool in _names(some)) + " |"
        yield "|---|" + "---|" * len(_names(some))
        for action in dict.fromkeys(row.action for row in some):
            yield f"| {action} | " + " | ".join(_cells(some, action)) + " |"
        yield ""


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.tool for row in rows))


def _cells(rows: Sequence[Row], action: str) -> Iterator[str]:
    """Yield seconds, how often shipit fits into them, and what else it took."""
    by_tool = {row.tool: row.figures for row in rows if row.action == action}
    ours = by_tool.get(OURS)
    for name in _names(rows):
        it = by_tool[name]
        ratio = f" ({it.seconds / ours.seconds:.2f}x)" if ours and name != OURS else ""
        yield (
            f"{it.seconds:.2f} s{ratio}<br>CPU {it.cpu:.2f} + {it.host_cpu:.2f} s"
            f"<br>{it.turns:.0f} turns, {(it.sent + it.received) / 1e6:.1f} MB"
        )


def plot(rows: Sequence[Row]) -> str:
    """Return bars of the wall time, an action below the other: fewest hosts, middle round trip."""
    times = sorted({row.rtt for row in rows})
    hosts, rtt = min(row.hosts for row in rows), times[len(times) // 2]
    some = [row for row in rows if (row.hosts, row.rtt) == (hosts, rtt)]
    longest = max(row.figures.seconds for row in some)
    parts, y = [], 20
    for action in dict.fromkeys(row.action for row in some):
        parts.append(f'<text x="0" y="{y}" font-weight="bold">{action}</text>')
        y += 8
        for row in [row for row in some if row.action == action]:
            width = SCALE * row.figures.seconds / longest
            colour = COLOURS.get(row.tool, "#dadce0")
            middle = y + BAR - 5
            parts.append(
                f'<text x="0" y="{middle}">{row.tool}</text>'
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'
                f'<text x="{LEFT + width + 6:.1f}" y="{middle}">{row.figures.seconds:.2f} s</text>'
            )
            y += ROW
        y += ROW
    style = 'font-family="sans-serif" font-size="13" fill="#202124"'
    size = f'width="{LEFT + SCALE + 80}" height="{y}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>\n'
