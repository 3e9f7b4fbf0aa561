from __future__ import annotations

import io
import os

from shipit.output.stream import OutputStream


def test_what_is_written_goes_through_the_mask() -> None:
    stream = io.StringIO()
    OutputStream(stream, str.upper).write("text")
    assert stream.getvalue() == "TEXT"


def test_a_reader_who_leaves_does_not_break_the_writer() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        output = OutputStream(stream, str)
        os.close(reader)
        assert output.write("nobody reads this\n") == 18
        assert not output.is_open
        output.write("nor this\n")
        stream.flush()  # as Python does at its exit


def test_characters_that_the_terminal_lacks_are_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    OutputStream(stream, str).write("caf\u00e9 \u2026\n")
    assert raw.getvalue() == b"caf? ?\n"
