"""What the readers of locks share: texts, places and digests, and what is wrong with a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from locks import A
from shipit.bundle.lock import Origin
from shipit.bundle.lock_text import file, place_of, sha256_of, text_of, toml
from shipit.errors import InputError, Mistake, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def mistake_of(read: Callable[[Path], object], path: Path) -> Mistake:
    with pytest.raises(InputError) as caught:
        read(path)
    (mistake,) = caught.value.mistakes
    return mistake


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_bytes(b"\xef\xbb\xbfgr\xc3\xbcn")
    assert text_of(tmp_path / "a.lock") == "grün"


def test_a_missing_lock_is_reported_with_the_command_that_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    assert mistake_of(text_of, path) == Mistake(
        "missing-lock",
        "the lock can't be read: No such file or directory",
        Place(str(path)),
        "write the lock with: uv pip compile --generate-hashes requirements.in -o some.lock",
    )


def test_a_lock_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.lock"
    path.write_bytes(b"\xff\xfe\x00")
    expected = Mistake("unreadable-lock", "requirements.lock is not UTF-8 text", Place(str(path)))
    assert mistake_of(text_of, path) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lock-version = 1.0\n[[packages\n", (2, 11)),
        ("a = 1\nb = @\n", (2, 5)),
        (f"a = {'9' * 5000}\n", ()),
    ],
)
def test_a_toml_syntax_error_is_reported_with_line_and_column(
    text: str, place: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "uv.lock"
    path.write_text(text)
    mistake = mistake_of(toml, path)
    assert mistake.what.startswith("no TOML: ")
    assert mistake.what != "no TOML: None"
    assert mistake == Mistake("lock-syntax", mistake.what, Place(str(path), *place))


@pytest.mark.parametrize("word", ["package", "packages"])
def test_every_table_of_a_package_has_a_place(word: str, tmp_path: Path) -> None:
    path = tmp_path / "uv.lock"
    path.write_text(f"[[{word}]]\n[[{word}.x]]\n  [[ {word} ]] # one\n#[[{word}]]\n[[{word}]]#\n")
    places = toml(path)[1]
    assert places == [Place(str(path), line, 1) for line in (1, 3, 5)]
    assert place_of(places, 2, path) == places[2]
    assert place_of(places, 3, path) == Place(str(path))


def test_only_sha256_is_a_digest() -> None:
    assert sha256_of([f"sha256:{A.upper()}", f"md5:{A}", "", None, 3]) == {A}


@pytest.mark.parametrize(
    ("place", "get", "is_wheel"),
    [
        ("x/a.whl", "pip download --no-deps -d {} x/a.whl", True),
        ("x/a.whl#sha256=1#2", "pip download --no-deps -d {} x/a.whl#sha256=1#2", True),
        ("x/a.zip#a.whl", "pip wheel -w {} x/a.zip#a.whl", False),
    ],
)
def test_a_file_outside_an_index_is_downloaded_or_built(
    place: str, get: str, *, is_wheel: bool
) -> None:
    assert file(place) == Origin(place, get, place, is_tree=False, is_wheel=is_wheel)
