"""Generations of a release: shown as one, and the last one counts."""

from __future__ import annotations

import pytest

from shipit.agent.protocol.rules import generations

ID = "1.0.0-0a1b2c3d"


@pytest.mark.parametrize(
    ("release", "contents", "number", "following"),
    [
        (ID, ID, 1, f"{ID}_2"),
        (f"{ID}_2", ID, 2, f"{ID}_3"),
        (f"{ID}_9", ID, 9, f"{ID}_10"),
        # A version may have a commit in it, and digits may be all that a digest has.
        ("1.0-deadbeef-12345678", "1.0-deadbeef-12345678", 1, "1.0-deadbeef-12345678_2"),
        ("", "", 1, "_2"),
    ],
)
def test_a_generation_is_known_by_its_name(
    release: str, contents: str, number: int, following: str
) -> None:
    assert generations.contents(release) == contents
    assert generations.number(release) == number
    assert generations.following(release) == following


def test_of_each_release_the_last_generation_stays_in_its_place() -> None:
    assert generations.last_of_each(["a", "b", "a_2", "c", "b_2"]) == ["a_2", "c", "b_2"]
