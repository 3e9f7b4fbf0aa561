"""A value that is cut in two is still hidden; whole ones are tested in test_secret."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.agent.protocol.redaction import SHORT, Mask

VALUE = "s3ntinel-Zq8wV5xK"
LINES = "first-s3ntinel line\nsecond-s3ntinel line"


@given(st.integers(SHORT, len(VALUE)))
def test_the_first_part_of_a_value_at_the_end_of_a_line_is_hidden(size: int) -> None:
    assert Mask([VALUE]).cut(f"password={VALUE[:size]}\nmore") == "password=***\nmore"


@given(st.integers(SHORT, len(VALUE)))
def test_the_last_part_of_a_value_at_the_beginning_of_a_line_is_hidden(size: int) -> None:
    assert Mask([VALUE]).cut(f"one\n{VALUE[-size:]} is it") == "one\n*** is it"


def test_a_line_that_is_a_value_s_middle_and_end_is_hidden() -> None:
    assert Mask([VALUE]).cut(VALUE[3:]) == "***"


@pytest.mark.parametrize("size", range(12, 24))
def test_a_cut_value_is_hidden_in_base64_too(size: int) -> None:
    encoded = base64.b64encode(VALUE.encode()).decode()
    masked = Mask([VALUE]).cut(f"Basic {encoded[:size]}")
    assert masked[: len("Basic ***")] == "Basic ***"
    assert len(masked) <= len("Basic ***") + 1  # six bits of the last letter


def test_a_cut_line_of_a_value_of_several_is_hidden() -> None:
    assert Mask([LINES]).cut("key: second-s3nt") == "key: ***"


def test_what_only_looks_like_a_value_stays() -> None:
    assert Mask([VALUE]).cut("s3n\ns3ntinel of another\nV5xK") == "s3n\ns3ntinel of another\n***"


def test_without_values_nothing_changes() -> None:
    assert Mask([]).cut("a\nb") == "a\nb"


def test_only_as_much_of_an_end_is_looked_at_as_a_form_is_long() -> None:
    """A service that fills its log with beginnings of its secret would delay the rollback."""
    line = f"ERROR {VALUE[:SHORT] * 100_000} {VALUE[-SHORT:] * 100_000}"
    made = Mask([VALUE])
    looked: list[int] = []

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, part: object) -> str:
            found = str.__getitem__(self, part)  # type: ignore[index]
            looked.append(len(found))
            return found

    made._ends.masked(Counted(line))
    assert sum(looked) < 3 * len(line)
