"""Lay out the end of a run. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shipit.output import messages
from shipit.output.layout import Grid, Line, Part

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shipit.events import HostResult, Outcome, RunEnded
    from shipit.output.progress import Row

MIXED = 5  # the exit status
FULL_TABLE = 40  # hosts; of a larger fleet only the unwanted outcomes are listed


def ending(ended: RunEnded, rows: Mapping[str, Row]) -> list[Part]:
    """Return the table of hosts, one line on each failure, and a one-sentence summary."""
    wanted = {host for host, result in ended.hosts.items() if result.outcome.is_wanted}
    shown = [
        (host, result)
        for host, result in ended.hosts.items()
        if host not in wanted or len(ended.hosts) <= FULL_TABLE
    ]
    parts: list[Part] = [Line("")]
    if shown:
        took = {host: messages.seconds(rows[host].seconds) for host, _ in shown if host in rows}
        cells = [
            (host, str(result.outcome), result.release or "-", took.get(host, "-"), _why(result))
            for host, result in shown
        ]
        styles = [_outcome_style(result.outcome) for _, result in shown]
        headings = ("host", "outcome", "release", "time", "why")
        used = len(headings) if any(cell[-1] for cell in cells) else -1
        parts.append(Grid(headings[:used], [cell[:used] for cell in cells], styles))
    if left_out := len(ended.hosts) - len(shown):
        parts.append(Line(f"and {messages.count(left_out, 'host')} as wanted", "quiet"))
    parts += [
        Line(messages.host_summary(host, result), _outcome_style(result.outcome))
        for host, result in ended.hosts.items()
        if result.outcome.needs_operator or (host not in wanted and result.problem)
    ]
    took_all = f" ({messages.seconds(ended.seconds)})" if ended.seconds else ""
    if ended.mixed_seconds:
        lasted = messages.seconds(ended.mixed_seconds)
        are = "have been" if ended.exit_status == MIXED else "were"
        parts.append(Line(f"two releases {are} in use for {lasted}", "quiet"))
    style = "good" if ended.exit_status == 0 else "bad"
    parts.append(Line(messages.verdict(ended) + took_all, style))
    return [*parts, Line(f"next: {ended.advice}", "strong")] if ended.advice else parts


def _why(result: HostResult) -> str:
    """Return why a host did not end as wanted, in a few words; its problem has a line below."""
    return result.because or (result.problem.code if result.problem else "")


def _outcome_style(outcome: Outcome) -> str:
    if outcome.is_wanted:
        return "good"
    return "bad" if outcome.needs_operator else "warn"
