"""A survivor is found again in its file, and must be explained or killed."""

from __future__ import annotations

import pytest

from mutation import Change, Outcome, Survivor, changed, function_of, line_of, report

SOURCE = """\
class Other:
    def total(self) -> int:
        return 1


class Basket:
    def total(self) -> int:
        price = 1
        return price + 1
"""
DIFF = """\
--- src/basket.py
+++ src/basket.py
@@ -1,3 +1,3 @@
 def total(self) -> int:
     price = 1
-    return price + 1
+    return price - 1
"""
CHANGE = Change("src/basket.py:Basket.total", "return price + 1", "return price - 1")
SURVIVOR = Survivor("src/basket.py:9", CHANGE, DIFF)


def outcome(total: int, *survivors: Survivor) -> Outcome:
    return Outcome("src/basket.py", total, survivors)


@pytest.mark.parametrize(
    ("mutant", "function"),
    [
        ("shipit.basket.xǁBasketǁtotal__mutmut_3", "Basket.total"),
        ("shipit.basket.x_total__mutmut_12", "total"),
        ("shipit.basket.x__total__mutmut_12", "_total"),
    ],
)
def test_a_mutant_is_named_by_its_function(mutant: str, function: str) -> None:
    assert function_of(mutant) == function


def test_a_change_is_found_in_the_file_and_does_not_depend_on_its_line() -> None:
    assert line_of(SOURCE, "Basket.total", DIFF) == 9
    assert changed("src/basket.py:Basket.total", DIFF) == CHANGE


def test_a_survivor_is_listed_and_fails() -> None:
    text, is_well = report([outcome(100, SURVIVOR)], [])
    assert "100      99   99%" in text
    assert f"src/basket.py:9 src/basket.py:Basket.total\n{DIFF}" in text
    assert not is_well


def test_an_explained_survivor_is_only_counted() -> None:
    text, is_well = report([outcome(100, SURVIVOR)], [CHANGE])
    assert DIFF not in text
    assert is_well


def test_too_many_explained_survivors_fail() -> None:
    assert not report([outcome(19, SURVIVOR)], [CHANGE])[1]
    assert report([outcome(20, SURVIVOR)], [CHANGE])[1]


def test_an_explanation_that_fits_no_survivor_fails() -> None:
    text, is_well = report([outcome(100)], [CHANGE])
    assert "no such survivor" in text
    assert not is_well
