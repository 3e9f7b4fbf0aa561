"""What is reported of a folder that a program downloads into."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shipit.events import Event, Fetching
from shipit.project.fetching import growth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_all_files_below_it_count_and_a_failure_is_its_end_too(tmp_path: Path) -> None:
    reported, folder = list[Event](), tmp_path / "unfinished"

    def fail() -> None:
        with growth.reported(folder, "fetching x", reported.append) as look:
            fill(look)

    def fill(look: Callable[[], None]) -> None:
        look()
        (folder / "a").mkdir()
        (folder / "a" / "b.whl").write_bytes(b"123")
        (folder / "c").write_bytes(b"12")
        look()
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert reported == [
        Fetching("fetching x"),
        Fetching("fetching x", 5),
        Fetching("fetching x", is_over=True),
    ]
