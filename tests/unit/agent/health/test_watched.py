"""When a committed release has failed: as a table of looks."""

import pytest

from shipit.agent.health.watched import BAD, OF, Looks


def looked(pattern: str) -> Looks:
    """Return the looks of a pattern, such as `.x.`: one each second, the bad ones are x."""
    looks = Looks()
    for second, each in enumerate(pattern):
        looks = looks.then(float(second), is_bad=each == "x")
    return looks


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", ""),
        (".", "decided"),
        ("x", ""),
        ("xx", ""),
        ("xx.", "decided"),
        ("xxx", "failed"),
        ("x.x.x", "failed"),
        ("x...x....x", "failed"),  # three of ten
        ("x....x....x", ""),  # the first one was eleven looks ago
        ("xxx.......", "failed"),
        ("xxx........", "decided"),
    ],
)
def test_three_bad_looks_of_the_last_ten_are_a_failure(pattern: str, said: str) -> None:
    looks = looked(pattern)
    assert looks.have_failed == (said == "failed")
    assert looks.are_decided == (said != "")


def test_a_failure_began_with_the_first_of_its_bad_looks() -> None:
    assert looked("..x.xx").bad == (2.0, 4.0, 5.0)
    assert str(looked("..x.xx")) == "3 of the last 6 looks"
    assert len(looked("." * 99).recent) == OF > BAD
