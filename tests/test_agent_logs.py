"""Logs come in whole lines and in order, and no line is too long for the memory of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.agent import logs, process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIMIT = logs.LINE_LIMIT


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
    told = "2026 c\n2026 b\n     b, too\n2026 a\n"
    assert logs.in_order(told) == "2026 a\n2026 b\n     b, too\n2026 c\n"


def test_of_a_log_that_is_too_long_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    newest_first = "".join(f"2026 line {number:04}\n" for number in range(1000, 0, -1))

    def journalctl(_argv: object, *, keep: int, keep_start: bool, **_: object) -> process.Done:
        assert keep_start
        return process.Done(0, f"{newest_first[:keep]}\n[... and more]")

    monkeypatch.setattr(logs, "run", journalctl)
    told = logs.last("app.service", 0.0, 2).splitlines()
    assert told[0] == "[... and more]"
    assert told[-2:] == ["2026 line 0999", "2026 line 1000"]
    assert told[2:] == sorted(told[2:])
