"""docs/support.md says of each distribution what `make support` has played there, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import support_matrix
from hosts import test_suites
from load import wheels
from shipit.lab.image import SUITES
from support_matrix import OWN, Host, Played

if TYPE_CHECKING:
    from pathlib import Path

OLD = Host("bullseye", "Debian GNU/Linux 11 (bullseye)", "247.3-7", "3.9.2")
NEW = Host("trixie", "Debian GNU/Linux 13 (trixie)", "257.8-1", "3.13.5")


def plays(*, with_server: bool) -> set[str]:
    """Return what the tests of all suites play, those of app servers or the others."""
    tests = [each for name, each in vars(test_suites).items() if name.startswith("test_")]
    found = set()
    for test in tests:
        marks = {mark.name: mark.args for mark in getattr(test, "pytestmark", ())}
        takes_server = marks.get("parametrize", [""])[0] == "server"
        if "plays" in marks and takes_server is with_server:
            found.add(marks["plays"][0])
    return found


def test_the_page_claims_what_the_tests_play_on_each_suite_and_nothing_else() -> None:
    expected = {(suite, OWN): plays(with_server=False) for suite in SUITES} | {
        (suite, server): plays(with_server=True)
        for suite in SUITES
        for server in test_suites.SERVERS
    }
    assert support_matrix.claims(support_matrix.PAGE.read_text()) == expected


def test_each_host_and_server_has_one_row_in_the_order_of_the_suites(tmp_path: Path) -> None:
    record = tmp_path / "build/support.jsonl"
    for played in (
        Played(NEW, OWN, "deploys"),
        Played(OLD, OWN, "deploys"),
        Played(OLD, "uvicorn 0.39.0", "load", "0 of 9 requests lost"),
        Played(OLD, OWN, "faults", "2 of 2 survived"),
    ):
        support_matrix.note(record, played)
    rows = support_matrix.table(support_matrix.read(record)).removeprefix(support_matrix.HEAD)
    debian = "| `bullseye` | Debian GNU/Linux 11 (bullseye) | 247.3-7 | 3.9.2"
    assert rows.splitlines() == [
        f"{debian} | {OWN} | deploys; faults (2 of 2 survived) |",
        f"{debian} | uvicorn 0.39.0 | load (0 of 9 requests lost) |",
        f"| `trixie` | Debian GNU/Linux 13 (trixie) | 257.8-1 | 3.13.5 | {OWN} | deploys |",
    ]


def test_a_table_takes_the_place_of_the_one_before_and_is_read_again() -> None:
    empty = f"# Page\n\n{support_matrix.BEGIN}{support_matrix.END}\nmore\n"
    before = support_matrix.put(empty, support_matrix.table([Played(NEW, OWN, "deploys")]))
    after = support_matrix.put(
        before,
        support_matrix.table(
            [Played(OLD, "gunicorn 23.0.0", "load", "1 of 9 lost"), Played(OLD, OWN, "faults")]
        ),
    )
    assert support_matrix.claims(after) == {
        ("bullseye", "gunicorn"): {"load"},
        ("bullseye", OWN): {"faults"},
    }
    assert after.startswith("# Page\n\n")
    assert after.endswith(f"{support_matrix.END}\nmore\n")
    assert support_matrix.put(after, "") == empty


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="has no place"):
        support_matrix.put("# Page\n", "")


LOCK = """\
uvicorn==0.39.0 ; python_full_version < '3.10' \\
    --hash=sha256:aa
uvicorn==0.54.0 ; python_full_version >= '3.10' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
uvloop==0.23.0 \\
    --hash=sha256:dd
"""


@pytest.mark.parametrize(
    ("python", "uvicorn"),
    [
        ("3.9.2", "uvicorn==0.39.0 \\\n    --hash=sha256:aa\n"),
        ("3.10", "uvicorn==0.54.0 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"),
    ],
)
def test_of_a_lock_the_entries_for_the_host_s_python_are_fetched(python: str, uvicorn: str) -> None:
    expected = uvicorn + "uvloop==0.23.0 \\\n    --hash=sha256:dd\n"
    assert wheels.for_python(LOCK, python) == expected
