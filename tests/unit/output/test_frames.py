from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from shipit.errors import Mistake, Place
from shipit.output.frames import LARGEST, WIDEST, Sources, drawn

TEXT = "app: demoapp\nservices:\n  web: {command: serve}\nkeep_releases: 0\n"


def unmasked(text: str) -> str:
    return text


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    path = tmp_path / "prod.yaml"
    path.write_text(TEXT)
    return path


def framed(path: Path, line: int = 4, column: int = 16, code: str = "playbook-value") -> list[str]:
    mistake = Mistake(code, "what", Place(str(path), line, column))
    return Sources(time.time()).frame(mistake, 80, unmasked)


# --- how a line is drawn -----------------------------------------------------------------------


def test_a_line_is_shown_with_a_caret_under_the_column() -> None:
    assert drawn("  keep_releases: 0", 12, 18) == [
        "   |",
        "12 |   keep_releases: 0",
        "   |                  ^",
    ]


def test_without_a_column_there_is_no_caret() -> None:
    assert drawn("level = {{ levle }}", 3, 0) == ["  |", "3 | level = {{ levle }}"]


@pytest.mark.parametrize(
    ("text", "column", "shown", "caret"),
    [
        ("\tname: x", 2, "    name: x", "    ^"),
        ("名前: x", 5, "名前: x", "      ^"),
        ("cafe\u0301: x", 8, "cafe\u0301: x", "      ^"),
        ("a\x1b[2J: x", 8, r"a\x1b[2J: x", "          ^"),
        ("\u202ea: x", 2, r"\u202ea: x", "      ^"),
        ("name:", 6, "name:", "     ^"),
    ],
)
def test_the_caret_stands_under_its_character(
    text: str, column: int, shown: str, caret: str
) -> None:
    assert [line[4:] for line in drawn(text, 1, column)[1:]] == [shown, caret]


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (1, "0123456789012345678901234…"),
        (25, "…234567890123456789012345…"),
        (51, "…5678901234567890123456789"),
    ],
)
def test_of_a_long_line_the_part_around_the_column_is_shown(column: int, shown: str) -> None:
    _, line, caret = drawn("0123456789" * 5, 1, column, width=30)
    assert line[4:] == shown
    assert column == 51 or line[caret.index("^")] == str((column - 1) % 10)


@given(
    text=st.text("ab名\t\u0301\x1b\u202e", max_size=400),
    column=st.integers(1, 401),
    width=st.integers(20, 200),
)
def test_no_frame_is_wider_than_it_may_be(text: str, column: int, width: int) -> None:
    for line in drawn(text, 7, min(column, len(text) + 1), width):
        assert cell_len(line) <= min(width, WIDEST) + 1  # the caret may stand behind the end


# --- which lines have a frame ------------------------------------------------------------------


def test_a_mistakes_line_is_read_from_its_file(playbook: Path) -> None:
    assert framed(playbook) == ["  |", "4 | keep_releases: 0", "  |                ^"]


def test_what_may_be_secret_is_left_out(playbook: Path) -> None:
    playbook.write_text("keep_relases: hunter2\n")
    assert framed(playbook, 1, 1) == ["  |", "1 | keep_relases: …", "  | ^"]
    assert framed(playbook, 1, 15) == []
    assert framed(playbook, 1, 0) == []


def test_a_line_with_a_known_secret_has_no_frame(playbook: Path) -> None:
    mistake = Mistake("playbook-value", "what", Place(str(playbook), 4, 1))
    sources = Sources(time.time())
    assert sources.frame(mistake, 80, unmasked)
    assert sources.frame(mistake, 80, lambda text: text.replace("releases", "***")) == []


def test_a_mistake_without_a_line_has_no_frame(playbook: Path) -> None:
    sources = Sources(time.time())
    for place in (None, Place(str(playbook))):
        assert sources.frame(Mistake("playbook-value", "what", place), 80, unmasked) == []


@pytest.mark.parametrize(("line", "column"), [(4, 18), (5, 1), (6, 1)])
def test_a_place_that_is_not_in_the_file_has_no_frame(
    playbook: Path, line: int, column: int
) -> None:
    assert framed(playbook, line, column) == []


def test_a_file_that_was_changed_since_the_command_began_has_no_frame(playbook: Path) -> None:
    later = time.time() + 5
    os.utime(playbook, (later, later))
    assert framed(playbook) == []


def test_a_file_that_is_gone_or_none_has_no_frame(playbook: Path) -> None:
    playbook.unlink()
    assert framed(playbook) == []
    playbook.mkdir()
    assert framed(playbook) == []
    assert framed(Path("--extra-vars")) == []
    assert framed(Path("a\0b")) == []


def test_a_named_pipe_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    pipe = tmp_path / "prod.yaml"
    os.mkfifo(pipe)
    assert framed(pipe) == []
    descriptor = os.open(pipe, os.O_RDWR)
    os.write(descriptor, TEXT.encode())
    assert framed(pipe) == []
    assert os.read(descriptor, 1000) == TEXT.encode()
    os.close(descriptor)


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode() + b"\xff",
        TEXT.replace("\n", "\r").encode(),
        TEXT.encode() + "a: \u2028b\n".encode(),
        TEXT.encode() + b"#" * LARGEST,
    ],
    ids=["no text", "old Mac", "other ends of lines", "large"],
)
def test_a_file_whose_lines_may_be_counted_in_another_way_has_no_frame(
    playbook: Path, raw: bytes
) -> None:
    playbook.write_bytes(raw)
    assert framed(playbook) == []


def test_a_byte_order_mark_and_ends_of_lines_of_windows_are_no_part_of_a_line(
    playbook: Path,
) -> None:
    playbook.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert framed(playbook)[1] == "4 | keep_releases: 0"
    assert framed(playbook, 1, 1)[1] == "1 | app: demoapp"
