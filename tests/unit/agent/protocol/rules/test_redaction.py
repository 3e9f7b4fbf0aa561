"""Values are hidden in every form, also where a line is cut in the middle of one."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipit.agent.protocol.rules.redaction import SHORT, Mask

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = "s3ntinel-Zq8wV5xK"
LINES = "first-s3ntinel line\nsecond-s3ntinel line"
ODD = "s3ntinel \"quoted\" & 'more' `$ü`/+\\="


@pytest.mark.parametrize(
    "text",
    [
        ODD,
        json.dumps(ODD)[1:-1],
        json.dumps(ODD, ensure_ascii=False)[1:-1],
        repr(ODD)[1:-1],
        quote(ODD),
        quote(ODD, safe=""),
        quote(ODD).lower(),
        quote_plus(ODD),
        base64.b64encode(ODD.encode()).decode(),
        base64.urlsafe_b64encode(ODD.encode()).decode(),
        ODD.replace("\\", r"\\").replace('"', r"\"").replace("`", r"\`").replace("$", r"\$"),
    ],
)
def test_a_value_is_hidden_in_every_form(text: str) -> None:
    assert Mask([ODD])(f"before {text} after") == "before *** after"


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", range(7))
def test_a_value_inside_longer_base64_is_hidden_but_for_the_bits_of_its_neighbours(
    before: int, encode: Callable[[bytes], bytes]
) -> None:
    value = "s3ntinel>>>???"
    text = encode(b"\xff" * before + value.encode() + b"\xff" * 4).decode()
    first, last = (before * 8 + 5) // 6, (before + len(value)) * 8 // 6
    assert Mask([value])(text) == f"{text[:first]}***{text[last:]}"


@pytest.mark.parametrize(
    ("value", "before", "hidden"),
    [
        ("sixsix", 0, slice(8)),
        ("seven-7", 1, slice(2, 10)),
        ("six-6s", 1, slice(0)),
        ("fives", 0, slice(0)),
        ("four", 2, slice(0)),
    ],
)
def test_a_part_of_base64_is_hidden_from_eight_characters_on(
    value: str, before: int, hidden: slice
) -> None:
    text = base64.b64encode(b"\xff" * before + value.encode() + b"\xff\xff").decode()
    part = text[hidden]
    assert Mask([value])(text) == (text.replace(part, "***") if part else text)


@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_value_is_hidden_at_any_position(value: str, before: str, after: str) -> None:
    masked = Mask([value])(f"{before} {value} {after}")
    rest = f"{before} *** {after}"
    assert value not in masked or value in rest


def test_the_lines_of_a_value_are_hidden_one_by_one_if_they_are_long() -> None:
    mask = Mask(["first line of a key\neight-8.\n seven7\n"])
    assert mask("first line of a key, eight-8., seven7") == "***, ***, seven7"


def test_a_tab_is_hidden_as_journalctl_shows_it() -> None:
    assert Mask(["left\tright"])("left\tright, left        right") == "***, ***"


def test_of_overlapping_values_the_longest_is_hidden() -> None:
    assert Mask(["secret", "secret-longer"])("a secret-longer b secret") == "a *** b ***"
    assert Mask(["four ", "four\tmore"])("four more") == "***"  # a tab may be shown as a space
    assert Mask(["a", "a-b", "c"])("a-b a c") == "*** *** ***"


def test_values_of_less_than_four_characters_are_hidden_only_as_whole_words() -> None:
    mask = Mask(["abc", "1", "four"])
    assert mask("abc 1 11 abcd x1 xfourx") == "*** *** 11 abcd x1 x***x"


def test_a_mask_of_nothing_changes_nothing() -> None:
    assert Mask([])("a - b") == "a - b"
    assert Mask([""])("a - b") == "a - b"


def test_a_value_that_is_no_valid_text_is_hidden_too() -> None:
    assert Mask(["broken \udcff text"])("a broken \udcff text") == "a ***"


def test_a_mask_does_not_show_what_it_hides() -> None:
    assert "s3ntinel" not in repr(Mask([VALUE]))


# --- cut values --------------------------------------------------------------------------------


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


def test_a_line_that_is_only_a_part_of_a_value_is_hidden() -> None:
    assert Mask([VALUE]).cut(VALUE[:6]) == "***"
    assert Mask([VALUE]).cut(VALUE[-6:]) == "***"


def test_a_beginning_inside_of_another_one_is_found() -> None:
    assert Mask(["aaaab"]).cut("aaaaa") == "a***"


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
