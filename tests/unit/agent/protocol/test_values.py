"""Dataclasses whose methods are shared: as those of `dataclasses`, but for the time they take."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from shipit.agent.protocol.values import dataclass


@dataclass(frozen=True)
class Point:
    x: int
    name: str = field(default="", compare=False)
    secret: str = field(default="", repr=False)
    parts: tuple[int, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Named(Point):
    label: str = ""

    def __repr__(self) -> str:
        return self.label

    def __post_init__(self) -> None:
        assert self.x >= 0


def test_what_compares_is_compared_and_hashed() -> None:
    assert Point(1, "a") == Point(1, "b")
    assert {Point(1, "a"), Point(1, "b"), Point(2)} == {Point(1), Point(2)}
    assert Point(1) != Point(1, secret="s")
    assert Point(1) != Named(1), "another class"
    other: object = (1, "", "", ())
    assert Point(1) != other


def test_what_is_not_to_be_shown_is_not() -> None:
    assert repr(Point(1, secret="hunter2")) == "Point(x=1, name='', parts=())"
    assert repr(Named(1, label="one")) == "one"


@pytest.mark.parametrize("name", ["x", "parts", "other", "__class__"])
def test_nothing_is_set_or_deleted_later(name: str) -> None:
    point: Any = Point(1)
    with pytest.raises(FrozenInstanceError):
        setattr(point, name, 2)
    with pytest.raises(FrozenInstanceError):
        delattr(point, name)
    assert point == Point(1)


def test_the_functions_of_dataclasses_know_them() -> None:
    point = Point(1, "a")
    assert dataclasses.is_dataclass(point)
    assert dataclasses.replace(point, x=2) == Point(2, "a")
    assert dataclasses.asdict(point) == {"x": 1, "name": "a", "secret": "", "parts": ()}
    assert copy.deepcopy(point) == point
    with pytest.raises(TypeError, match="missing"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(AssertionError):
        Named(-1)
    match point:
        case Point(x, name):
            assert (x, name) == (1, "a")
